"""Page of many runs: how often prediction and measurement agree, the phase diagrams, the table."""

import math
import re
from pathlib import Path
from typing import Final

import pandas as pd

from critlearn.analysis.run_folder import REPORT
from critlearn.comparison.agreement import DECIDED, Agreement
from critlearn.figures.illustration import Illustration
from critlearn.figures.study import agreement_figure, phase_diagram, phase_panels
from critlearn.numerics.notation import COMPATIBLE_GRADE, LAW_GRADES
from critlearn.reports.page import render
from critlearn.reports.study_methods import methods_section
from critlearn.reports.study_words import phase_words
from critlearn.studies.runs.methods import Methods
from critlearn.studies.runs.table import setting_columns
from critlearn.whole_files import write_whole

_MOST_VALUES: Final = 40
_MOST_PANELS: Final = 24
_MOST_QUANTITIES: Final = 3
"""Values of a setting, panels, and quantities that phase diagrams show: more make a page that nobody reads."""

_LONGEST_VALUE: Final = 24
"""Letters of the values of a setting that spans a phase diagram: longer ones are descriptions, and leave no room."""

_HASH: Final = re.compile("[0-9a-f]{16}")
"""Name of a cell of a sweep."""
_STATE: Final = ("not at certified equilibrium", "at equilibrium")
"""Words for a single run: not certified, and certified."""
_SHOWN: Final = (
    "equilibrium", "cell", "status", "quantity", "measured_exponent", "predicted_exponent", "decades", "verdict",
    "agreement", "explained_by", "seed",
)  # fmt: skip
"""Columns of the table on the page, before those of the settings."""


_ON_A_PHONE: Final = ("cell", "quantity", "measured_exponent", "verdict")
"""Columns that a narrow screen has room for; the others unfold."""

_SMALLEST, _LARGEST = 0.1, 1e6
"""Sizes between which three decimals tell a number."""


def write_study_report(table: pd.DataFrame, name: str, folder: Path, methods: Methods) -> Path:
    """Write the page of many runs into a folder; see `study_page`.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    return write_whole(folder / REPORT, study_page(table, name, methods).encode())


def study_page(table: pd.DataFrame, name: str, methods: Methods) -> str:
    """Self-contained HTML of many runs.

    Parameters
    ----------
    table
        Runs, as of `runs_table`.
    name
        Name of the study.
    methods
        How the runs were made, as of `read_methods`.
    """
    settings, runs, certified, told = setting_columns(table), *_runs(table), statement(table)
    columns = [*_SHOWN, *settings]
    table = table.assign(cell=_names(table, settings))
    cells = [[_cell(value) for value in row] for row in table[columns].to_numpy().tolist()]
    return render(
        "study.html",
        name=name,
        statement=told,
        verdicts=[(str(verdict), int(count)) for verdict, count in table["verdict"].value_counts().items()],
        comparisons=comparisons(table),
        pictures=study_illustrations(table),
        columns=[column.replace("_", " ") for column in columns],
        kept=[column in _ON_A_PHONE for column in columns],
        rows=cells,
        runs=runs,
        certified=certified,
        unfinished=list(_without_result(table)["reason"].value_counts().items()),
        methods=methods_section(methods),
    )


def statement(table: pd.DataFrame) -> str:
    """Sentence that sums up many runs, or one."""
    runs, certified = _runs(table)
    law, quantities = int((table["verdict"].isin(LAW_GRADES)).sum()), int(table["quantity"].count())
    ran = f"{runs} runs, {certified} of them at equilibrium" if runs != 1 else f"1 run, {_STATE[certified]}"
    statuses = _without_result(table)["status"].value_counts().sort_index()
    without = [f"{number} {status}" for status, number in statuses.items()]
    ran = ", ".join([ran, *without])
    followed = f"{law} of {quantities} quantities follow" if quantities != 1 else f"{law} of 1 quantity follows"
    near = int((table["verdict"] == COMPATIBLE_GRADE).sum())
    more = f", {near} more {'are' if near != 1 else 'is'} compatible with one" if near else ""
    return f"{ran}: {followed} a power law over some window{more}; {_agreement(table)}."


def _agreement(table: pd.DataFrame) -> str:
    """Clause that counts every comparison of prediction and measurement: decided or not, at equilibrium or not."""
    compared = table[table["agreement"].notna()]
    if compared.empty:
        return "nothing is compared with a prediction"
    counts = _counts(_at_equilibrium(table))
    counts.append(len(compared) - sum(counts))
    words = ("agree", "disagree", "cannot be told", "are not at equilibrium and do not count")
    told = ", ".join(f"{count} {word}" for count, word in zip(counts, words, strict=True))
    return f"of {len(compared)} comparisons with predictions {told}"


def comparisons(table: pd.DataFrame) -> str:
    """Sentences that count the outcomes of the comparisons at equilibrium, and what explained those that agree."""
    outcomes = _at_equilibrium(table)
    if outcomes.empty:
        return ""
    counts = _counts(outcomes)
    of_all = f"{counts[0] + counts[1]} of {len(outcomes)} comparisons with predictions at equilibrium are decided"
    said = f"{of_all}: {counts[0]} agree, {counts[1]} disagree; of {counts[2]} the samples cannot tell."
    levels = table.loc[outcomes.index[outcomes == Agreement.AGREES], "explained_by"].value_counts()
    if levels.empty:
        return said
    sufficed = ", ".join(f"{level} in {count}" for level, count in levels.items())
    return f"{said} The least that sufficed to explain them: {sufficed}."


def _at_equilibrium(table: pd.DataFrame) -> pd.Series:
    """Outcomes of the comparisons at equilibrium: what agrees elsewhere may do so by chance of the moment."""
    return table.loc[table["certified"] == True, "agreement"].dropna()  # noqa: E712


def _counts(outcomes: pd.Series) -> list[int]:
    """How many agree, how many disagree, and of how many the samples cannot tell."""
    return [int((outcomes == outcome).sum()) for outcome in (*DECIDED, Agreement.CANNOT_TELL)]


def _runs(table: pd.DataFrame) -> tuple[int, int]:
    """Number of runs, and of those at certified equilibrium."""
    return table["cell"].nunique(), int(table.loc[table["certified"] == True, "cell"].nunique())  # noqa: E712


def _without_result(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each run that failed, or cannot be read, with its status and reason."""
    columns = ["cell", "status", "reason"]
    if not {*columns} <= {*table.columns}:
        return pd.DataFrame(columns=columns)
    return table[table["status"] != "finished"].drop_duplicates("cell")


def _names(table: pd.DataFrame, settings: list[str]) -> list[str]:
    """Names of runs by what distinguishes them: cells of a sweep are named by a hash, which tells a reader nothing."""
    return [
        ", ".join([*(_cell(row[name]) for name in settings if not pd.isna(row[name])), f"seed {_cell(row['seed'])}"])
        if _HASH.fullmatch(str(row["cell"])) and not pd.isna(row["seed"])
        else str(row["cell"])
        for row in table.to_dict("records")
    ]


def study_illustrations(table: pd.DataFrame) -> list[Illustration]:
    """Figures of many runs, from a table as of `runs_table`."""
    shown = _diagrams(table)
    both = table[["measured_exponent", "predicted_exponent"]].dropna().astype(float)
    if len(both):
        difference = (both["measured_exponent"] - both["predicted_exponent"]).abs()
        shown.append(
            Illustration(
                "agreement",
                agreement_figure(table),
                f"Measured against predicted exponent of {len(both)} quantities: half of them differ by at most "
                f"{difference.median():.3f}, all by at most {difference.max():.3f}; {_agreement(table)}.",
                "Measured against predicted exponents: on the dashed line they are equal.",
            )
        )
    return shown


def _diagrams(table: pd.DataFrame) -> list[Illustration]:
    """Phase diagrams of exponents and decades, for the first quantities; none where fewer than two settings vary."""
    settings = [
        name
        for name in setting_columns(table)
        if 1 < table[name].nunique() <= _MOST_VALUES and table[name].astype(str).str.len().max() <= _LONGEST_VALUE
    ]
    if len(settings) < 2:
        return []
    # The two settings with the most values span the diagrams.
    down, across = sorted(settings, key=lambda name: table[name].nunique())[-2:]
    panels_by = [name for name in settings if name not in (down, across)]
    # Settings that would make too many panels are averaged over instead.
    while math.prod(table[name].nunique() for name in panels_by) > _MOST_PANELS:
        panels_by.pop()
    each = f", for each {' and '.join(panels_by)}" if panels_by else ""
    over = f"over {down} and {across}{each}".replace("_", " ")
    shown = []
    for quantity in table["quantity"].dropna().unique()[:_MOST_QUANTITIES]:
        for value, what in (("measured_exponent", "measured exponent"), ("decades", "decades of the power law")):
            panels = phase_panels(table, quantity, across, down, value=value, panels_by=panels_by)
            # A single cell is a number, which the table has.
            if sum(int(panel.values.notna().to_numpy().sum()) for panel in panels.values()) < 2:
                continue
            shown.append(
                Illustration(
                    f"phase-diagram-{quantity}-{value}",
                    phase_diagram(table, quantity, across, down, value=value, panels_by=panels_by),
                    f"Phase diagram of the {what} of {quantity} {over}. {phase_words(panels, across, down)}",
                    f"Phase diagram: the mean {what} of {quantity} {over}. "
                    "Means are over the runs in which a power law is established; × means that there is none. A ring "
                    "marks cells of which not every run is at certified equilibrium.",
                )
            )
    return shown


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if not isinstance(value, float):
        return str(value)
    # Three decimals would make nothing of a rate of 1e-5, and 301 digits of 1e300.
    short = value == 0 or _SMALLEST <= abs(value) < _LARGEST
    text = f"{abs(value):.3f}".rstrip("0").rstrip(".") if short else f"{abs(value):.4g}"
    return f"\N{MINUS SIGN}{text}" if value < 0 else text
