"""Series of variables over time, read in blocks of rows, so that files larger than the memory can be analysed."""

import math
import mmap
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.dynamics.criteria import FEWEST_STEPS, TIME_BLOCKS
from critlearn.errors import InvalidInputError
from critlearn.numerics.kernels.compiled import compiled
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.validation import as_real_array

_VALUES_AT_ONCE: Final = 1 << 18
"""Values of a block of rows: 2 MiB, which stays in the cache of a core."""

_LEAST_BIN: Final = math.floor(math.log(5e-324) / BIN_WIDTH) - 1
_BINS: Final = math.ceil(math.log(sys.float_info.max) / BIN_WIDTH) + 1 - _LEAST_BIN
"""Bins of a sketch that floats can fall into: counted in a table, without a search for their range."""

_LARGEST: Final = 1e100
"""Size beyond which sums and sizes of avalanches might overflow."""

_CENTRED_ON: Final = 1000
"""Rows, evenly spread, whose median is the centre of a variable."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """What one pass over a series keeps: sketches, and two signals over time.

    Parameters
    ----------
    values, increments
        Sketches of the deviations of each variable from its median, and of its increments; groups are stretches of
        time.
    total
        Sum over the variables at each step.
    activity
        Root mean square over the variables of the increment of each step.
    """

    values: LogSketch
    increments: LogSketch
    total: Float64[np.ndarray, " time"]
    activity: Float64[np.ndarray, " increment"]


def as_series(series: Any, times: Any = None) -> np.ndarray:
    """Series as an array of shape (time, variable), without a copy; NaN is looked for when it is read.

    Raises
    ------
    InvalidInputError
        If it has not one or two dimensions, no real numbers, masked values or too few steps, or the times are not
        equally spaced.
    """
    array = _columns(series)
    if len(array) < FEWEST_STEPS:
        steps = "1 time step" if len(array) == 1 else f"{len(array)} time steps"
        raise InvalidInputError(f"a series needs at least {FEWEST_STEPS} time steps; got {steps}")
    if times is not None:
        check_times(times, len(array))
    return array


def _columns(series: Any) -> np.ndarray:
    """Array of real numbers of shape (time, variable), of one variable too."""
    array = as_real_array("a series", series)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise InvalidInputError(f"a series has the shape (time,) or (time, variable); got {array.shape}")
    return array[:, None] if array.ndim == 1 else array


def check_times(times: Any, steps: int) -> None:
    """Raise if times are not equally spaced and ascending, one for each step.

    Raises
    ------
    InvalidInputError
        If they are not.
    """
    known = as_real_array("an array of times", times)
    if known.shape != (steps,):
        raise InvalidInputError(f"{steps} steps need as many times, which are numbers; got shape {known.shape}")
    gaps = np.diff(known.astype(np.float64))
    # Times that were computed as multiples of a step are rounded at the size of the last one.
    slack = 1e-6 * np.abs(gaps).mean() + 4 * np.finfo(float).eps * np.abs(known).max()
    if not (np.isfinite(gaps).all() and (gaps > 0).all() and np.ptp(gaps) <= slack):
        raise InvalidInputError(
            f"times must be ascending and equally spaced; their differences lie between {gaps.min():g} and "
            f"{gaps.max():g}: interpolate the series, or leave out what was taken between"
        )


def increments(series: Any) -> np.ndarray:
    """Changes from each step to the next, shape (time - 1, variable), or (time - 1,) of one variable.

    Raises
    ------
    InvalidInputError
        If the series has not one or two dimensions, no real numbers or fewer than 100 steps, or holds NaN or infinity.
    """
    found = np.diff(_finite(series), axis=0)
    return found[:, 0] if np.ndim(series) == 1 else found


def _finite(series: Any) -> Float64[np.ndarray, "time variable"]:
    """Series in memory, of numbers that are all finite."""
    values = as_series(series).astype(np.float64)
    if not np.isfinite(values).all():
        raise _not_finite("the series holds", values, 0)
    return values


def own_units(series: Any) -> np.ndarray:
    """Deviations of each variable from its median over time, in units of their root mean square.

    Many variables of different scales make a tail together where none of them has one; in their own units they do not.
    Constant variables are left out.

    Raises
    ------
    InvalidInputError
        As `increments`, or if all variables are constant.
    """
    values = _finite(series)
    deviations = values - np.median(values, axis=0)
    # Not their median: a weight that mostly rests, such as that of a pixel that is seldom lit, would have a unit of
    # what it does at rest.
    scale = np.sqrt((deviations**2).mean(axis=0))
    if not scale.any():
        raise InvalidInputError("the series is constant: no variable has a unit")
    found = deviations[:, scale > 0] / scale[scale > 0]
    return found[:, 0] if np.ndim(series) == 1 else found


def stream(series: np.ndarray) -> Streamed:
    """Read a series of shape (time, variable) once, in blocks of rows.

    Raises
    ------
    InvalidInputError
        If it holds NaN or infinity, or does not change at all.
    """
    steps = len(series)
    centre = _centre(series)
    total, activity = np.empty(steps), np.empty(steps - 1)
    values, changes = _Counter(steps), _Counter(steps - 1)
    previous: np.ndarray | None = None
    start = 0
    for rows in row_blocks(series):
        if not np.abs(rows).max() <= _LARGEST:
            if np.isfinite(rows).all():
                raise InvalidInputError(f"the series holds values beyond {_LARGEST:g}: scale it")
            raise _not_finite("the series holds", rows, start)
        stop = start + len(rows)
        total[start:stop] = rows.sum(axis=1)
        values.count(rows - centre, start)
        joined = rows if previous is None else np.concatenate([previous, rows])
        change = np.diff(joined, axis=0)
        first = max(start - 1, 0)
        changes.count(change, first)
        activity[first : stop - 1] = _root_mean_square(change)
        previous, start = rows[-1:], stop
    if not activity.any():
        raise InvalidInputError("the series is constant: no variable changes from one step to the next")
    return Streamed(values.sketch(), changes.sketch(), total, activity)


def _root_mean_square(rows: Float64[np.ndarray, "time variable"]) -> Float64[np.ndarray, " time"]:
    """Root mean square over the variables; squares of the smallest floats would vanish."""
    scale = np.abs(rows).max(initial=0.0)
    if scale == 0:
        return np.zeros(len(rows))
    scaled = rows / scale
    return scale * np.sqrt(np.einsum("ij,ij->i", scaled, scaled) / rows.shape[1])


def _not_finite(what: str, rows: np.ndarray, start: int) -> InvalidInputError:
    """Error that names the first place where a series is no number; `start` is the number of its first row."""
    step, variable = (int(place[0]) for place in np.nonzero(~np.isfinite(rows)))
    return InvalidInputError(
        f"{what} NaN or infinity, first at step {start + step} of variable {variable}: leave out what comes from there"
    )


def _centre(series: np.ndarray) -> Float64[np.ndarray, " variable"]:
    """Median of each variable, by rows that are spread evenly; it decides nothing where a value is not finite."""
    rows = []
    for step in range(0, len(series), max(1, len(series) // _CENTRED_ON)):
        rows.append(series[step].astype(np.float64))
        # The system reads a file far beyond a row.
        _forget(series)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = np.median(rows, axis=0)
    return np.nan_to_num(middle, posinf=0.0, neginf=0.0)


def sketch_in_time(values: np.ndarray) -> LogSketch:
    """Sketch of values of shape (time,) or (time, variable) whose groups are stretches of time.

    Raises
    ------
    InvalidInputError
        If they have not one or two dimensions, or are not finite real numbers.
    """
    array = _columns(values)
    if not len(array):
        raise InvalidInputError("a sketch needs a time step or more; got none")
    counter = _Counter(len(array))
    for start, rows in _located(array):
        if not np.isfinite(rows).all():
            raise _not_finite("the values hold", rows, start)
        counter.count(rows, start)
    return counter.sketch()


def row_blocks(series: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows as 64-bit floats."""
    for _, rows in _located(series):
        yield rows


def _located(series: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows with the number of their first row."""
    height = max(1, _VALUES_AT_ONCE // series.shape[1])
    for start in range(0, len(series), height):
        yield start, np.array(series[start : start + height], dtype=np.float64)
        _forget(series)


def _forget(series: np.ndarray) -> None:
    """Let go of the pages of a file that have been read: otherwise all of it would be in memory in the end."""
    mapped: object = series.base
    if isinstance(series, np.memmap) and series.mode == "r" and isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)


class _Counter:
    """Counts values by the stretch of time that they lie in."""

    def __init__(self, steps: int) -> None:
        self._steps, self._groups = steps, min(TIME_BLOCKS, steps)
        self._zeros = np.zeros(self._groups, dtype=np.int64)
        self._counts: list[np.ndarray] = []
        self._ends = [(number + 1) * steps // self._groups for number in range(self._groups)]

    def count(self, rows: Float64[np.ndarray, "time variable"], start: int) -> None:
        """Count rows of which the first is that of step `start`; steps come in order."""
        at = 0
        while at < len(rows):
            group = np.searchsorted(self._ends, start + at, side="right")
            stop = min(len(rows), self._ends[group] - start)
            if len(self._counts) <= group:
                self._finish()
                self._counts.append(np.zeros((2, _BINS), dtype=np.int64))
            self._zeros[group] += _count(rows[at:stop].ravel(), self._counts[-1], 1 / BIN_WIDTH, _LEAST_BIN)
            at = stop

    def _finish(self) -> None:
        """Trim the counts of the last stretch: most bins are empty."""
        if self._counts:
            self._counts[-1] = self._counts[-1].astype(np.int32 if self._counts[-1].max() < 2**31 else np.int64)

    def sketch(self) -> LogSketch:
        """Sketch of all that was counted."""
        filled = np.flatnonzero(sum(counts.sum(axis=0) for counts in self._counts))
        if not filled.size:
            return LogSketch.empty(self._groups)
        low, high = int(filled[0]), int(filled[-1]) + 1
        counts = np.stack([counts[:, low:high] for counts in self._counts]).astype(np.int64)
        return LogSketch(_LEAST_BIN + low, counts[:, 0].copy(), counts[:, 1].copy(), self._zeros)


@compiled
def _count(values: np.ndarray, counts: Int64[np.ndarray, "sign bin"], bins: float, least: int) -> int:
    """Count values on bins of their logarithm, by sign; returns the number of zeros."""
    zeros = 0
    for value in values:
        if value == 0.0:
            zeros += 1
        else:
            # Callers have checked that values are finite: the bins reach over all that floats can be.
            index = int(np.floor(np.log(abs(value)) * bins)) - least
            counts[1 if value < 0 else 0, index] += 1
    return zeros
