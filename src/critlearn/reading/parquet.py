"""Tables in Parquet files, of which a few bytes may stand for billions of equal rows."""

from pathlib import Path
from typing import TYPE_CHECKING

from critlearn.errors import DataError, first_line
from critlearn.reading.limits import LARGEST_EXPANDED

if TYPE_CHECKING:
    import pandas as pd


def read_parquet(path: Path) -> "pd.DataFrame":
    """Read a table, after its rows are counted.

    Raises
    ------
    DataError
        If it cannot be read, or is larger than what a compressed file may expand to.
    """
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    try:
        held = pyarrow.parquet.read_metadata(path)
        parts = [held.row_group(number).total_byte_size for number in range(held.num_row_groups)]
        # Eight bytes a value, or what the pages take, if that is more.
        if max(8 * held.num_rows * held.num_columns, sum(parts)) > LARGEST_EXPANDED:
            raise ValueError(
                f"its {held.num_rows:,} rows take more than {LARGEST_EXPANDED >> 20} MiB: save them as .npz"
            )
        return pd.read_parquet(path)
    # Damaged files raise nearly anything: errors of Arrow, of its metadata as JSON, of pandas' types.
    except (OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError, NotImplementedError) as problem:
        raise DataError(f'"{path}" cannot be read: {first_line(problem)}') from None
    except pyarrow.ArrowException as problem:
        raise DataError(f'"{path}" cannot be read: {first_line(problem)}') from None
