"""Read raw values, sketches and histograms as counts on cells, by group of dependent samples."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.inference.counts.binning import MOST_CELLS, cells_for, count_values
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.counts.raw_values import MOST_GROUPS, as_values, group_labels, number_of_sizes
from critlearn.inference.counts.resolution import resolution_floor
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.validation import as_number, check_integer
from critlearn.numerics.window import Window

Sign = Literal["absolute", "positive", "negative"]
Side = Literal["both", "small", "large"]
NanPolicy = Literal["refuse", "omit"]
"""Values of the options `sign`, `side` and `nan` of `fit_power_law`."""

_LARGEST_INTEGER: Final = 2**53
"""Up to here every integer is a float of its own."""

_GRID_SLACK: Final = 1e-9
"""Rounding, in cells, by which a window's end may miss an edge of a grid and still be that edge."""


@dataclass(frozen=True, eq=False, init=False)
class Histogram:
    """Counts between edges, of which nothing else is known: binned data.

    Parameters
    ----------
    counts
        Counts, shape (bin,), or by group of dependent observations, shape (group, bin); need not be integers.
    edges
        Ascending, positive edges of the bins, shape (bin + 1,); the first may be 0: its bin is then left out of fits.

    Raises
    ------
    InvalidInputError
        If the edges are not ascending, or the counts are negative, not finite, or of another number.
    """

    counts: Float64[np.ndarray, "*groups bin"]
    edges: Float64[np.ndarray, "*edge"]

    def __init__(self, counts: ArrayLike, edges: ArrayLike) -> None:
        try:
            counts, edges = np.asarray(counts, dtype=np.float64), np.asarray(edges, dtype=np.float64)
        except (TypeError, ValueError) as problem:
            raise InvalidInputError(f"counts and edges of a histogram must be numbers: {problem}") from None
        if edges.ndim != 1 or counts.shape[-1:] != (len(edges) - 1,) or counts.ndim > 2:
            bins = counts.shape[-1] if counts.ndim else 0
            raise InvalidInputError(
                f"a histogram of {bins} counts needs {bins + 1} edges; got counts of shape {counts.shape} and edges of "
                f"shape {edges.shape}"
            )
        if not (np.isfinite(counts).all() and (counts >= 0).all()):
            raise InvalidInputError("the counts of a histogram must be finite and not negative")
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all() and edges[0] >= 0):
            raise InvalidInputError("the edges of a histogram must be finite, ascending and not negative")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "edges", edges)


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
    sizes
        Number of different sizes among raw values, or of filled bins of a sketch that has ten
        values in each; None where nothing is known of ties.
    """

    counts: GroupedCounts
    count: int
    zeros: int
    omitted: int = 0
    below_floor: int = 0
    log_floor: float | None = None
    on_grid: bool = False
    sizes: int | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """Options by which data are read, those of `fit_power_law`.

    Raises
    ------
    InvalidInputError
        If a side, sign or treatment of NaN is unknown, a block or floor is not a number, or an option for continuous
        data is combined with integers.
    """

    side: Side = "both"
    sign: Sign | None = None
    cluster: Any = None
    block: int | None = None
    weights: Any = None
    nan: NanPolicy = "refuse"
    log_floor: float | None = None
    discrete: bool = False

    def __post_init__(self) -> None:
        """Raise if a name is unknown, a block or floor is not a number, or options contradict each other."""
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
        continuous = {"sign": self.sign, "block": self.block, "weights": self.weights, "log_floor": self.log_floor}
        used = [name for name, value in continuous.items() if value is not None]
        used += ["nan"] if self.nan != "refuse" else []
        if self.discrete and used:
            raise InvalidInputError(f"{' and '.join(used)} cannot be combined with discrete=True")

    def observe(self, data: Any, window: Window | None = None) -> Observations:
        """Counts of any kind of data, on cells with edges at the ends of the window if they are raw values.

        Raises
        ------
        InvalidInputError
            If the data are not numbers, are empty, not finite or negative without a `sign`, or clusters, blocks or
            weights do not fit them.
        """
        if self.discrete:
            return _from_integers(data, self)
        if isinstance(data, (LogSketch, Histogram)):
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
    filled = int((counts.pooled > 0).sum())
    # Bins of 1% over a decade and more are many: few that are well filled are sizes.
    sizes = filled if counts.total >= 10 * filled and counts.width_of(0, len(counts.cells)) > math.log(10.0) else None
    below = int(sketch.counts[sketch.edges[:-1] < log_floor].sum()) if log_floor is not None else 0
    if window is not None and filled:
        counts = _reaching(counts, window, -math.inf if log_floor is None else log_floor)
    return Observations(
        counts, sketch.count, sketch.zeros, below_floor=below, log_floor=log_floor, on_grid=True, sizes=sizes
    )


def _reaching(counts: GroupedCounts, window: Window, log_floor: float) -> GroupedCounts:
    """Counts with empty cells as far as a window reaches beyond the values: that there are none is known as well."""
    width = float(counts.cells.width or BIN_WIDTH)
    first, last = float(counts.edges[0]), float(counts.edges[-1])
    low = max(window.log_lo, log_floor)
    before = min(max(math.ceil((first - low) / width - _GRID_SLACK), 0), MOST_CELLS)
    after = min(max(math.ceil((window.log_hi - last) / width - _GRID_SLACK), 0), MOST_CELLS)
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
    kept[np.cumsum(kept) == 0] = False
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
    return Observations(grouped, round(total), 0, below_floor=round(outside), log_floor=log_floor)


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
    """Counts of raw values, on cells that fit the window or the range of the data."""
    values, smallest, spacing = as_values(data)
    group = group_labels(values.size, reading.cluster, reading.block)
    weight = None if reading.weights is None else _weights(reading.weights, values.size)
    if weight is not None and group is None:
        group = _random_groups(values.size)
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
    if sizes.size == 0:
        empty = GroupedCounts(Cells(np.zeros(1)), np.zeros((1, 0)))
        return Observations(empty, values.size, zeros, bad)
    log_floor = reading.log_floor
    if log_floor is None:
        floor = resolution_floor(sizes, smallest)
        log_floor = None if floor is None else math.log(floor)
    counts, below = count_values(
        sizes,
        None if group is None else group[kept],
        None if weight is None else weight[kept],
        cells_for(sizes, window, log_floor, spacing),
    )
    grouped = GroupedCounts(*counts, open_below=reading.side == "small", open_above=reading.side == "large")
    on_grid = window is None and spacing == 0
    return Observations(grouped, values.size, zeros, bad, below, log_floor, on_grid, sizes=number_of_sizes(sizes))


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


def _from_integers(data: Any, reading: Reading) -> Observations:
    """Counts of integers: one cell for each up to 200, above that cells of 1%."""
    if isinstance(data, (LogSketch, Histogram)):
        raise InvalidInputError("discrete=True fits integers themselves; sketches and histograms hold counts in bins")
    values = as_values(data)[0]
    if values.size == 0:
        raise InvalidInputError("there are no fluctuations to fit")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
        raise InvalidInputError("a discrete power law needs integers that are not negative")
    if values.max() > _LARGEST_INTEGER:
        raise InvalidInputError(
            f"integers above 2^53 are not exact: without discrete=True they are taken as sizes; got {values.max():.6g}"
        )
    positive = values > 0
    zeros = int(values.size - positive.sum())
    if not positive.any():
        return Observations(GroupedCounts(Cells(np.zeros(1)), np.zeros((1, 0))), values.size, zeros)
    integers = values[positive].astype(np.float64)
    cells = Cells.integers(int(integers.min()), int(integers.max()))
    index = np.searchsorted(np.asarray(cells.first_integer), integers, side="right") - 1
    labels = group_labels(values.size, reading.cluster, None)
    if labels is None:
        counts = np.bincount(index, minlength=len(cells))[None]
    else:
        flat = labels[positive].astype(np.int64) * len(cells) + index
        counts = np.bincount(flat, minlength=(int(labels.max()) + 1) * len(cells)).reshape(-1, len(cells))
        counts = counts[counts.any(axis=1)]
    open_sides = {"open_below": reading.side == "small", "open_above": reading.side == "large"}
    return Observations(GroupedCounts(cells, counts.astype(np.float64), **open_sides), values.size, zeros)


def around_integers(window: Window) -> Window:
    """Window whose ends lie half an integer beyond the integers in it, where the cells of integers end.

    >>> around_integers(Window(2.0, 9.5))
    <Window [1.5, 9.5] (0.8 decades)>
    """
    lowest, highest = math.ceil(window.lo - 1e-9), math.floor(window.hi + 1e-9)
    return Window(max(lowest, 1) - 0.5, max(highest, lowest + 1) + 0.5)
