"""The page of a run: what was found, the figures, how it was done; one file that opens offline."""

import base64
import io
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from critlearn.fluctuations import Fluctuations
from critlearn.numerics.window import Window
from critlearn.reports.figures import density_figure, drift_figure, local_exponent_figure, loss_figure
from critlearn.studies.headlines import headlines

_DOTS_PER_INCH: Final = 150


@dataclass(frozen=True)
class _Picture:
    """A figure as it stands in the page."""

    source: str
    alternative: str
    caption: str


def report_page(record: Mapping[str, Any], fluctuations: Fluctuations) -> str:
    """Self-contained HTML of a run.

    Parameters
    ----------
    record
        Record of the run.
    fluctuations
        Its sketches.
    """
    template = (files("critlearn.reports") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    quantities = record["quantities"]
    return environment.from_string(template).render(
        record=record,
        headlines=headlines(quantities),
        rows=[_row(name, quantity) for name, quantity in quantities.items()],
        pictures={name: _pictures(name, quantity, fluctuations) for name, quantity in quantities.items()},
        training=_training(record["equilibrium"]),
        settings=[(name, json.dumps(value)) for name, value in record["config"].items()],
        command=command_of(record),
    )


def command_of(record: Mapping[str, Any]) -> str:
    """Command that makes the run again."""
    words = ["critlearn", "run", record["study"]]
    for name, value in record["config"].items():
        if value is None:
            continue
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    return shlex.join(words)


def _row(name: str, quantity: Mapping[str, Any]) -> dict[str, str]:
    """Row of the table of results."""
    measured, predicted = quantity["measured"], quantity["predicted"]
    there = measured["exponent"] is not None
    here = None if predicted is None else predicted["exponent_on_measured_window"]
    return {
        "name": name,
        "axis": quantity["axis"],
        "count": f"{quantity['count']:,}",
        "zeros": f"{quantity['zeros']:,}",
        "exponent": f"{measured['exponent']:.3f}" if there else "none",
        "interval": "[{:.3f}, {:.3f}]".format(*measured["ci95"]) if there else "",
        "window": Window.from_logs(*measured["log_window"]).summary() if there else "",
        "p_value": "" if measured["p_value"] is None else f"{measured['p_value']:.3f}",
        "predicted": "" if here is None else f"{here:.3f}",
        "exact": (predicted or {}).get("exact") or "",
        "agreement": {True: "yes", False: "no", None: ""}[quantity["agreement"]],
        "retained": f"{measured['retained']:.0%}" if there else "",
        "verdict": measured["verdict"],
    }


def _pictures(name: str, quantity: Mapping[str, Any], fluctuations: Fluctuations) -> list[_Picture]:
    """Density and local exponent of one quantity."""
    statement = quantity["statement"]
    return [
        _picture(
            density_figure(fluctuations[name], quantity),
            f"Density of the size of the fluctuations of {name} on log-log axes. {statement}",
            "Density of the fluctuations' size on log-log axes: a power law is a straight line. The shaded window is "
            "where it was fitted; outside of it nothing is claimed.",
        ),
        _picture(
            local_exponent_figure(quantity),
            f"Local exponent of the fluctuations of {name} over their size, with a 95% band. {statement}",
            "Local exponent: a power law is a flat stretch. Where the band is wide, the data do not decide.",
        ),
    ]


def _training(equilibrium: Mapping[str, Any]) -> list[_Picture]:
    """Loss, and drift against fluctuation."""
    return [
        _picture(
            loss_figure(equilibrium),
            f"Mean loss of {len(equilibrium['losses'])} epochs.",
            "Mean loss of each epoch; at equilibrium it only fluctuates.",
        ),
        _picture(
            drift_figure(equilibrium),
            f"Drift against fluctuation of the trainable variables: {equilibrium['reason']}.",
            "Each point is a trainable variable; below the dashed line it is at local learning equilibrium.",
        ),
    ]


def _picture(figure: Figure, alternative: str, caption: str) -> _Picture:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    source = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return _Picture(source, alternative, caption)
