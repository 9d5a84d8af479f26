"""The page of many runs: how often prediction and measurement agree, the phase diagram, the table."""

import math
from pathlib import Path
from typing import Final

import pandas as pd

from critlearn.reports.illustration import Illustration
from critlearn.reports.page import render
from critlearn.reports.study_figures import agreement_figure, phase_diagram, phase_panels
from critlearn.studies.runs_table import swept_settings
from critlearn.studies.store import REPORT
from critlearn.whole_files import write_whole

_MOST_VALUES: Final = 40
_MOST_PANELS: Final = 24
_MOST_QUANTITIES: Final = 3
_SHOWN: Final = ("cell", "status", "quantity", "measured_exponent", "predicted_exponent", "decades", "verdict", "seed")


def write_study_report(table: pd.DataFrame, name: str, folder: Path) -> Path:
    """Write the page of many runs, as of `studies.runs_table`, into a folder.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    return write_whole(folder / REPORT, study_page(table, name).encode())


def study_page(table: pd.DataFrame, name: str) -> str:
    """Self-contained HTML of many runs.

    Parameters
    ----------
    table
        Runs, as of `studies.runs_table`.
    name
        What the study is called.
    """
    columns = [*_SHOWN, *swept_settings(table)]
    cells = [[_cell(value) for value in row] for row in table[columns].to_numpy().tolist()]
    return render(
        "study.html",
        name=name,
        statement=statement(table),
        pictures=study_illustrations(table),
        columns=[column.replace("_", " ") for column in columns],
        rows=cells,
        settings=[(s, sorted({_cell(v) for v in table[s]})) for s in swept_settings(table)],
        runs=table["cell"].nunique(),
        certified=_certified(table),
        seeds=sorted({_cell(seed) for seed in table["seed"].dropna()}),
    )


def statement(table: pd.DataFrame) -> str:
    """One sentence on what many runs come down to."""
    runs, certified = table["cell"].nunique(), _certified(table)
    decided = table["agreement"].dropna()
    law = int((table["verdict"] == "power law").sum())
    return (
        f"{runs} runs, {certified} of them at equilibrium: {law} of {len(table)} quantities follow a power law over "
        f"some window; prediction and measurement agree in {int((decided == True).sum())} of the {len(decided)} "  # noqa: E712
        "comparisons that are decided."
    )


def _certified(table: pd.DataFrame) -> int:
    """Runs at certified equilibrium."""
    return int(table.loc[table["certified"] == True, "cell"].nunique())  # noqa: E712


def study_illustrations(table: pd.DataFrame) -> list[Illustration]:
    """Figures of many runs, as of `studies.runs_table`."""
    shown = _diagrams(table)
    both = table[["measured_exponent", "predicted_exponent"]].dropna()
    if len(both):
        shown.append(
            Illustration(
                "agreement",
                agreement_figure(table),
                f"Measured against predicted exponent of {len(both)} quantities.",
                "Measured against predicted exponents: on the dashed line they are equal.",
            )
        )
    return shown


def _diagrams(table: pd.DataFrame) -> list[Illustration]:
    """Phase diagrams of exponents and decades, for the first quantities; none where fewer than two settings vary."""
    settings = [name for name in swept_settings(table) if 1 < table[name].nunique() <= _MOST_VALUES]
    if len(settings) < 2:
        return []
    down, across = sorted(settings, key=lambda name: table[name].nunique())[-2:]
    apart = [name for name in settings if name not in (down, across)]
    while math.prod(table[name].nunique() for name in apart) > _MOST_PANELS:
        apart.pop()
    rest = f", for each {' and '.join(apart)}".replace("_", " ") if apart else ""
    shown = []
    for quantity in table["quantity"].dropna().unique()[:_MOST_QUANTITIES]:
        for value, what in (("measured_exponent", "measured exponent"), ("decades", "decades of the power law")):
            panels = phase_panels(table, quantity, across, down, value=value, apart=apart)
            told = "; ".join(
                f"{panel} {row}: {values}".strip()
                for panel, cells in panels.items()
                for row, values in cells.values.round(2).to_dict("index").items()
            )
            shown.append(
                Illustration(
                    f"phase-diagram-{quantity}-{value}",
                    phase_diagram(table, quantity, across, down, value=value, apart=apart),
                    f"Mean {what} of {quantity} over {down} and {across}{rest}. {told}",
                    f"Phase diagram: the mean {what} of {quantity} over {down} and {across}{rest}. "
                    "Means are over the runs in which a power law is established; × means that there is none. A ring "
                    "marks cells of which not every run is at certified equilibrium.",
                )
            )
    return shown


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
