"""Command ``critlearn results``: one row for each cell and quantity of a store."""

from pathlib import Path
from typing import Annotated

import typer

from critlearn.cli.terminal import print_csv, say


def results(
    store: Annotated[str, typer.Argument(help="Store of a sweep, as a folder or fsspec URL; or a folder of runs.")],
    where: Annotated[
        str | None, typer.Option(help='Conditions on columns: "activation == tanh and decades > 1".')
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write a .parquet file, and print nothing else.")] = None,
) -> None:
    """List what a store holds."""
    from critlearn.cli.display import print_results
    from critlearn.studies.runs.table import runs_table
    from critlearn.studies.sweep.results.table import load_results, save_table

    table = load_results(store, where=where) if _is_store(store) else runs_table(Path(store), where=where)
    unread = table[table["status"].isin(["corrupt", "failed"])].drop_duplicates("cell")
    for status, cell, reason in unread[["status", "cell", "reason"]].itertuples(index=False):
        say(f"critlearn: {status} cell {cell}: {reason}", err=True)
    if parquet is not None:
        say(str(save_table(table, parquet)))
        return
    if csv:
        print_csv(table.to_csv(index=False))
        return
    print_results(table)


def _is_store(place: str) -> bool:
    """Whether a place is to be read as a store of a sweep: what is no folder of runs is, and told if it is none."""
    from critlearn.analysis.run_folder import RECORD, run_folders
    from critlearn.studies.sweep.results.store import MARK

    if "://" in place or (Path(place) / MARK).exists():
        return True
    return not ((Path(place) / RECORD).is_file() or run_folders(Path(place)))
