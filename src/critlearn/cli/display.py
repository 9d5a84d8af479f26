"""What the program shows: a progress bar in a terminal, a screen of results, or one JSON object."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from critlearn.cli.terminal import draw, print_json, say
from critlearn.errors import OutputError
from critlearn.numerics.notation import estimate_parts

if TYPE_CHECKING:
    import pandas as pd

    from critlearn.analysis import Analysis
    from critlearn.studies.sweep.state import SweepState

TrainingProgress = Callable[[int, int, float, float | None], None]


@contextmanager
def training_progress(*, shown: bool) -> Iterator[TrainingProgress | None]:
    """Progress bar with loss and equilibrium fraction; None where it is not wanted or there is no terminal."""
    if not (shown and sys.stdout.isatty() and sys.stderr.isatty()):
        yield None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  at equilibrium {task.fields[fraction]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("epoch", total=None, loss="?", fraction="?")

        def show(epoch: int, epochs: int, loss: float, fraction: float | None) -> None:
            shown_fraction = "?" if fraction is None else f"{fraction:.0%}"
            bar.update(task, total=epochs, completed=epoch, loss=f"{loss:.4g}", fraction=shown_fraction)

        yield show


def written(analysis: "Analysis", out: Path) -> tuple[Mapping[str, Any], OutputError | None]:
    """Record of an analysis that is written to a folder for runs, and the error where that takes nothing.

    What was computed, perhaps for hours, is then shown all the same.
    """
    from critlearn.analysis.run_folder import write_run
    from critlearn.reports.page import report_page

    try:
        return write_run(out, analysis, report_page), None
    except OutputError as problem:
        return analysis.record, problem


def print_run(record: Mapping[str, Any]) -> None:
    """One screen: what was run, whether it is at equilibrium, each quantity, the sentence, where the report is."""
    from critlearn.analysis.record_schema import headlines, seeds_text
    from critlearn.analysis.table import rows_of
    from critlearn.equilibrium import Status

    equilibrium = record["equilibrium"]
    reached = "" if equilibrium["epochs"] is None else f" after {equilibrium['epochs']} epochs"
    right = "" if record["accuracy"] is None else f"accuracy {record['accuracy']:.1%}, "
    advice = Status(equilibrium["status"]).advice
    say(f"{record['study']}: {record['composition']['name']} on {record['data']}; {seeds_text(record)}")
    say(f"{equilibrium['status']}{reached}: {equilibrium['reason']}; {advice}")
    say(f"{right}{equilibrium['frozen']} frozen variables\n")
    print_table(record)
    say("\n" + "\n".join(headlines(record["quantities"])))
    if record["composition"]["kappa"] is not None:
        limit = record["composition"]["kappa"]["exact"] or "none"
        say(f"k and predicted are exponents on the window; far from the data the limit of k is {limit}")
    for reason in dict.fromkeys(row["not_predicted"] for row in rows_of(record) if row["kind"] != "all"):
        if reason is not None and not reason.startswith("a pool"):
            say(f"not predicted: {reason}")
    if record.get("unfinished"):
        say(f"interrupted: missing are {', '.join(record['unfinished'])}")
    if record["run_dir"] is not None:
        say(f"report: {Path(record['run_dir']) / 'report.html'}")


def print_table(record: Mapping[str, Any]) -> None:
    """Print measured and predicted exponents, a row for each quantity."""
    from critlearn.analysis.table import rows_of

    table = Table(box=None, pad_edge=False)
    for heading in ("status", "quantity", "k", "95% interval", "decades", "kept", "predicted", "agree", "verdict"):
        # Of the last two, words may go to the next line; numbers and names may not.
        table.add_column(heading, no_wrap=heading not in ("agree", "verdict"), overflow="fold")
    for row in rows_of(record):
        interval = (row["ci_low"], row["ci_high"])
        table.add_row(
            row["status"],
            row["quantity"],
            *_estimate(row["exponent"], interval),
            _number(row["decades"], ".1f"),
            _number(row["share"], ".0%"),
            _number(row["predicted_exponent"], ".2f"),
            agreement_text(row),
            row["verdict"],
        )
    draw(table)


def print_results(table: "pd.DataFrame") -> None:
    """Print a table of results: a line for each cell, with the settings that vary, and below it one for each quantity.

    Settings that are the same in all cells stand above them. Rows that named their cell would not fit a terminal.
    """
    from critlearn.studies.sweep.results.table import COLUMNS

    settings = ["study", "seed", *(name for name in table.columns if name not in COLUMNS)]
    same = [name for name in settings if len(table) > 1 and table[name].nunique(dropna=False) == 1]
    if same:
        say(", ".join(f"{name}: {table[name].iloc[0]}" for name in same))
    varied = [name for name in settings if name not in same]
    cells: dict[str, list[list[str]]] = {}
    for row in table.to_dict("records"):
        known: dict[str, Any] = {str(name): None if value != value else value for name, value in row.items()}
        # Of a cell that is not finished, why; of others whether they are at equilibrium.
        given = [f"{name} {known[name]}" for name in varied if known[name] is not None]
        told = [known["equilibrium"] or known["status"], *given]
        rows = cells.setdefault(f"{known['cell']}: {', '.join(map(str, told))}", [])
        if known["quantity"]:
            rows.append(_of_quantity(known))
    every = [row for rows in cells.values() for row in rows]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *every, strict=True)]
    draw(_aligned([list(_HEADINGS)], widths))
    for name, rows in cells.items():
        say(name)
        if rows:
            draw(_aligned(rows, widths))


_HEADINGS: Final = ("quantity", "k", "95% interval", "decades", "predicted", "agree", "verdict")


def _of_quantity(known: Mapping[str, Any]) -> list[str]:
    """Texts below `_HEADINGS` of one quantity."""
    interval = (known["ci_low"], known["ci_high"])
    return [
        known["quantity"],
        *_estimate(known["measured_exponent"], interval),
        _number(known["decades"], ".1f"),
        _number(known["predicted_exponent"], ".2f"),
        agreement_text(known),
        known["verdict"] or "-",
    ]


def _aligned(rows: list[list[str]], widths: list[int]) -> Table:
    """Table whose columns have these widths, but for the words of the last, which go on in the next line."""
    shown = Table(box=None, show_header=False, padding=(0, 0, 0, 2), pad_edge=True)
    for width in widths[:-1]:
        shown.add_column(no_wrap=True, min_width=width)
    shown.add_column(overflow="fold")
    for row in rows:
        shown.add_row(*row)
    return shown


def agreement_text(row: Mapping[str, Any]) -> str:
    """Outcome of a prediction, and what it uses if it agrees."""
    found = row["explained_by"] if row["agreement"] == "agrees" else None
    return " with ".join(filter(None, (row["agreement"], found))) or "-"


def _estimate(value: float | None, ends: tuple[float | None, float | None]) -> tuple[str, str]:
    """Cells of an exponent and its interval."""
    low, high = ends
    if value is None or low is None or high is None:
        return _number(value, ".2f"), "-"
    return estimate_parts(value, (low, high))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def print_state(state: "SweepState", *, as_json: bool) -> None:
    """Print how many cells are finished, and on standard error what is wrong with the store."""
    if state.other_code:
        say(f"critlearn: {len(state.other_code)} cells were computed by another version of the code", err=True)
    for name, reason in state.corrupt.items():
        say(f"critlearn: corrupt cell {name}: {reason}; remove cells/{name} to have it run again", err=True)
    counts = state.to_dict()
    if as_json:
        print_json(counts)
    else:
        say(", ".join(f"{counts[name]} {name}" for name in ("finished", "failed", "corrupt", "missing")))
