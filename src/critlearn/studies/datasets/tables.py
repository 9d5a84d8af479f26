"""Tables from files: features as numbers, classes as labels; errors name the row and the column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from critlearn.errors import DataError
from critlearn.reading.arrays import read_arrays
from critlearn.reading.csv_table import parsed_csv
from critlearn.reading.parquet import read_parquet
from critlearn.reading.text_file import read_text

READERS = (".csv", ".npz", ".parquet")
"""Endings of the files that can be read."""


@dataclass(frozen=True)
class Choice:
    """Choice of the columns of a table.

    Parameters
    ----------
    target
        Column, or array, that holds the class; the last column if None.
    columns
        Features, in this order; all other columns if there are none.
    drop
        Columns that are left out.
    """

    target: str | None = None
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def features(self, names: Sequence[str], source: str) -> list[str]:
        """Features among the columns of that name, of which the class is none.

        Raises
        ------
        DataError
            If a column is not there, or none is left.
        """
        there = set(names)
        for name in (*self.columns, *self.drop):
            if name not in there:
                check_column(name, names, source)
        chosen = [name for name in dict.fromkeys(self.columns or names) if name not in self.drop]
        if not chosen:
            raise DataError(f'"{source}" has no feature left; columns: {", ".join(names[:20])}')
        return chosen


@dataclass(frozen=True, eq=False)
class Table:
    """Table of a data set: features of shape (sample, feature), their names, and the label of each sample."""

    features: Float64[np.ndarray, "sample feature"]
    names: tuple[str, ...]
    labels: np.ndarray

    def chosen(self, choice: Choice, source: str) -> "Table":
        """The same samples with the features of a choice."""
        names = choice.features(self.names, source)
        places = {name: place for place, name in enumerate(self.names)}
        return Table(self.features[:, [places[name] for name in names]], tuple(names), self.labels)


def check_column(name: str, names: Sequence[str], source: str) -> None:
    """Raise if there is no column of that name, with the nearest.

    Raises
    ------
    DataError
        If there is none.
    """
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        raise DataError(f'"{source}" has no column "{name}"{hint} columns: {", ".join(names[:20])}')


def read_table(path: Path, choice: Choice) -> Table:
    """Read a table from a ``.csv``, ``.npz`` or ``.parquet`` file.

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
        return _from_arrays(path, choice)
    return from_frame(_frame(path), str(path), choice)


def _frame(path: Path) -> pd.DataFrame:
    """Data frame of a CSV or Parquet file."""
    frame = parsed_csv(read_text(path), f'"{path}"') if path.suffix == ".csv" else read_parquet(path)
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


def from_frame(frame: pd.DataFrame, source: str, choice: Choice) -> Table:
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
    names = list(frame.columns)
    target = choice.target
    if target is None:
        # The last column that is kept, or, where all are to be dropped, the last one, which is then refused below.
        target = next((name for name in reversed(names) if name not in choice.drop), names[-1])
    check_column(target, names, source)
    if target in (*choice.columns, *choice.drop):
        raise DataError(f'"{source}": column "{target}" is the class and no feature; --target names another class')
    chosen = choice.features([name for name in names if name != target], source)
    columns = [_numbers(frame[name], name, source) for name in chosen]
    return Table(np.stack(columns, axis=1), tuple(chosen), frame[target].to_numpy())


def _numbers(column: Any, name: str, source: str) -> Float64[np.ndarray, " sample"]:
    """Feature as finite numbers."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        shown = column.iloc[int(bad[0])]
        raise DataError(
            f'"{source}": column "{name}" holds {_shown(shown)} in row {int(bad[0]) + 1} of the data '
            f"({bad.size} of {numbers.size} values are no finite numbers); --drop {name} leaves it out"
        )
    return numbers


def _shown(value: Any) -> str:
    """Value as it stood in the table."""
    return "nothing" if pd.isna(value) else f"{value}" if isinstance(value, float) else repr(value)


def _from_arrays(path: Path, choice: Choice) -> Table:
    """Table from an ``.npz`` file with arrays ``x`` and ``t`` (or ``y``, or the one named)."""
    stored = read_arrays(path)
    labels_name = choice.target or next((name for name in ("t", "y") if name in stored), "t")
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
    names = tuple(f"x{i}" for i in range(features.shape[1]))
    table = Table(features.astype(np.float64), names, labels).chosen(choice, str(path))
    bad = np.argwhere(~np.isfinite(table.features))
    if bad.size:
        row, column = (int(index) for index in bad[0])
        value = table.features[row, column]
        raise DataError(f'"{path}": feature {table.names[column]} is {value} in row {row + 1} of the data')
    return table
