"""Command ``critlearn explain``: what explains the exponents of a stored run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from critlearn.cli.runs import RUN, Json, Out
from critlearn.cli.terminal import draw, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH: Final = 100
"""Characters of a line where there is no terminal: both tables fit."""


def explain(
    run: Annotated[str, typer.Argument(help=RUN, show_default=False)],
    quantity: Annotated[str | None, typer.Option(help="Only this quantity, also in a sentence.")] = None,
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Tell what explains the exponents of a run: predictions that use more and more of it, and what adds up to each."""
    from critlearn.errors import InvalidInputError, unknown_name
    from critlearn.reports.explanation import OUTCOMES, anatomy_sentence, level_meanings
    from critlearn.studies.runs.listing import find_run, run_record

    quantities = run_record(find_run(out, run))["quantities"]
    if quantity is not None and quantity not in quantities:
        raise unknown_name("quantity", quantity, quantities)
    if not any(entry.get("ladder") for entry in quantities.values()):
        raise InvalidInputError(f'"{run}" {_why_not(quantities)}')
    shown = quantities if quantity is None else {quantity: quantities[quantity]}
    if json:
        kept = ("agreement", "explanation", "ladder", "anatomy", "tail")
        print_json({name: {key: entry.get(key) for key in kept} for name, entry in shown.items()})
        return
    for number, (name, meaning) in level_meanings(shown).items():
        draw(f"{number}  {name}: {meaning}", _WIDTH)
    say()
    draw(_ladder(shown), _WIDTH)
    if any(entry.get("anatomy") for entry in shown.values()):
        say()
        draw(_anatomies(shown), _WIDTH)
    if any(entry.get("tail") for entry in shown.values()):
        say()
        draw(_tails(shown), _WIDTH)
    if quantity is not None:
        entry = shown[quantity]
        tail = (entry.get("tail") or {}).get("summary")
        said = (entry["statement"], entry.get("not_predicted"), anatomy_sentence(entry), tail)
        draw("\n" + "\n".join(filter(None, said)), _WIDTH)
    draw(f"\n{OUTCOMES}", _WIDTH)


def _why_not(quantities: Mapping[str, Any]) -> str:
    """Reason why a run has no ladder, and what to do."""
    if all("ladder" not in entry for entry in quantities.values()):
        return "was made before predictions of every layer: analyse it anew"
    if any(entry.get("ensemble") for entry in quantities.values()):
        return "pools an ensemble: its single runs, in its folder, are explained one by one"
    reasons = [entry["not_predicted"] for entry in quantities.values() if entry.get("not_predicted")]
    return f"has no predictions of its layers: {reasons[0] if reasons else 'it is predicted as a whole'}"


def _ladder(quantities: Mapping[str, Any]) -> "Table":
    """Levels of each quantity below each other."""
    from critlearn.reports.explanation import ladder_rows

    table = _table("quantity", "measured k", "level", "k", "KS", "noise", "outcome", "needs n")
    for row in ladder_rows(quantities):
        for place, level in enumerate(row.levels):
            first = (row.quantity, row.measured) if place == 0 else ("", "")
            cells = (f"{level.level} {level.name}", level.exponent or "-", level.distance or "-", level.noise or "-")
            table.add_row(*first, *cells, level.outcome, level.needed)
    return table


def _anatomies(quantities: Mapping[str, Any]) -> "Table":
    """Parts of each exponent beside each other, with standard errors."""
    from critlearn.figures.anatomy import PARTS, signed

    table = _table("quantity", *PARTS.values(), "together", "measured k")
    for name, entry in quantities.items():
        anatomy = entry.get("anatomy")
        if anatomy is None:
            continue
        measured = entry["measured"]["exponent"]
        parts = [anatomy[part] for part in PARTS]
        cells = ["-" if part is None else f"{signed(part['value'])} ± {part['standard_error']:.2f}" for part in parts]
        table.add_row(name, *cells, f"{anatomy['total']:.2f}", "-" if measured is None else f"{measured:.2f}")
    return table


def _tails(quantities: Mapping[str, Any]) -> "Table":
    """What rules the tail of each quantity: errors or path factors, and whether the measured exponent is theirs."""
    table = _table("in the tail of", "errors k", "path factors", "rule", "follows", "measured k", "outcome")
    ruling = {True: "errors", False: "path factors", None: "cannot tell"}
    for name, entry in quantities.items():
        tail = entry.get("tail")
        if tail is None:
            continue
        error, path = (None if tail[part] is None else tail[part]["value"] for part in ("error", "path"))
        cells = ("-" if value is None else f"{value:.2f}" for value in (error, path))
        follows = "-" if tail["exponent"] is None else f"{tail['exponent']:.2f}"
        measured = f"{tail['measured']['value']:.2f}"
        table.add_row(name, *cells, ruling[tail["finite"]], follows, measured, tail["agreement"])
    return table


def _table(*headings: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
