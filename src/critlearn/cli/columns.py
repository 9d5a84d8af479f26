"""Columns of numbers from a file or standard input, by name; nothing is unpickled or evaluated."""

import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from critlearn.errors import DataError, unknown_name
from critlearn.numerics.array_file import read_arrays
from critlearn.numerics.csv_table import parsed_csv

if TYPE_CHECKING:
    import pandas as pd

STANDARD_INPUT: Final = "-"
SUFFIXES: Final = (".csv", ".npy", ".npz", ".parquet")


def read_columns(file: str) -> Mapping[str, np.ndarray]:
    """All columns, or arrays, of a file, in order.

    Parameters
    ----------
    file
        ``.csv`` (with or without a line of names), ``.npy`` (flat, or columns 0, 1, ... of a two-dimensional array),
        ``.npz``, ``.parquet``, or ``-`` for a table as text on standard input, one row a line.

    Raises
    ------
    DataError
        If the file is not there, of another kind, or damaged.
    """
    if file == STANDARD_INPUT:
        return _table(_standard_input(), "standard input")
    path = Path(file)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f'"{file}" is none of the files that can be read: {", ".join(SUFFIXES)}, or - for input')
    if not path.is_file():
        raise DataError(f'there is no file "{file}"')
    try:
        if suffix == ".csv":
            return _table(path.read_text(encoding="utf-8-sig"), file)
        if suffix == ".parquet":
            import pandas as pd

            return _frame(pd.read_parquet(path))
        if suffix == ".npz":
            return read_arrays(path)
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError) as problem:
        # NumPy's own words advise to unpickle, which runs what is in the file.
        pickled = "allow_pickle" in str(problem)
        why = "it holds Python objects; save an array of numbers" if pickled else problem
        raise DataError(f'"{file}" cannot be read: {why}') from None
    if loaded.ndim > 2:
        raise DataError(f'"{file}" holds an array of shape {loaded.shape}: save it flat, or as a table of columns')
    if loaded.ndim == 2:
        return {str(column): loaded[:, column] for column in range(loaded.shape[1])}
    return {"0": loaded.ravel()}


def _standard_input() -> str:
    """All text on standard input."""
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        binary = ", ".join(SUFFIXES[1:])
        raise DataError(f"standard input must be text, one row a line; binary data are read from a file ({binary})")
    return text


def choose_column(columns: Mapping[str, np.ndarray], name: str | None, file: str) -> np.ndarray:
    """Column by name; without one, the only column there is.

    A lone column of numbers among others is not taken for granted: one bad cell makes the one that was meant text.

    Raises
    ------
    DataError
        If the choice is not clear, or the column does not hold numbers.
    InvalidInputError
        If there is no such column.
    """
    if name is not None:
        if name not in columns:
            raise unknown_name("column", name, columns)
        chosen = columns[name]
    elif not columns:
        raise DataError(f'"{file}" holds no arrays')
    elif len(columns) != 1:
        raise DataError(f'"{file}" has {len(columns)} columns ({", ".join(list(columns)[:8])}): choose with --column')
    else:
        name, chosen = next(iter(columns.items()))
    if chosen.dtype == object and all(isinstance(value, Decimal) for value in chosen.tolist()):
        chosen = chosen.astype(np.float64)
    if chosen.dtype.kind not in "biuf":
        raise DataError(f'column "{name}" of "{file}" does not hold numbers{_first_text(chosen)}')
    return chosen


def _first_text(values: np.ndarray) -> str:
    """First value that is no number, with its row, for messages."""
    for row, value in enumerate(values.ravel().tolist(), start=1):
        try:
            float(value)
        except (TypeError, ValueError):
            return f": {value!r} in row {row} of the data"
    return ""


def _table(text: str, source: str) -> Mapping[str, np.ndarray]:
    """Table in text; the first line is one of names unless all of it are numbers."""
    lines = text.lstrip().splitlines()
    if not lines:
        raise DataError(f"{source} is empty")
    if ";" in lines[0]:
        raise DataError(f"{source} has semicolons: columns are separated by commas or spaces, decimals by points")
    # A name may have blanks in it, where the rows have one number each.
    lone = len(lines) > 1 and len(lines[1].split()) == 1
    separator = "," if "," in lines[0] or lone else r"\s+"
    first = lines[0].split(",") if separator == "," else lines[0].split()
    header = None if all(map(_is_number, first)) else 0
    frame = parsed_csv(text, source, sep=separator, header=header, skipinitialspace=True)
    if frame.shape[0] == 0:
        raise DataError(f"{source} has names of columns and no rows")
    return _frame(frame)


def _frame(frame: "pd.DataFrame") -> Mapping[str, np.ndarray]:
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
