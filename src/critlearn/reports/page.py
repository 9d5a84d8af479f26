"""Page of a run: results, figures and methods, in one HTML file that opens offline."""

import base64
import json
import math
import shlex
from collections.abc import Mapping
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from critlearn._version import __version__
from critlearn.analysis import Analysis
from critlearn.analysis.record_schema import seeds_text
from critlearn.analysis.road import ANALYSIS
from critlearn.analysis.run_folder import REPORT, read_run
from critlearn.analysis.table import row_of
from critlearn.comparison.learning_modes import Modes
from critlearn.dynamics import Dynamics
from critlearn.equilibrium import Status
from critlearn.errors import InvalidInputError
from critlearn.figures.anatomy import explained
from critlearn.figures.illustration import Illustration
from critlearn.figures.quantity import predicted_curve, quantity_figure
from critlearn.figures.run import drift_figure, loss_figure
from critlearn.fluctuations import Fluctuations
from critlearn.monitoring import MonitorRecord
from critlearn.monitoring.storage import read_monitor
from critlearn.numerics.notation import COMPATIBLE_GRADE, LAW_GRADES, estimate_parts
from critlearn.numerics.window import Window
from critlearn.reports.duality_page import duality_section
from critlearn.reports.dynamics_section import dynamics_section, training_section
from critlearn.reports.explanation import anatomy_illustration, explanation_section
from critlearn.reports.modes_section import modes_illustration, modes_section
from critlearn.reports.overview import (
    agreement_sentence,
    facts,
    grade_sentences,
    miss_sentence,
    multiples,
    single_variables,
)
from critlearn.reports.typeset import typeset
from critlearn.studies.config import written_list
from critlearn.studies.runs.duality import read_duality
from critlearn.whole_files import write_whole

_FLAGS: Final = {
    "stop_at_equilibrium": {True: "--stop-at-equilibrium", False: "--all-epochs"},
    "decoupled_weight_decay": {True: "--decoupled-weight-decay", False: "--l2-weight-decay"},
    "modes": {True: "--modes", False: "--no-modes"},
}
"""Settings that the command line takes as one of two flags, without a value."""

_MOST_ROWS: Final = 24
"""Rows of a series in the table behind a figure; all of them are in the exported CSV."""


_MOST_PICTURED: Final = 24
"""Quantities with figures on a page: of more it takes minutes to draw and too long to load."""

_MOST_BEFORE_FACTS: Final = 8
"""Variables whose densities, two rows of panels, stand before what was done: beyond more, it would be on no first
screen."""


_COLUMNS: Final = (
    ("status", "certificate of the state: EQUILIBRIUM, or what is missing"),
    ("over", "what the fluctuations are taken over"),
    ("sizes", "number of fluctuations other than zero, and of exact zeros"),
    ("k", "fitted exponent, with the 95% interval of a bootstrap over groups of samples"),
    ("window", "range of sizes on which it was fitted, and the share of the sizes that lie there (kept)"),
    ("KS p", "p-value of the Kolmogorov-Smirnov test of the law on its window"),
    ("predicted", "exponent of the prediction on the same window"),
    ("distance", "largest difference of the cumulative distributions, predicted and measured"),
    ("limit", "exact exponent of the composition far from the data, where the prediction reaches it"),
    ("agree", "outcome of the comparison: agrees, disagrees, or cannot tell at this number of samples"),
    ("verdict", "grade of the fit"),
)
"""What the columns of the table of results mean."""


def report_page(
    record: Mapping[str, Any],
    fluctuations: Fluctuations,
    duality: Mapping[str, Any] | None = None,
    training: MonitorRecord | None = None,
) -> str:
    """Self-contained HTML of a run.

    Parameters
    ----------
    record
        Record of the run.
    fluctuations
        Sketches of the run.
    duality
        Study of its duality map; the section on it is left out if None.
    training
        Record of the monitor of its training; the section on what happened over time is left out if None.
    """
    quantities, command = record["quantities"], command_of(record) or call_of(record)
    predicted = [name for name, quantity in quantities.items() if quantity["predicted"] is not None]
    first = predicted[:_MOST_PICTURED] or list(quantities)[:1]
    others = [name for name in quantities if name not in predicted and name not in first]
    others = others[: max(0, _MOST_PICTURED - len(first))]
    pictured = {name: quantities[name] for name in [*first, *others]}
    shown = {name: _of_quantity(name, quantity, fluctuations) for name, quantity in pictured.items()}
    return render(
        "page.html",
        record=record,
        seeds=seeds_text(record).capitalize(),
        facts=facts(record, command),
        grades=grade_sentences(quantities),
        agreement=agreement_sentence(quantities),
        multiples=multiples(record, fluctuations),
        figure_first=len(single_variables(quantities)) <= _MOST_BEFORE_FACTS,
        columns=_COLUMNS,
        misses={name: miss_sentence(quantity, fluctuations[name]) for name, quantity in pictured.items()},
        rows=[_cells(row_of(record, name), quantity) for name, quantity in quantities.items()],
        not_predicted=_reasons(quantities),
        sources=_sources(quantities),
        first={name: shown[name] for name in first},
        others={name: shown[name] for name in others},
        without_figures=len(quantities) - len(pictured),
        training=_of_training(record["equilibrium"]),
        explanation=explanation_section(record),
        modes=modes_section(record),
        duality=None if duality is None else duality_section(duality),
        training_over_time=None if training is None else training_section(training),
        advice=_advice(record["equilibrium"]["status"]),
        settings=[(name, json.dumps(value)) for name, value in record["config"].items()],
        command=command,
    )


def _advice(status: str) -> str | None:
    """What to do about a state; None for a status of earlier versions."""
    return Status(status).advice if status in {known.value for known in Status} else None


def render(template: str, **values: Any) -> str:
    """HTML of a template, with the style and the filters that all pages share."""
    environment = Environment(
        loader=PackageLoader("critlearn", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = (files("critlearn.reports") / "page.css").read_text(encoding="utf-8")
    numbers = count(1)
    environment.globals["figure_number"] = lambda: next(numbers)
    environment.filters["source"] = _source
    environment.filters["rows"] = _table_rows
    environment.filters["typeset"] = typeset
    return environment.get_template(template).render(**values)


def report(result: Analysis | Dynamics, path: Path | str, *, training: MonitorRecord | None = None) -> Path:
    """Write the page of an analysis, or of a series over time: one HTML file that opens offline.

    Parameters
    ----------
    result
        The analysis, just made or read from a folder; or what a series over time says.
    path
        File; one that is there is replaced.
    training
        Record of the monitor of the training before an analysis, which adds a section on what happened over time.

    Raises
    ------
    InvalidInputError
        If the result is something else, or a record is given with a series.
    OutputError
        If it cannot be written.
    """
    if isinstance(result, Dynamics):
        if training is not None:
            raise InvalidInputError("a record of a training goes with an Analysis; its series is record.dynamics()")
        return write_whole(Path(path), dynamics_page(result).encode())
    if not isinstance(result, Analysis):
        raise InvalidInputError(
            "what a page is made of is an Analysis, or a Dynamics such as record.dynamics() of a monitor; "
            f"got {type(result).__name__}"
        )
    return write_whole(Path(path), report_page(result.record, result.fluctuations, training=training).encode())


def dynamics_page(sheet: Dynamics, source: str = "a series") -> str:
    """HTML of a series over time.

    Parameters
    ----------
    sheet
        What was measured.
    source
        Where the series is from, for the title.
    """
    return render("dynamics.html", source=source, section=dynamics_section(sheet), version=__version__)


def write_report(folder: Path) -> Path:
    """Make the page of a stored run again, from its stored numbers alone.

    Raises
    ------
    DataError
        If the folder holds no run.
    OutputError
        If the page cannot be written.
    """
    record, fluctuations = read_run(folder)
    page = report_page(record, fluctuations, read_duality(folder), read_monitor(folder))
    return write_whole(folder / REPORT, page.encode())


def command_of(record: Mapping[str, Any]) -> str:
    """Command that makes the run again, quoted for a shell; empty for the analysis of a network trained elsewhere."""
    if record["study"] == ANALYSIS:
        return ""
    words = ["critlearn", "run", record["study"]]
    for name, value in record["config"].items():
        if isinstance(value, bool):
            words.append(_FLAGS[name][value])
        elif value is not None and not (name in ("columns", "drop") and not value):
            text = written_list(value) if isinstance(value, (list, tuple)) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return shlex.join(words)


def call_of(record: Mapping[str, Any]) -> str:
    """Call that analyses a network of one's own again, with the settings that the record has, and what it was given."""
    config = record["config"]
    given = [f"{name}={config[name]!r}" for name in ("weight_decay", "seed") if config.get(name)]
    chosen = [f"{name}={config[name]!r}" for name in ("only", "variables") if config.get(name)]
    if config.get("axis", "sample") != "sample":
        chosen.append(f"axis={config['axis']!r}")
    given += [f"quantities=critlearn.Quantities({', '.join(chosen)})"] if chosen else []
    what = ", ".join(str(part) for part in (config.get("model"), config.get("loss"), record["data"]) if part)
    return f"critlearn.analyze({', '.join(['model', 'loss', 'data', *given])})  # {what}"


def _reasons(quantities: Mapping[str, Any]) -> dict[str, list[str]]:
    """Quantities without a prediction by the reason why they have none."""
    reasons: dict[str, list[str]] = {}
    for name, quantity in quantities.items():
        if quantity.get("not_predicted") and not quantity.get("pool"):
            reasons.setdefault(quantity["not_predicted"], []).append(name)
    return reasons


def _sources(quantities: Mapping[str, Any]) -> dict[str, list[str]]:
    """Quantities with a prediction by what it was made from."""
    sources: dict[str, list[str]] = {}
    for name, quantity in quantities.items():
        if quantity["predicted"] is not None:
            sources.setdefault(quantity["predicted"].get("source", ""), []).append(name)
    return sources


def _cells(row: Mapping[str, Any], quantity: Mapping[str, Any]) -> dict[str, str]:
    """Row of the table of results as text."""
    measured, fitted = quantity["measured"], row["exponent"] is not None
    ends = (row["ci_low"], row["ci_high"])
    exponent = f"{row['exponent']:.3f}" if fitted else "none"
    exponent, interval = (
        estimate_parts(row["exponent"], ends, fewest=3) if fitted and None not in ends else (exponent, "")
    )
    return {
        "state": row["status"],
        "name": row["quantity"],
        "axis": quantity["axis"],
        "count": f"{row['n']:,}",
        "zeros": f"{row['zeros']:,}",
        "exponent": exponent,
        "interval": interval,
        "window": Window.from_logs(*measured["log_window"]).summary() if fitted else "",
        "p_value": f"{measured['p_value']:.3f}" if fitted and measured["p_value"] is not None else "",
        "predicted": "" if row["predicted_exponent"] is None else f"{row['predicted_exponent']:.3f}",
        "distance": "" if row["prediction_distance"] is None else f"{row['prediction_distance']:.3f}",
        "exact": row["limit"] or "",
        "agreement": row["agreement"] or "",
        "retained": f"{row['share']:.0%}" if fitted else "",
        "verdict": row["verdict"],
    }


def illustrations(
    record: Mapping[str, Any], fluctuations: Fluctuations, training: MonitorRecord | None = None
) -> dict[str, list[Illustration]]:
    """Figures of a run: those of each quantity by its name; training, anatomies, modes, series over time by theirs."""
    shown = {name: [_of_quantity(name, quantity, fluctuations)] for name, quantity in record["quantities"].items()}
    anatomies = [anatomy_illustration(record["quantities"])] if explained(record["quantities"]) else []
    found = record.get("modes")
    reduced = [] if found is None else [modes_illustration(Modes.from_dict(found))]
    over_time = [] if training is None else training_section(training).pictures
    trained = _of_training(record["equilibrium"])
    return {**shown, "training": trained, "anatomy": anatomies, "modes": reduced, "over time": over_time}


def _of_quantity(name: str, quantity: Mapping[str, Any], fluctuations: Fluctuations) -> Illustration:
    """Density, share above, ratio to the prediction and local exponent of one quantity."""
    statement = quantity["statement"]
    other = "the prediction" if predicted_curve(quantity) is not None else "the fit"
    return Illustration(
        name,
        quantity_figure(fluctuations[name], quantity),
        f"Density of the size of the fluctuations of {name} on log-log axes, the share of those at least as large, "
        f"the ratio of the density to {other}, and the local exponent. {statement}",
        f"Fluctuations of {name} by size: density, share of those at least as large, measured density over "
        f"{other}, and local exponent. {_shading(quantity['measured'])}",
    )


def _shading(measured: Mapping[str, Any]) -> str:
    """Sentence that says what the shading of a figure means, if there is any."""
    if measured["exponent"] is None:
        return f"Nothing is shaded, as no power law was found: {measured['verdict']}."
    if measured["verdict"] == COMPATIBLE_GRADE:
        return "The shaded window is where it was fitted; the data are compatible with it, as with other laws."
    if measured["verdict"] not in LAW_GRADES:
        return f"The shaded window is where one was tried and is not claimed: {measured['verdict']}."
    return "The shaded window is where it was fitted; outside of it nothing is claimed."


def _of_training(equilibrium: Mapping[str, Any]) -> list[Illustration]:
    """Loss, if its history is known, and drift against fluctuation."""
    loss = [
        Illustration(
            "training-loss",
            loss_figure(equilibrium),
            f"Mean loss of {len(equilibrium['losses'])} epochs.",
            "Mean loss of each epoch; at equilibrium it only fluctuates.",
        )
    ]
    return [
        *(loss if equilibrium["losses"] else []),
        Illustration(
            "training-drift",
            drift_figure(equilibrium),
            f"Drift against fluctuation of the trainable variables: {equilibrium['reason']}.",
            "Each point is a trainable variable; below the dashed line it is at local learning equilibrium.",
        ),
    ]


def _source(illustration: Illustration) -> str:
    """Figure as the source of an HTML image: SVG, which is sharp on any screen and on paper."""
    return "data:image/svg+xml;base64," + base64.b64encode(illustration.image("svg")).decode("ascii")


def _table_rows(illustration: Illustration) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and some rows of each series, for the table behind a figure."""
    data = illustration.data()
    parts = [part.iloc[:: max(1, -(-len(part) // _MOST_ROWS))] for _, part in data.groupby("series", sort=False)]
    few = pd.concat(parts) if parts else data
    cells = [[_cell(cell) for cell in row] for row in few.to_numpy().tolist()]
    return [str(name) for name in data.columns], cells


def _cell(cell: str | float) -> str:
    """Cell of a table of numbers as text: nothing where a series has no such number."""
    if isinstance(cell, str):
        return cell
    return f"{cell:.5g}" if math.isfinite(cell) else ""
