"""Series over time from files: an array, a table, or checkpoints of a network."""

import datetime
import fnmatch
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from critlearn.cli.checkpoint_files import CHECKPOINT, read_checkpoints
from critlearn.cli.columns import choose_column, listed, read_columns
from critlearn.dynamics.series import check_times
from critlearn.errors import DataError, InvalidInputError
from critlearn.reading.arrays import mapped_array

_TIMES: Final = (
    *("step", "steps", "globalstep", "iteration", "iterations", "iter", "iters"),
    *("batch", "batches", "epoch", "epochs", "time", "times", "t"),
    *("walltime", "relativetime", "timestamp", "runtime"),
    *("index", "unnamed", ""),
)
"""Names of columns that are times, the one that is taken first: counts of updates, coarser counts, clocks.

Rows are numbered equally whatever was left out between them, so the index that pandas writes comes last.
"""


@dataclass(frozen=True, eq=False)
class SeriesFile:
    """Series of a file, or of many, with its times where they are known, and a line that says what was taken."""

    series: np.ndarray
    times: np.ndarray | None
    source: str


def read_series(files: Sequence[str], *, only: str | None, time: str | None, variables: int, seed: int) -> SeriesFile:
    """Read a series.

    Parameters
    ----------
    files
        One ``.npy`` file, which is read in blocks, or one that `critlearn fit` reads as a table; the record of a
        monitor; or checkpoints ``.safetensors``, one for each time.
    only
        Pattern of the names of tensors, or of columns; all of them if None.
    time
        Column with the times.
    variables
        Number of entries of checkpoints that are kept, drawn at random.
    seed
        Of that.

    Raises
    ------
    DataError
        If a file cannot be read, or checkpoints are of different networks.
    InvalidInputError
        If files of different kinds are given, or times or the numbers in the names of checkpoints are not equally
        spaced.
    """
    kinds = {Path(file).suffix.lower() for file in files}
    if kinds == {CHECKPOINT}:
        if time is not None:
            raise InvalidInputError("--time names a column of a table; the times of checkpoints are in their names")
        record = _read_record(Path(files[0]), only) if len(files) == 1 else None
        if record is not None:
            return record
        series, source = read_checkpoints(files, only, variables, seed)
        return SeriesFile(series, None, source)
    if len(files) != 1:
        raise InvalidInputError(
            f"one series is one file, or checkpoints {CHECKPOINT}; got {len(files)} files of the kinds "
            f"{', '.join(sorted(kinds))}"
        )
    (file,) = files
    if kinds == {".npy"}:
        if only is not None or time is not None:
            raise InvalidInputError("--only and --time choose columns by name, which an array has not")
        return SeriesFile(mapped_array(Path(file)), None, file)
    return _read_table(file, only, time)


def _read_record(path: Path, only: str | None) -> SeriesFile | None:
    """Series of the record of a monitor, the longest stretch; None where the file is something else."""
    from critlearn.monitoring.storage import load_record

    try:
        record = load_record(path)
    except DataError:
        # A checkpoint: alone, it is refused as a series of one step.
        return None
    series = record.series
    names = [name for name in series.values if only is None or fnmatch.fnmatchcase(name, only)]
    if not names:
        raise InvalidInputError(f'no variable of "{path}" is called "{only}"; it has {listed(list(series.values))}')
    chosen = replace(series, values={name: series.values[name] for name in names})
    steps, values = chosen.longest_stretch()
    first, last = (int(steps[0]), int(steps[-1])) if steps.size else (0, 0)
    number = f"{values.shape[1]:,} {'variable' if values.shape[1] == 1 else 'variables'}"
    return SeriesFile(
        values, None, f"{path}: record of a monitor, {number}, steps {first:,} to {last:,} of {record.steps:,}"
    )


def _read_table(file: str, only: str | None, time: str | None) -> SeriesFile:
    """Series of the columns of a table; a column that tells a time is no variable."""
    columns = read_columns(file)
    # A column alone, or one that --only gives the whole name of, is what is to be studied.
    clocks = {name: rank for name in columns if name != only and len(columns) > 1 and (rank := _rank(name)) is not None}
    if time is None and clocks:
        time = min(clocks, key=clocks.__getitem__)
    times = None if time is None else _times(columns, time, file)
    names = [
        name
        for name in columns
        if name != time and name not in clocks and (only is None or fnmatch.fnmatchcase(name, only))
    ]
    if not names:
        raise InvalidInputError(
            f'no column of "{file}" is a series: it has {listed(list(columns)) or "none"}; one that is called like a '
            "time is studied where --only names it"
        )
    chosen = [choose_column(columns, name, file) for name in names]
    if len({len(column) for column in chosen}) > 1:
        raise DataError(f'the columns of "{file}" have different lengths')
    left_out = listed([name for name in clocks if name != time])
    source = (
        f"{file}: {len(names):,} {'variable' if len(names) == 1 else 'variables'} ({listed(names)}); "
        f"time: {'no column, rows are equally spaced' if time is None else time}"
    ) + (f"; left out: {left_out}" if left_out else "")
    return SeriesFile(np.stack(chosen, axis=1).astype(np.float64), times, source)


def _rank(name: str) -> int | None:
    """Place of a name among those of times, whatever its case and separators; None if it is none of them."""
    plain = re.sub(r"[\s_-]", "", name.lower())
    # An index without a name is called so by pandas, as "Unnamed: 0".
    plain = re.sub(r"^unnamed:[0-9.]+$", "unnamed", plain)
    return _TIMES.index(plain) if plain in _TIMES else None


def _times(columns: Mapping[str, np.ndarray], name: str, file: str) -> np.ndarray:
    """Times of a column, which may be dates; others than equally spaced ones are refused by its name."""
    dates = _dates(columns[name]) if name in columns else None
    times = choose_column(columns, name, file) if dates is None else dates
    if len(times) > 1:
        try:
            check_times(times, len(times))
        except InvalidInputError as problem:
            raise InvalidInputError(f'column "{name}", taken as the time (--time chooses another): {problem}') from None
    return times


def _dates(values: np.ndarray) -> np.ndarray | None:
    """Dates as integers that count from the first one, which keeps the digits of nanoseconds; None if they are none."""
    import pandas as pd

    held = values.dtype.kind
    if held not in "MOU" or not len(values) or (held == "O" and not isinstance(values[0], str | datetime.date)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            counted = pd.DatetimeIndex(pd.to_datetime(values, utc=True)).asi8
    except (ValueError, TypeError, OverflowError):
        return None
    return np.asarray(counted - counted[0])
