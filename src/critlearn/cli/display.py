"""What the program shows: a progress bar in a terminal, a screen of results, or one JSON object."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from critlearn.numerics.notation import interval_text

if TYPE_CHECKING:
    from critlearn.studies.sweep.state import SweepState

_WIDTH: Final = 110
"""Characters of a line where there is no terminal: the table of a run fits."""

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


def print_json(value: Mapping[str, Any]) -> None:
    """One object on standard output; numbers that do not exist are null."""
    typer.echo(json.dumps(value, allow_nan=False))


def print_run(record: Mapping[str, Any]) -> None:
    """One screen: what was run, whether it is at equilibrium, each quantity, the sentence, where the report is."""
    from critlearn.equilibrium import Status
    from critlearn.studies.record_schema import headlines

    # Where there is no terminal, the width that is assumed for it must not cut numbers off.
    console = Console(highlight=False, soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else _WIDTH)
    equilibrium = record["equilibrium"]
    console.print(f"{record['study']}: {record['composition']['name']} on {record['data']}; seed {record['seed']}")
    advice = Status(equilibrium["status"]).advice
    console.print(f"{equilibrium['status']} after {equilibrium['epochs']} epochs: {equilibrium['reason']}; {advice}")
    console.print(f"accuracy {record['accuracy']:.1%}, {equilibrium['frozen']} frozen variables\n")
    console.print(_table(record["quantities"], equilibrium["status"]), soft_wrap=False)
    console.print("\n" + "\n".join(headlines(record["quantities"])))
    console.print(f"report: {Path(record['run_dir']) / 'report.html'}")


def _table(quantities: Mapping[str, Any], status: str) -> Table:
    """Measured and predicted exponents."""
    table = Table(box=None, pad_edge=False)
    for heading in ("status", "quantity", "k", "95% interval", "decades", "kept", "predicted", "agree", "verdict"):
        table.add_column(heading, no_wrap=True)
    for name, quantity in quantities.items():
        measured, predicted = quantity["measured"], quantity["predicted"]
        there = measured["exponent"] is not None
        here = predicted["exponent_on_measured_window"] if there and predicted is not None else None
        table.add_row(
            status,
            name,
            f"{measured['exponent']:.2f}" if there else "-",
            interval_text(*measured["ci95"]) if there else "-",
            f"{measured['decades']:.1f}" if there else "-",
            f"{measured['retained']:.0%}" if there else "-",
            "-" if here is None else f"{here:.2f}",
            {True: "yes", False: "no", None: "-"}[quantity["agreement"]],
            measured["verdict"],
        )
    return table


def print_state(state: "SweepState", *, as_json: bool) -> None:
    """Print how many cells are finished, and on standard error what is wrong with the store."""
    if state.other_code:
        typer.echo(f"critlearn: {len(state.other_code)} cells were computed by another version of the code", err=True)
    for name, reason in state.corrupt.items():
        typer.echo(f"critlearn: corrupt cell {name}: {reason}; remove cells/{name} to have it run again", err=True)
    counts = state.to_dict()
    if as_json:
        print_json(counts)
    else:
        typer.echo(", ".join(f"{counts[name]} {name}" for name in ("finished", "failed", "corrupt", "missing")))
