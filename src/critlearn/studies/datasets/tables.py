"""Tables from files: features as numbers, classes as labels; errors name the row and the column."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from critlearn.errors import DataError
from critlearn.numerics.array_file import first_line, read_arrays
from critlearn.numerics.csv_table import parsed_csv

READERS = (".csv", ".npz", ".parquet")
"""Endings of the files that can be read."""


@dataclass(frozen=True, eq=False)
class Table:
    """Table of a data set: features of shape (sample, feature), their names, and the label of each sample."""

    features: Float64[np.ndarray, "sample feature"]
    names: tuple[str, ...]
    labels: np.ndarray


def read_table(path: Path, target: str | None) -> Table:
    """Read a table from a ``.csv``, ``.npz`` or ``.parquet`` file; the class is the last column, or the one named.

    Raises
    ------
    DataError
        If the file is missing, unreadable or empty, or a feature is not a finite number.
    """
    if path.suffix not in READERS:
        raise DataError(f'"{path}" is not a data file that can be read: {", ".join(READERS)} are')
    if not path.exists():
        raise DataError(f'no such file: "{path}"')
    if not path.is_file():
        raise DataError(f'"{path}" is not a file')
    if path.suffix == ".npz":
        return _from_arrays(path, target)
    return from_frame(_frame(path), str(path), target)


def _frame(path: Path) -> pd.DataFrame:
    """Data frame of a CSV or Parquet file."""
    try:
        if path.suffix == ".csv":
            frame = parsed_csv(path.read_text(encoding="utf-8-sig"), f'"{path}"')
        else:
            frame = pd.read_parquet(path)
    except UnicodeDecodeError:
        raise DataError(f'"{path}" is not a text file in UTF-8') from None
    except (OSError, ValueError) as problem:
        raise DataError(f'"{path}" cannot be read: {first_line(problem)}') from problem
    if path.suffix == ".csv" and all(_is_number(str(name)) for name in frame.columns):
        raise DataError(f'"{path}" has no names of columns: its first row is {", ".join(map(str, frame.columns[:5]))}')
    return frame


def _is_number(name: str) -> bool:
    """Whether a column's name is a number; pandas appends ".1" to a repeated name."""
    try:
        float(re.sub(r"^(-?\d+(\.\d+)?)\.\d+$", r"\1", name))
    except ValueError:
        return False
    return True


def from_frame(frame: pd.DataFrame, source: str, target: str | None) -> Table:
    """Table from a data frame.

    Raises
    ------
    DataError
        If it is empty, has no such column, or a feature is not a finite number.
    """
    if frame.shape[0] == 0:
        raise DataError(f'"{source}" has no rows')
    # Names of columns may be numbers; the class is named by text.
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    if frame.shape[1] < 2:
        raise DataError(f'"{source}" has {frame.shape[1]} column; a feature and a class are needed')
    if target is None:
        target = str(frame.columns[-1])
    elif target not in frame.columns:
        near = get_close_matches(target, list(frame.columns), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        raise DataError(f'"{source}" has no column "{target}"{hint} columns: {", ".join(frame.columns[:20])}')
    features = frame.drop(columns=target)
    columns = [_numbers(features[name], name, source) for name in features.columns]
    return Table(np.stack(columns, axis=1), tuple(features.columns), frame[target].to_numpy())


def _numbers(column: Any, name: str, source: str) -> Float64[np.ndarray, " sample"]:
    """Feature as finite numbers."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        shown = column.iloc[int(bad[0])]
        raise DataError(
            f'"{source}": column "{name}" holds {_shown(shown)} in row {int(bad[0]) + 1} of the data '
            f"({bad.size} of {numbers.size} values are no finite numbers)"
        )
    return numbers


def _shown(value: Any) -> str:
    """Value as it stood in the table."""
    return "nothing" if pd.isna(value) else f"{value}" if isinstance(value, float) else repr(value)


def _from_arrays(path: Path, target: str | None) -> Table:
    """Table from an ``.npz`` file with arrays ``x`` and ``t`` (or ``y``, or the one named)."""
    stored = read_arrays(path)
    labels_name = target or next((name for name in ("t", "y") if name in stored), "t")
    missing = [name for name in ("x", labels_name) if name not in stored]
    if missing:
        raise DataError(f'"{path}" has no array "{missing[0]}"; arrays: {", ".join(stored) or "none"}')
    features, labels = stored["x"], stored[labels_name]
    if features.ndim == 1:
        features = features[:, None]
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise DataError(
            f'"{path}" needs x of shape (samples, features) and one label per sample; '
            f"got {features.shape} and {labels.shape}"
        )
    if features.shape[0] == 0:
        raise DataError(f'"{path}" has no rows')
    if features.dtype.kind not in "fiub":
        raise DataError(f'"{path}": x holds {features.dtype}, not numbers')
    features = features.astype(np.float64)
    bad = np.argwhere(~np.isfinite(features))
    if bad.size:
        row, column = (int(index) for index in bad[0])
        raise DataError(f'"{path}": feature {column} is {features[row, column]} in row {row + 1} of the data')
    return Table(features, tuple(f"x{i}" for i in range(features.shape[1])), labels)
