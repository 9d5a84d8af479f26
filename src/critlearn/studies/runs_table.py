"""Many stored runs as one table: a row for each run and quantity."""

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd

from critlearn.errors import DataError
from critlearn.studies.store import RECORD

CELLS: Final = "cells"
"""Folder of a store of a sweep that holds its runs."""

FIXED: Final = (
    "study", "cell", "status", "quantity", "measured_exponent", "predicted_exponent", "ci_low", "ci_high", "decades",
    "verdict", "agreement", "certified", "seconds", "code", "seed", "statement",
)  # fmt: skip
"""Columns of every table; all others are settings."""


def runs_folder(folder: Path) -> Path:
    """Where the runs themselves are: in a store of a sweep, its folder of cells."""
    return folder / CELLS if (folder / CELLS).is_dir() else folder


def runs_table(folder: Path) -> pd.DataFrame:
    """Every run in a folder, or in a store of a sweep, with the settings in which they differ as columns.

    A record that cannot be read is a row of status ``corrupt``.

    Raises
    ------
    DataError
        If the folder holds no run.
    """
    rows: list[dict[str, Any]] = []
    settings: list[dict[str, Any]] = []
    for path in sorted(runs_folder(folder).glob(f"*/{RECORD}")):
        if path.parent.name.startswith("."):
            # Being written, or left by a sweep that was killed.
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            of_run = [_row(path.parent.name, record, name) for name in record["quantities"]]
            given = {k: _hashable(v) for k, v in record["config"].items() if k != "seed"}
        except (OSError, ValueError, KeyError, TypeError):
            of_run, given = [{"cell": path.parent.name, "status": "corrupt"}], {}
        rows += of_run
        settings += [given] * len(of_run)
    if not rows:
        raise DataError(f'"{folder}" holds no run: `critlearn run ... --out {folder}` makes one')
    swept = pd.DataFrame(settings)
    differing = [name for name in swept if swept[name].dropna().nunique() > 1]
    return pd.concat([pd.DataFrame(rows, columns=list(FIXED)), swept[differing]], axis=1)


def swept_settings(table: pd.DataFrame) -> list[str]:
    """Columns that are settings."""
    return [str(name) for name in table.columns if name not in FIXED]


def _row(cell: str, record: dict[str, Any], name: str) -> dict[str, Any]:
    quantity = record["quantities"][name]
    predicted = quantity["predicted"]
    return {
        "study": record["study"],
        "cell": cell,
        "status": "finished",
        "quantity": name,
        "measured_exponent": quantity["measured"]["exponent"],
        "predicted_exponent": None if predicted is None else predicted["exponent_on_measured_window"],
        "ci_low": (quantity["measured"]["ci95"] or [None, None])[0],
        "ci_high": (quantity["measured"]["ci95"] or [None, None])[1],
        "decades": quantity["measured"]["decades"],
        "verdict": quantity["measured"]["verdict"],
        "agreement": quantity["agreement"],
        "certified": record["equilibrium"]["certified"],
        "seconds": record["seconds"],
        "code": record["versions"]["critlearn"],
        "seed": record["seed"],
        "statement": quantity["statement"],
    }


def _hashable(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else value
