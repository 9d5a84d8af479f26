"""The page of a run: what was found, the figures, how it was done; one file that opens offline."""

import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from critlearn.fluctuations import Fluctuations
from critlearn.numerics.window import Window
from critlearn.reports.duality_page import duality_section
from critlearn.reports.figures import density_figure, drift_figure, local_exponent_figure, loss_figure
from critlearn.reports.picture import Picture, picture
from critlearn.studies.headlines import headlines


def report_page(record: Mapping[str, Any], fluctuations: Fluctuations, duality: Mapping[str, Any] | None = None) -> str:
    """Self-contained HTML of a run.

    Parameters
    ----------
    record
        Record of the run.
    fluctuations
        Its sketches.
    duality
        Study of its duality map, for a section on it.
    """
    template = (files("critlearn.reports") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    quantities = record["quantities"]
    return environment.from_string(template).render(
        record=record,
        headlines=headlines(quantities),
        rows=[_row(name, quantity) for name, quantity in quantities.items()],
        pictures={name: _pictures(name, quantity, fluctuations) for name, quantity in quantities.items()},
        duality=None if duality is None else duality_section(duality),
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


def _pictures(name: str, quantity: Mapping[str, Any], fluctuations: Fluctuations) -> list[Picture]:
    """Density and local exponent of one quantity."""
    statement = quantity["statement"]
    return [
        picture(
            density_figure(fluctuations[name], quantity),
            f"Density of the size of the fluctuations of {name} on log-log axes. {statement}",
            "Density of the fluctuations' size on log-log axes: a power law is a straight line. The shaded window is "
            "where it was fitted; outside of it nothing is claimed.",
        ),
        picture(
            local_exponent_figure(quantity),
            f"Local exponent of the fluctuations of {name} over their size, with a 95% band. {statement}",
            "Local exponent: a power law is a flat stretch. Where the band is wide, the data do not decide.",
        ),
    ]


def _training(equilibrium: Mapping[str, Any]) -> list[Picture]:
    """Loss, and drift against fluctuation."""
    return [
        picture(
            loss_figure(equilibrium),
            f"Mean loss of {len(equilibrium['losses'])} epochs.",
            "Mean loss of each epoch; at equilibrium it only fluctuates.",
        ),
        picture(
            drift_figure(equilibrium),
            f"Drift against fluctuation of the trainable variables: {equilibrium['reason']}.",
            "Each point is a trainable variable; below the dashed line it is at local learning equilibrium.",
        ),
    ]
