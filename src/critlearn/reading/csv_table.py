"""Read tables in text whose columns have different names."""

import csv
import io
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from critlearn.errors import DataError
from critlearn.reading.limits import LONGEST_NAME, MOST_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def parsed_csv(text: str, source: str, **settings: Any) -> "pd.DataFrame":
    """Read a table from text; settings as of `pandas.read_csv`.

    Raises
    ------
    DataError
        If two columns have one name, or rows have more fields than there are names: pandas would take the first column
        for labels of the rows, and another column for the one that was asked for. If there are more columns, or longer
        names of them, than a table has.
    """
    import pandas as pd

    names = _first_row(text, source, settings.get("sep", ","))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(io.StringIO(text), index_col=False, **settings)
    except pd.errors.ParserWarning:
        raise DataError(f"{source} is no table: its rows have more fields than its first line has names") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{source} is empty") from None
    except (ValueError, pd.errors.ParserError) as problem:
        raise DataError(f"{source} is no table: {' '.join(str(problem).split())}") from None
    if settings.get("header", 0) == 0 and settings.get("sep", ",") == ",":
        _refuse_repeated_names(names, source)
    return frame


def _first_row(text: str, source: str, separator: str) -> list[str]:
    """Fields of the first row, counted before a table is made of them."""
    start = len(text) - len(text.lstrip())
    longest = (LONGEST_NAME + 4) * MOST_COLUMNS
    head = io.StringIO(text[start : start + longest])
    try:
        names = next(csv.reader(head), []) if separator == "," else head.readline().split()
    except csv.Error as problem:
        raise DataError(f"{source} is no table: the names of its columns cannot be read ({problem})") from None
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{source} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read of a text: save it as .parquet or "
            ".npz"
        )
    for place, name in enumerate(names, 1):
        if len(name) > LONGEST_NAME:
            raise DataError(
                f"{source} is no table: column {place} has a name of {len(name):,} characters ({name[:20]}...)"
            )
    return [name.strip() for name in names]


def _refuse_repeated_names(names: list[str], source: str) -> None:
    """Raise if two columns have the same name: pandas would rename the second one without a word."""
    counts = Counter(names)
    repeated = sorted(name for name, number in counts.items() if name and number > 1)
    if repeated:
        raise DataError(f'{source} is no table: {counts[repeated[0]]} of its columns are called "{repeated[0]}"')
