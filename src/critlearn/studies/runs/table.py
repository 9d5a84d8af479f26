"""Many stored runs as one table: a row for each run and quantity."""

from pathlib import Path
from typing import Any, Final

import pandas as pd

from critlearn.errors import DataError
from critlearn.studies.record_schema import parse_record
from critlearn.studies.run_folder import RECORD
from critlearn.studies.sweep.results.store import MARK
from critlearn.studies.sweep.results.table import COLUMNS, load_results, quantity_columns
from critlearn.studies.sweep.study.conditions import in_one_field

CELLS: Final = "cells"
"""Folder of a store of a sweep that holds its runs."""


def runs_folder(folder: Path) -> Path:
    """Where the runs themselves are: in a store of a sweep, its folder of cells."""
    return folder / CELLS if (folder / CELLS).is_dir() else folder


def runs_table(folder: Path) -> pd.DataFrame:
    """Every run in a folder, with the settings in which they differ as columns; of a store, what `load_results` gives.

    The folder of a single run is a table of that run. A record that cannot be read is a row of status ``corrupt``.

    Raises
    ------
    DataError
        If the folder holds no run.
    """
    if (folder / MARK).is_file():
        return load_results(str(folder))
    rows: list[dict[str, Any]] = []
    settings: list[dict[str, Any]] = []
    alone = folder.resolve() / RECORD
    for path in [alone] if alone.is_file() else sorted(runs_folder(folder).glob(f"*/{RECORD}")):
        if path.parent.name.startswith("."):
            # Being written, or left by a sweep that was killed.
            continue
        try:
            record = parse_record(path.read_bytes(), str(path))
            run = {"study": record["study"], "cell": path.parent.name, "status": "finished", "seed": record["seed"]}
            run["code"] = record["versions"].get("critlearn")
            of_run = [{**run, **quantity_columns(record, name)} for name in record["quantities"]]
            given = {k: in_one_field(v) for k, v in record["config"].items() if k != "seed"}
        except (OSError, DataError) as problem:
            of_run, given = [{"cell": path.parent.name, "status": "corrupt", "reason": str(problem)}], {}
        rows += of_run
        settings += [given] * len(of_run)
    if not rows:
        raise DataError(f'"{folder}" holds no run: `critlearn run ... --out {folder}` makes one')
    swept = pd.DataFrame(settings)
    differing = [name for name in swept if swept[name].dropna().nunique() > 1]
    return pd.concat([pd.DataFrame(rows, columns=list(COLUMNS)), swept[differing]], axis=1)


def swept_settings(table: pd.DataFrame) -> list[str]:
    """Columns that are settings."""
    return [str(name) for name in table.columns if name not in COLUMNS]
