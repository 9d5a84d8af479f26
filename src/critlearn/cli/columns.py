"""Columns of numbers from a file or standard input, by name; nothing is unpickled or evaluated."""

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from critlearn.errors import DataError, unknown_name
from critlearn.reading.arrays import expanded_gzip, read_array, read_arrays
from critlearn.reading.csv_table import parsed_csv
from critlearn.reading.limits import LARGEST_UNSEEN_TEXT
from critlearn.reading.parquet import read_parquet
from critlearn.reading.text_file import decoded, read_text, standard_input

if TYPE_CHECKING:
    import pandas as pd

STANDARD_INPUT: Final = "-"
PLAIN_SUFFIXES: Final = (".csv", ".txt", ".npy")
"""Files that are also read as ``.gz``; the others are compressed in themselves."""
SUFFIXES: Final = (*PLAIN_SUFFIXES, ".npz", ".parquet")

FEWEST_IN_ROW: Final = 20
"""Numbers in the only row of a text from which on they are a sample, and not a table of one row."""


def read_columns(file: str) -> Mapping[str, np.ndarray]:
    """All columns, or arrays, of a file, in order.

    Parameters
    ----------
    file
        ``.csv`` (with or without a line of names), ``.txt`` (numbers, columns of them between blanks, tabs or commas,
        or all of them in one line; ``#`` begins a comment), ``.npy`` (flat, or columns 0, 1, ... of a two-dimensional
        array), each also compressed as ``.gz``; ``.npz``, ``.parquet``, or ``-`` for text like that of a ``.txt`` on
        standard input.

    Raises
    ------
    DataError
        If the file is not there, of another kind, damaged, or expands beyond what is plausible.
    """
    if file == STANDARD_INPUT:
        return _table(_without_comments(standard_input()), "standard input", comment="#")
    path = Path(file)
    name = path.name.lower()
    compressed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in (PLAIN_SUFFIXES if compressed else SUFFIXES):
        plain = ", ".join(PLAIN_SUFFIXES)
        raise DataError(
            f'"{file}" is none of the files that can be read: {plain} (each also as .gz), .npz, .parquet, or - for '
            "standard input"
        )
    if not path.is_file():
        raise DataError(f'there is no file "{file}"')
    if suffix == ".npz":
        return read_arrays(path)
    if suffix == ".npy":
        return _array_columns(read_array(path, compressed=compressed), file)
    if suffix == ".parquet":
        return _frame(read_parquet(path))
    text = decoded(expanded_gzip(path, LARGEST_UNSEEN_TEXT), f'"{file}"') if compressed else read_text(path)
    return _table(text, file) if suffix == ".csv" else _table(_without_comments(text), file, comment="#")


def _array_columns(array: np.ndarray, file: str) -> Mapping[str, np.ndarray]:
    """Columns 0, 1, ... of one array."""
    if array.ndim > 2:
        raise DataError(f'"{file}" holds an array of shape {array.shape}: save it flat, or as a table of columns')
    if array.ndim == 2:
        return {str(column): array[:, column] for column in range(array.shape[1])}
    return {"0": array.ravel()}


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


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in one line, shortened if they are many.

    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _first_text(values: np.ndarray) -> str:
    """First value that is no number, with its row, for messages."""
    for row, value in enumerate(values.ravel().tolist(), start=1):
        try:
            float(value)
        except (TypeError, ValueError):
            return f": {value!r} in row {row} of the data"
    return ""


def _without_comments(text: str) -> str:
    """Text from its first row of data on: comments before it would be taken for names of columns."""
    start = 0
    for line in io.StringIO(text, newline=""):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        start += len(line)
    return text[start:]


def _table(text: str, source: str, comment: str | None = None) -> Mapping[str, np.ndarray]:
    """Table in text; the first line is one of names unless all of it are numbers."""
    # The first two lines alone: a list of all of them takes several times the memory of the text.
    lines = [line.strip() for line, _ in zip(io.StringIO(text.strip(), newline=None), range(2), strict=False)]
    if comment is not None:
        lines = [line.split(comment)[0].strip() for line in lines]
    if not lines:
        raise DataError(f"{source} is empty")
    if ";" in lines[0]:
        raise DataError(f"{source} has semicolons: columns are separated by commas or spaces, decimals by points")
    # A name may have blanks in it, where the rows have one number each.
    lone = len(lines) > 1 and len(lines[1].split()) == 1
    separator = "," if "," in lines[0] or lone else r"\s+"
    first = lines[0].split(",") if separator == "," else lines[0].split()
    header = None if all(map(_is_number, first)) else 0
    if header is None and len(lines) == 1 and len(first) >= FEWEST_IN_ROW:
        return {"0": np.array(first, dtype=np.float64)}
    frame = parsed_csv(text, source, sep=separator, header=header, skipinitialspace=True, comment=comment)
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
