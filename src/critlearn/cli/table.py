"""Command ``critlearn table``: the exponents of the whole catalogue."""

import shutil
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from critlearn.cli.terminal import draw, print_csv, print_json, say

_WIDTH, _LONG = 80, 160
"""Characters of a line where there is no terminal, of the matrix and of the long form: no name is cut."""


class TableFormat(StrEnum):
    """How a table is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def table(
    form: Annotated[TableFormat, typer.Option("--format", help="How to write it.")] = TableFormat.TERMINAL,
    activation: Annotated[str | None, typer.Option(help="Only rows of this activation.")] = None,
    loss: Annotated[str | None, typer.Option(help="Only rows of this loss.")] = None,
    long: Annotated[
        bool, typer.Option("--long", help="In the terminal, a line for each pair with its tail and other limits.")
    ] = False,
) -> None:
    """Show the exponent of every activation with every loss; their tails and other limits with --long."""
    from critlearn.compositions.named.table import COLUMNS, catalogue_table

    rows = catalogue_table(activation=activation, loss=loss)
    cells = [[row[column] for column in COLUMNS] for row in rows]
    if form is TableFormat.JSON:
        print_json({"compositions": rows})
    elif form is TableFormat.CSV:
        import csv
        import io

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *cells])
        print_csv(text.getvalue())
    elif form is TableFormat.MARKDOWN:
        lines = [COLUMNS, ["---"] * len(COLUMNS), *[[str(cell).replace("|", "\\|") for cell in row] for row in cells]]
        say("\n".join("| " + " | ".join(line) + " |" for line in lines))
    elif long or activation is not None or loss is not None:
        from rich.table import Table

        shown = Table(*COLUMNS)
        for row in cells:
            shown.add_row(*(str(cell) for cell in row))
        draw(shown, _LONG)
    else:
        width = shutil.get_terminal_size((_WIDTH, 0)).columns if sys.stdout.isatty() else _WIDTH
        say(_matrix(rows, width))
        say("Exponents k of p(delta) ~ delta^-k towards the first limit of the error.")
        say("none: no exponent there; -: the loss needs a bounded activation.")
        say("--long: a line for each, with tail, location and the other limits.")


def _matrix(rows: list[dict[str, Any]], width: int) -> str:
    """Exponents with a line for each activation and a column for each loss, in as many blocks as fit the width."""
    exponents = {(row["activation"], row["loss"]): row["exponent"] for row in rows}
    activations, losses = (list(dict.fromkeys(row[name] for row in rows)) for name in ("activation", "loss"))
    first = max(map(len, activations))
    widths = {loss: max(len(loss), *(len(exponents.get((name, loss), "")) for name in activations)) for loss in losses}
    blocks: list[list[str]] = [[]]
    for loss in losses:
        if blocks[-1] and first + sum(2 + widths[other] for other in (*blocks[-1], loss)) > width:
            blocks.append([])
        blocks[-1].append(loss)
    lines = []
    for block in blocks:
        lines.append(" " * first + "".join(f"  {loss:>{widths[loss]}}" for loss in block))
        for name in activations:
            found = [exponents.get((name, loss)) for loss in block]
            # Softmax goes with its own loss alone, and that with nothing else.
            if any(found):
                pairs = zip(block, found, strict=True)
                lines.append(f"{name:<{first}}" + "".join(f"  {value or '-':>{widths[loss]}}" for loss, value in pairs))
        lines.append("")
    return "\n".join(lines)
