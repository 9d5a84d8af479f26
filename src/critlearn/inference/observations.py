"""Read raw values, sketches and histograms as counts on cells, by group of dependent samples."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.inference.counts.binning import MOST_CELLS, cells_for, count_values
from critlearn.inference.counts.cells import FAR_END, Cells
from critlearn.inference.counts.dependence import autocorrelation_time, block_length
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.counts.heaping import digit_cells, heaped_digits, size_cells
from critlearn.inference.counts.histogram import Histogram
from critlearn.inference.counts.raw_values import MOST_GROUPS, as_values, group_labels
from critlearn.inference.counts.resolution import resolution_floor
from critlearn.inference.criteria import SMALL_INTEGER
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.validation import as_number, check_integer
from critlearn.numerics.window import Window

Sign = Literal["absolute", "positive", "negative"]
Side = Literal["both", "small", "large"]
NanPolicy = Literal["refuse", "omit"]
"""Values of the options `sign`, `side` and `nan` of `fit_power_law`."""

_LARGEST_INTEGER: Final = 2**53
"""Up to here every integer is a float of its own."""

_FIRST: Final = 1000
"""Values of which a common divisor is looked for first."""

_COUNTED_INTEGER: Final = 1 << 20
"""Integer up to which values are counted in a table."""


_GRID_SLACK: Final = 1e-9
"""Rounding, in cells, by which a window's end may miss an edge of a grid and still be that edge."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Counts on cells, with the numbers of zeros and of values that were left out.

    Parameters
    ----------
    counts
        Counts of positive sizes by group.
    count, zeros
        All values, and the exact zeros among them: a point mass of its own.
    omitted
        NaN and infinite values left out on demand.
    below_floor
        Values below the resolution floor, left out.
    log_floor
        ``ln`` of that floor; None without one.
    on_grid
        Whether the cells are those of a grid that does not know the data, whose ends then lie inside the outermost.
    discrete
        Whether the values are taken for integers, with a law on integers.
    heaped_digits
        Significant digits to which values were rounded, where cells are as wide as that; None where they were not.
    autocorrelation_time
        Neighbours that are worth one independent value, where the order of the values shows dependence.
    number_known
        Whether the number of values is known; not so for relative frequencies.
    distinct
        The different sizes, ascending, of integers; None otherwise.
    integers
        Whether all values are integers, whatever the law.
    """

    counts: GroupedCounts
    count: int
    zeros: int
    omitted: int = 0
    below_floor: int = 0
    log_floor: float | None = None
    on_grid: bool = False
    discrete: bool = False
    heaped_digits: int | None = None
    autocorrelation_time: float | None = None
    number_known: bool = True
    distinct: Float64[np.ndarray, " size"] | None = None
    integers: bool = False

    def sizes_in(self, window: Window) -> int | None:
        """Number of different sizes in a window of integers; None for a continuous law."""
        if self.distinct is None:
            return None
        low, high = np.searchsorted(self.distinct, [window.lo * (1 - _GRID_SLACK), window.hi * (1 + _GRID_SLACK)])
        return int(high - low)


@dataclass(frozen=True, eq=False)
class Reading:
    """Options by which data are read, those of `fit_power_law`.

    Raises
    ------
    InvalidInputError
        If a side, sign or treatment of NaN is unknown, or a block or floor is not a number.
    """

    side: Side = "both"
    sign: Sign | None = None
    cluster: Any = None
    block: int | None = None
    weights: Any = None
    nan: NanPolicy = "refuse"
    log_floor: float | None = None
    discrete: bool | None = None

    def __post_init__(self) -> None:
        """Raise if a name is unknown, or a block or floor is not a number."""
        for kind, given, allowed in (
            ("side", self.side, ("both", "small", "large")),
            ("sign", self.sign, (None, "absolute", "positive", "negative")),
            ("treatment of NaN", self.nan, ("refuse", "omit")),
        ):
            if given not in allowed:
                raise unknown_name(kind, str(given), [str(name) for name in allowed if name])
        if self.block is not None:
            check_integer("block", self.block)
        if self.log_floor is not None and not as_number(self.log_floor) < math.inf:
            raise InvalidInputError(f"log_floor must be a number below infinity, or None; got {self.log_floor!r}")

    def observe(self, data: Any, window: Window | None = None) -> Observations:
        """Counts of any kind of data, on cells with edges at the ends of the window if they are raw values.

        Raises
        ------
        InvalidInputError
            If the data are not numbers, are empty, not finite or negative without a `sign`, or clusters, blocks or
            weights do not fit them.
        """
        if isinstance(data, (LogSketch, Histogram)):
            if self.discrete:
                raise InvalidInputError("discrete=True fits integers themselves; sketches and histograms hold counts")
            if self.cluster is not None or self.weights is not None or self.block is not None:
                raise InvalidInputError(
                    "cluster, block and weights go with raw values; sketches and histograms have groups"
                )
            if isinstance(data, LogSketch):
                return _from_sketch(data, self, window)
            return _from_histogram(data, self, window)
        return _from_values(data, self, window)


def _from_sketch(sketch: LogSketch, reading: Reading, window: Window | None) -> Observations:
    """Counts of a sketch above the floor, with empty bins as far as a window reaches."""
    log_floor = reading.log_floor
    if sketch.count == 0:
        raise InvalidInputError("there are no fluctuations to fit")
    counts = GroupedCounts.from_sketch(sketch, log_floor, reading.sign or "absolute", reading.side)
    below = int(sketch.counts[sketch.edges[:-1] < log_floor].sum()) if log_floor is not None else 0
    if window is not None and counts.pooled.any():
        counts = _reaching(counts, window, -math.inf if log_floor is None else log_floor)
    return Observations(counts, sketch.count, sketch.zeros, below_floor=below, log_floor=log_floor, on_grid=True)


def _reaching(counts: GroupedCounts, window: Window, log_floor: float) -> GroupedCounts:
    """Counts with empty cells as far as a window reaches beyond the values: that there are none is known as well."""
    width = float(counts.cells.width or BIN_WIDTH)
    first, last = float(counts.edges[0]), float(counts.edges[-1])
    low = max(window.log_lo, log_floor)
    before = min(max(math.ceil((first - low) / width - _GRID_SLACK), 0), MOST_CELLS)
    end = last if window.log_hi >= FAR_END else window.log_hi
    after = min(max(math.ceil((end - last) / width - _GRID_SLACK), 0), MOST_CELLS)
    cells = Cells.equal(first - before * width, width, before + len(counts.cells) + after)
    return replace(counts, cells=cells, counts=np.pad(counts.counts, ((0, 0), (before, after))))


def _from_histogram(histogram: Histogram, reading: Reading, window: Window | None) -> Observations:
    """Counts of a histogram, without its bins below the floor or next to zero."""
    log_floor = reading.log_floor
    counts, edges = np.atleast_2d(histogram.counts), histogram.edges
    total = counts.sum()
    if not total > 0:
        raise InvalidInputError("there are no fluctuations to fit")
    kept = edges[:-1] > (math.exp(log_floor) if log_floor is not None else 0.0)
    outside = float(counts[:, ~kept].sum())
    counts, edges = counts[counts.any(axis=1)][:, kept], edges[np.append(~kept, False).sum() :]
    filled = np.flatnonzero(counts.any(axis=0))
    if not filled.size:
        raise InvalidInputError("the histogram has counts only next to zero or below the floor")
    # With a window, bins in which nothing was found are a part of what is known.
    at = slice(int(filled[0]), int(filled[-1]) + 1) if window is None else slice(0, counts.shape[1])
    cells = Cells(np.log(edges[at.start : at.stop + 1]))
    widths = np.diff(cells.edges)
    # Equal but for rounding: closed forms hold.
    if np.ptp(widths) < 1e-9 * widths.mean():
        cells = Cells.equal(float(cells.edges[0]), float(widths.mean()), len(cells))
    grouped = GroupedCounts(cells, counts[:, at], outside, reading.side == "small", reading.side == "large")
    known = histogram.number_known
    return Observations(grouped, round(total), 0, below_floor=round(outside), log_floor=log_floor, number_known=known)


def _random_groups(size: int) -> np.ndarray:
    """Groups of independent values: errors over them contain what weights that go with the sizes add."""
    return np.random.default_rng(0).permutation(size) % min(size, MOST_GROUPS)


def _weights(weights: Any, size: int) -> Float64[np.ndarray, " n"]:
    """Weights, scaled so that their sum is Kish's effective number of values."""
    weight = as_values(weights)[0].astype(np.float64)
    if weight.size != size:
        raise InvalidInputError(f"{size} values need as many weights; got {weight.size}")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise InvalidInputError("weights must be finite, not negative, and not all zero")
    # Their squares may be too large or small for a float.
    weight = weight / weight.max()
    return weight * (weight.sum() / (weight**2).sum())


def _from_values(data: Any, reading: Reading, window: Window | None) -> Observations:
    """Counts of raw values, on cells that fit the window, the integers, the rounding or the range of the data."""
    values, smallest, spacing = as_values(data)
    if values.size == 0:
        raise InvalidInputError("there are no fluctuations to fit")
    finite = np.isfinite(values)
    bad = values.size - int(finite.sum())
    if bad and reading.nan == "refuse":
        raise InvalidInputError(f'{bad} of {values.size} values are NaN or infinite; nan="omit" leaves them out')
    zeros = int(((values == 0) & finite).sum())
    kept = _wanted(values, finite, reading.sign)
    sizes = values if kept.all() else values[kept]
    if reading.sign is not None:
        sizes = np.abs(sizes)
    group, time = _groups(values.size, sizes, kept, reading)
    integers = sizes.size > 0 and bool((sizes == np.rint(sizes)).all())
    discrete = _is_discrete(sizes, reading, integers=integers)
    if sizes.size == 0:
        return replace(_nothing(values.size, zeros, bad), discrete=discrete)
    digits = heaped_digits(sizes)
    rounded = _rounded_cells(sizes, digits, discrete=discrete)
    log_floor = reading.log_floor
    if log_floor is None and rounded is None:
        floor = resolution_floor(sizes, smallest)
        log_floor = None if floor is None else math.log(floor)
    floor = -math.inf if log_floor is None else log_floor
    if not float(sizes.max()) > 0 or math.log(float(sizes.max())) < floor:
        return replace(_nothing(values.size, zeros, bad), below_floor=sizes.size, log_floor=log_floor)
    cells = rounded if rounded is not None else cells_for(sizes, window, log_floor, spacing)
    weight = None if reading.weights is None else _weights(reading.weights, values.size)[kept]
    counts, below = count_values(sizes, group, weight, (cells, floor))
    grouped = GroupedCounts(*counts, open_below=reading.side == "small", open_above=reading.side == "large")
    # Bins and round numbers reach beyond the values in the outermost of them.
    on_grid = window is None and spacing == 0 and (digits is not None or cells.width is not None)
    return Observations(
        grouped,
        values.size,
        zeros,
        bad,
        below,
        log_floor,
        on_grid,
        discrete,
        digits,
        autocorrelation_time=time,
        distinct=_distinct(sizes) if discrete else None,
        integers=integers,
    )


def _nothing(count: int, zeros: int, omitted: int) -> Observations:
    """Observations of which none is left to be fitted."""
    return Observations(GroupedCounts(Cells(np.zeros(1)), np.zeros((1, 0))), count, zeros, omitted)


def _distinct(integers: np.ndarray) -> Float64[np.ndarray, " size"]:
    """Different integers, ascending; small ones by counting, which takes no sorting."""
    small = integers <= _COUNTED_INTEGER
    counted = np.flatnonzero(np.bincount(integers[small].astype(np.int64)))
    return np.concatenate([counted, np.unique(integers[~small])]).astype(np.float64)


def _groups(size: int, sizes: np.ndarray, kept: np.ndarray, reading: Reading) -> tuple[np.ndarray | None, float | None]:
    """Group of each value that is fitted, and the autocorrelation time where their order shows dependence.

    Clusters and blocks that were given, random groups for weights; blocks of neighbours where these depend on each
    other and nothing was given.
    """
    group = group_labels(size, reading.cluster, reading.block)
    if reading.weights is not None and group is None:
        group = _random_groups(size)
    if group is not None:
        return group[kept], None
    time = autocorrelation_time(sizes)
    if time is None:
        return None, None
    return group_labels(sizes.size, None, block_length(time, sizes.size)), time


def _is_discrete(sizes: np.ndarray, reading: Reading, *, integers: bool) -> bool:
    """Whether the sizes are fitted with a law on integers.

    As demanded; else where they all are integers, some of them small enough for the steps between them to show.

    Raises
    ------
    InvalidInputError
        If a law on integers is demanded, and the sizes are none, or too large to be exact.
    """
    if reading.discrete is False or sizes.size == 0:
        return bool(reading.discrete)
    if reading.discrete is None:
        small = integers and float(sizes.max()) <= _LARGEST_INTEGER and float(sizes.min()) < SMALL_INTEGER
        return small and _step(sizes) == 1
    if not integers:
        raise InvalidInputError("a discrete power law needs integers that are not negative")
    if sizes.max() > _LARGEST_INTEGER:
        raise InvalidInputError(
            f"integers above 2^53 are not exact: without discrete=True they are taken as sizes; got {sizes.max():.6g}"
        )
    return True


def _rounded_cells(sizes: np.ndarray, digits: int | None, *, discrete: bool) -> Cells | None:
    """Cells of values that come in steps: round numbers, integers, or a few sizes; None of values that do not."""
    if digits is not None:
        return digit_cells(sizes, digits, discrete=discrete)
    if discrete:
        return Cells.integers(int(sizes.min()), int(sizes.max()))
    few = size_cells(sizes)
    step = _step(sizes) if few is None else 1
    if step == 1 or float(sizes.min()) >= SMALL_INTEGER * step:
        return few
    # Multiples of a step are rounded to it, as far as a law on real numbers can tell.
    multiples = Cells.integers(int(sizes.min()) // step, int(sizes.max()) // step)
    return Cells(multiples.edges + math.log(step))


def _step(sizes: np.ndarray) -> int:
    """Greatest common divisor of integers; 1 of other numbers, and of integers too large to be exact."""
    if float(sizes.max()) > _LARGEST_INTEGER or not bool((sizes[:_FIRST] == np.rint(sizes[:_FIRST])).all()):
        return 1
    # A few show that there is none; where they have one, all are looked at.
    few = int(np.gcd.reduce(sizes[:_FIRST].astype(np.int64)))
    if few <= 1 or not bool((sizes == np.rint(sizes)).all()):
        return 1
    return int(np.gcd.reduce(sizes.astype(np.int64)))


def _wanted(values: np.ndarray, finite: np.ndarray, sign: Sign | None) -> np.ndarray:
    """Mask of the values that are fitted: of the requested sign, and not zero."""
    negative = int((values[finite] < 0).sum()) if values.dtype.kind in "if" else 0
    if sign is None and negative:
        raise InvalidInputError(
            f"{negative} of {values.size} values are negative: "
            'choose sign="absolute", sign="positive" or sign="negative"'
        )
    if sign == "positive":
        return finite & (values > 0)
    if sign == "negative":
        return finite & (values < 0)
    return finite & (values != 0)


def around_integers(window: Window) -> Window:
    """Window whose ends lie half an integer beyond the integers in it, where the cells of integers end.

    >>> around_integers(Window(2.0, 9.5))
    <Window [1.5, 9.5] (0.8 decades)>
    """
    lowest, highest = math.ceil(window.lo - 1e-9), math.floor(min(window.hi, _LARGEST_INTEGER) + 1e-9)
    low = max(lowest, 1) - 0.5
    if window.hi > _LARGEST_INTEGER:
        return Window.from_logs(math.log(low), window.log_hi)
    return Window(low, max(highest, lowest + 1) + 0.5)
