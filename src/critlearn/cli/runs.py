"""``critlearn runs``: list stored runs, show one, compare two, remove one."""

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Final

import typer

from critlearn.cli.terminal import cleaned, draw, print_json, say

app = typer.Typer(help="List stored runs, show one, compare two, remove one.")

_WIDTH: Final = 160
"""Characters of a line where there is no terminal: no table is wider."""
_LONGEST_DATA: Final = 24
"""Letters of the name of data in the list: its beginning is enough to know it by."""

Out = Annotated[Path, typer.Option(help="Folder of the runs, or store of a sweep.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]
RUN: Final = "Name of a run, the beginning of one, or the path of its folder."


@app.command("list")
def list_(out: Out = Path("runs"), json: Json = False) -> None:
    """List all runs, with the first quantity of each."""
    from critlearn.studies.runs.listing import run_rows

    rows = run_rows(out)
    if json:
        print_json({"runs": rows})
        return
    # Composition and seed stand in the name.
    headings = ("equilibrium", "run", "data", "quantity", "k", "verdict", "agree")
    _print_table(headings, [_list_cells(row) for row in rows])
    for row in rows:
        if row["status"] != "finished":
            say(f"critlearn: {row['reason']}", err=True)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help=RUN)],
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Show a run as `critlearn run` does at its end."""
    from critlearn.cli.display import print_run
    from critlearn.studies.runs.listing import find_run, run_record

    record = run_record(find_run(out, run))
    if json:
        print_json(record)
    else:
        print_run(record)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help=RUN)],
    second: Annotated[str, typer.Argument(help=RUN)],
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Compare two runs: settings, versions, exponents."""
    from critlearn.studies.runs.listing import compare_runs, find_run, run_record

    difference = compare_runs(*(run_record(find_run(out, name)) for name in (first, second)))
    if json:
        print_json(difference)
        return
    names = [Path(folder).name for folder in difference["runs"]]
    say(f"A: {names[0]}\nB: {names[1]}")
    differing = {
        **difference["settings"],
        **{f"version of {name}": pair for name, pair in difference["versions"].items()},
    }
    if differing:
        _print_table(("setting", "A", "B"), [[name, *map(_plain, pair)] for name, pair in differing.items()])
    else:
        say("same settings, same versions")
    _print_table(("quantity", "k of A", "k of B", "B - A", "A is", "B is"), _quantity_cells(difference["quantities"]))
    if difference["unshared"]:
        say(f"only in one of them: {', '.join(difference['unshared'])}")


@app.command()
def rm(
    run: Annotated[str, typer.Argument(help="Name of a run, or the path of its folder.")],
    out: Out = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run's folder; other folders are never removed."""
    from critlearn.errors import InvalidInputError
    from critlearn.studies.runs.listing import removable_run, remove_run

    folder = removable_run(out, run)
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidInputError(f'"{folder}" is kept: there is no terminal to ask on; --yes removes it unasked')
        if not typer.confirm(cleaned(f'Remove "{folder}"?')):
            return
    remove_run(folder)
    say(f"removed {folder}")


def _list_cells(row: Mapping[str, Any]) -> list[str]:
    """Cells of a run in the list."""
    from critlearn.cli.display import agreement_text

    if row["status"] != "finished":
        return ["corrupt", row["run"]]
    data = shorten(row["data"], _LONGEST_DATA, placeholder=" …")
    exponent = _exponent(row["exponent"], row["ci95"])
    return [row["equilibrium"], row["run"], data, row["quantity"], exponent, row["verdict"], agreement_text(row)]


def _quantity_cells(quantities: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the exponents of both runs."""
    rows = []
    for name, pair in quantities.items():
        difference = pair["difference"]
        low, high = (None, None) if difference is None else difference["ci95"]
        shown = "-" if difference is None else f"{difference['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        exponents = map(_exponent, pair["exponents"], pair["ci95"])
        rows.append([name, *exponents, shown, *pair["verdicts"]])
    return rows


def _print_table(headings: tuple[str, ...], rows: list[list[Any]]) -> None:
    """Table that is as wide as the terminal, or wide enough where there is none."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        # Names are to be copied, and never cut.
        table.add_column(heading, overflow="fold", no_wrap=heading == headings[0])
    for row in rows:
        table.add_row(*map(str, row))
    draw(table, _WIDTH)


def _exponent(value: float | None, ends: list[float] | None) -> str:
    """Exponent with its interval."""
    return "-" if value is None else f"{value:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else "")


def _plain(value: Any) -> str:
    return "-" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
