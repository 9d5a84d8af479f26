"""Command ``critlearn table``: the exponents of the whole catalogue."""

import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

_WIDTH: Final = 160
"""Characters of a line where there is no terminal: no name is cut."""


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
) -> None:
    """List every activation with every loss: exponent, tail, other limits."""
    from critlearn.compositions.named.table import COLUMNS, catalogue_table

    rows = catalogue_table(activation=activation, loss=loss)
    cells = [[row[column] for column in COLUMNS] for row in rows]
    if form is TableFormat.JSON:
        import json

        typer.echo(json.dumps({"compositions": rows}, allow_nan=False))
    elif form is TableFormat.CSV:
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerows([COLUMNS, *cells])
    elif form is TableFormat.MARKDOWN:
        lines = [COLUMNS, ["---"] * len(COLUMNS), *[[str(cell).replace("|", "\\|") for cell in row] for row in cells]]
        typer.echo("\n".join("| " + " | ".join(line) + " |" for line in lines))
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*COLUMNS)
        for row in cells:
            shown.add_row(*(str(cell) for cell in row))
        Console(width=None if sys.stdout.isatty() else _WIDTH).print(shown)
