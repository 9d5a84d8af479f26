"""Read tables in text whose columns have different names."""

import csv
import io
import warnings
from typing import TYPE_CHECKING, Any

from critlearn.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def parsed_csv(text: str, source: str, **settings: Any) -> "pd.DataFrame":
    """Read a table from text; settings as of `pandas.read_csv`.

    Raises
    ------
    DataError
        If two columns have one name, or rows have more fields than there are names: pandas would take the first column
        for labels of the rows, and another column for the one that was asked for.
    """
    import pandas as pd

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
        _refuse_repeated_names(text, source)
    return frame


def _refuse_repeated_names(text: str, source: str) -> None:
    """Raise if two columns have the same name: pandas would rename the second one without a word."""
    names = [name.strip() for name in next(csv.reader(io.StringIO(text.lstrip())), [])]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise DataError(f'{source} is no table: {names.count(repeated[0])} of its columns are called "{repeated[0]}"')
