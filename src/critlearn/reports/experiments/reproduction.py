"""Page of the paper's experiments: each study with its figure and its table, measured beside predicted."""

from pathlib import Path
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from critlearn.comparison.agreement import DECIDED, Agreement
from critlearn.errors import DataError
from critlearn.figures.illustration import Illustration
from critlearn.figures.study import short_setting
from critlearn.figures.style import FITTED, MEASURED
from critlearn.numerics.notation import LAW_GRADES, SHOWN_GRADES
from critlearn.reports.study_page import comparisons
from critlearn.studies.sweep.results.table import load_results
from critlearn.studies.sweep.study.cells import swept_settings
from critlearn.studies.sweep.study.schema import Study
from critlearn.whole_files import write_whole

PAGE: Final = "reproduction.md"
_FIGURES: Final = "images"
"""Name of the page, and of the folder beside it that holds its figures."""
_MOST_ROWS: Final = 40
"""Rows that the figure shows: more do not fit on a page; the table has all."""

_SUMMARY: Final = ("predicted", "measured", "low", "high", "decades", "laws", "seeds", "agree", "decided")
"""Columns of `summary` that are not settings."""

_INTRODUCTION: Final = """# The paper's experiments, repeated

"Dataset-learning duality and emergent criticality" (Kukleva and Vanchurin) claims, in its abstract, that fluctuations
of trainable variables at learning equilibrium can be critical, that is follow power laws, even where the data are not,
and that these power laws can be changed by changing either the activation or the loss. These claims are what is
repeated here. The full text of the paper was not available when this was written, so that all set-ups are ours: the
data, the widths and depths, the training to a certified equilibrium, and the tests.

*Predicted* is what the composition and the density of the input, or the network's own margins, predict on the measured
window; *measured* is fitted to the sketches of the fluctuations. Both are means over the seeds in which the data follow
a power law or are compatible with one, and so are the decades; where there is none, there is no exponent to predict
either. The interval reaches over the 95% intervals of these seeds. *Power law* counts the seeds in which one was
established, *agree* those in which prediction and measurement do, of the seeds in which that could be decided.
"""


def write_reproduction(studies: tuple[Study, ...], location: str, out: Path, command: str) -> Path:
    """Write the page, its figures and their numbers from a store.

    Parameters
    ----------
    studies
        Studies, of which all finished cells are shown.
    location
        Store with their results.
    out
        Folder of the page; the figures go to a folder inside it.
    command
        Command that makes the page again.

    Raises
    ------
    DataError
        If the store holds no finished cell of a study.
    OutputError
        If a file cannot be written.
    """
    # The tables show the quantities that the studies ask for; comparisons are counted over all.
    every, table = load_results(location, every_quantity=True), load_results(location)
    parts = [_INTRODUCTION, f"Made by `{command}`, code {_versions(table)}.\n"]
    for study in studies:
        # Cells of an earlier version of the study are left out.
        mine, all_of_mine = _finished(table, study), _finished(every, study)
        if mine.empty:
            raise DataError(f'"{location}" holds no finished cell of the study "{study.name}"')
        rows = summary(mine, _settings(study, mine))
        picture = Illustration(
            f"reproduction_{study.name.removeprefix('paper-')}",
            exponents_figure(rows),
            f"Measured and predicted exponents of {len(rows)} rows of the table below.",
            "Measured exponents with the interval over seeds (dots), and what is predicted on the same windows "
            "(diamonds); rows without a measured exponent are left out.",
        )
        picture.save(out / _FIGURES, ("svg",))
        parts += [_section(study, all_of_mine, rows, picture)]
    return write_whole(out / PAGE, "\n".join(parts).encode())


def summary(table: pd.DataFrame, settings: list[str]) -> pd.DataFrame:
    """One row for each combination of settings and quantity, over its seeds.

    Parameters
    ----------
    table
        Finished rows, as of `load_results`.
    settings
        Columns that distinguish the rows, besides the quantity.
    """
    rows = []
    # Not sorted, to keep the order of the study file.
    for key, group in table.groupby([*settings, "quantity"], sort=False, dropna=False):
        numbers = group[["measured_exponent", "predicted_exponent", "ci_low", "ci_high", "decades"]].astype(float)
        found = numbers["measured_exponent"].notna() & group["verdict"].isin(SHOWN_GRADES)
        shown = numbers[found]
        outcomes = group.loc[group["certified"] == True, "agreement"]  # noqa: E712
        decided = outcomes[outcomes.isin(DECIDED)]
        rows.append(
            {
                **dict(zip([*settings, "quantity"], key, strict=True)),
                "predicted": shown["predicted_exponent"].mean(),
                "measured": shown["measured_exponent"].mean(),
                "low": shown["ci_low"].min(),
                "high": shown["ci_high"].max(),
                "decades": shown["decades"].mean(),
                "laws": int((group["verdict"].isin(LAW_GRADES)).sum()),
                "seeds": len(group),
                "agree": int((decided == Agreement.AGREES).sum()),
                "decided": len(decided),
            }
        )
    return pd.DataFrame(rows)


def exponents_figure(rows: pd.DataFrame) -> Figure:
    """Measured exponents with their intervals, and predicted ones, a line for each row that has a measured one."""
    shown = rows[rows["measured"].notna()].head(_MOST_ROWS)
    figure = Figure(figsize=(7.2, 1.2 + 0.28 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots()
    names = [_label(row) for _, row in shown.iterrows()]
    for height, (name, (_, row)) in enumerate(zip(names, shown.iterrows(), strict=True)):
        axes.plot([row["low"], row["high"]], [height, height], color=MEASURED, lw=2, label=f"_{name}: 95% interval")
    heights = range(len(shown))
    axes.plot(shown["measured"], heights, "o", color=MEASURED, label="measured")
    axes.plot(shown["predicted"], heights, "D", color=FITTED, markersize=7, mfc="none", label="predicted")
    axes.set_yticks(list(heights), names, fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(xlabel="exponent k of p(|δq|) ~ |δq|⁻ᵏ")
    axes.grid(axis="x", alpha=0.3)
    if len(shown):
        axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def _section(study: Study, table: pd.DataFrame, rows: pd.DataFrame, picture: Illustration) -> str:
    """Section of the page on one study: description, counts over all quantities, figure and table of some."""
    cells, certified = table["cell"].nunique(), table.loc[table["certified"].astype(bool), "cell"].nunique()
    settings = [name for name in rows.columns if name not in _SUMMARY]
    header = [*settings, "predicted", "measured", "interval", "decades", "power law", "agree"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in header) + " |", "|" + " --- |" * len(header)]
    for _, row in rows.iterrows():
        cells_of_row = [str(row[name]) for name in settings] + [
            _number(row["predicted"]),
            _number(row["measured"]),
            f"{row['low']:.2f} to {row['high']:.2f}" if row["measured"] == row["measured"] else "–",
            _number(row["decades"], 1),
            f"{row['laws']} of {row['seeds']}",
            f"{row['agree']} of {row['decided']}",
        ]
        lines.append("| " + " | ".join(cells_of_row) + " |")
    return (
        f"## {study.name.removeprefix('paper-').capitalize()}\n\n{study.description}\n\n"
        f"{cells} runs, {certified} of them at certified equilibrium. A power law is established for "
        f"{int(table['verdict'].isin(LAW_GRADES).sum())} of {len(table)} distributions, and "
        f"{int(table['predicted_exponent'].notna().sum())} of the {int(table['measured_exponent'].notna().sum())} "
        f"measured exponents are predicted: those of all trainable variables and pools. {comparisons(table)}\n\n"
        f"![{picture.alternative}]({_FIGURES}/{picture.name}.svg)\n\n{picture.caption} "
        f"[Numbers]({_FIGURES}/{picture.name}.csv).\n\n" + "\n".join(lines) + "\n"
    )


def _finished(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Rows of the finished cells that a study still has."""
    now = (table["study"] == study.name) & (table["planned"] == True)  # noqa: E712
    return table[now & (table["status"] == "finished")]


def _settings(study: Study, table: pd.DataFrame) -> list[str]:
    """Swept settings of the study that are columns of the table."""
    return [name for name in swept_settings(study) if name in table]


def _versions(table: pd.DataFrame) -> str:
    """Versions of the code that made the results."""
    return ", ".join(sorted(str(code) for code in table["code"].dropna().unique()))


def _label(row: pd.Series) -> str:
    return " ".join(short_setting(value) for name, value in row.items() if name not in _SUMMARY)


def _number(value: float, digits: int = 2) -> str:
    """Number with some decimals; a dash for NaN, which is not equal to itself."""
    return "–" if value != value else f"{value:.{digits}f}"
