"""Command ``critlearn results``: one row for each cell and quantity of a store."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def results(
    store: Annotated[str, typer.Argument(help="Folder or fsspec URL of the results.")],
    where: Annotated[
        str | None, typer.Option(help='Conditions on columns: "activation == tanh and decades > 1".')
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write a .parquet file, and print nothing else.")] = None,
) -> None:
    """List what a store holds."""
    from rich.console import Console
    from rich.table import Table

    from critlearn.studies.sweep.results.table import load_results, save_table

    table = load_results(store, where=where)
    unread = table[table["status"].isin(["corrupt", "failed"])].drop_duplicates("cell")
    for status, cell, reason in unread[["status", "cell", "reason"]].itertuples(index=False):
        typer.echo(f"critlearn: {status} cell {cell}: {reason}", err=True)
    if parquet is not None:
        typer.echo(str(save_table(table, parquet)))
        return
    if csv:
        table.to_csv(sys.stdout, index=False)
        return
    hidden = {"study", "ci_low", "ci_high", "seconds", "code", "planned", "reason", "epochs_trained"}
    columns = [name for name in table.columns if name not in hidden]
    shown = Table(*columns)
    for row in table[columns].itertuples(index=False):
        shown.add_row(*("-" if v is None or v != v else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
    Console(width=None if sys.stdout.isatty() else 160).print(shown)
