"""What a fit takes in: raw values of any kind, sketches and histograms, made into counts by group on cells."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.counts.raw_values import as_values, cluster_index
from critlearn.inference.counts.resolution import resolution_floor
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.validation import as_number, check_integer
from critlearn.numerics.window import Window

Sign = Literal["absolute", "positive", "negative"]
Side = Literal["both", "small", "large"]
NanPolicy = Literal["refuse", "omit"]

MOST_GROUPS: Final = 256
"""Groups that clusters are gathered into: enough for a bootstrap, few enough for sums by group."""

MANY_SIZES: Final = 4096
"""Different sizes from which on nobody counts them."""

_FEWEST_CELLS: Final = 256
_MOST_CELLS: Final = 4096
_CHUNK: Final = 1 << 18


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
            raise InvalidInputError(
                f"a histogram of {counts.shape[-1] if counts.ndim else 0} counts needs one edge more; got {edges.shape}"
            )
        if not (np.isfinite(counts).all() and (counts >= 0).all()):
            raise InvalidInputError("the counts of a histogram must be finite and not negative")
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all() and edges[0] >= 0):
            raise InvalidInputError("the edges of a histogram must be finite, ascending and not negative")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "edges", edges)


@dataclass(frozen=True, eq=False)
class Observations:
    """Counts on cells, and what could not be put there.

    Parameters
    ----------
    counts
        Counts of positive sizes by group.
    count, zeros
        All values given, and the exact zeros among them: a point mass of its own.
    omitted
        NaN and infinite values left out on demand.
    below_floor
        Values below the resolution floor, left out.
    log_floor
        ``ln`` of that floor; None without one.
    on_grid
        Whether the cells are those of a grid that does not know the data, whose ends then lie inside the outermost.
    sizes
        Number of different sizes among raw values, up to `MANY_SIZES`, or of filled bins of a sketch that has ten
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
    """How data are to be read; the fields are the options of `fit_power_law`.

    Raises
    ------
    InvalidInputError
        If a side, sign or treatment of NaN has another name, or a block or floor is no number.
    """

    side: Side = "both"
    sign: Sign | None = None
    cluster: Any = None
    block: int | None = None
    weights: Any = None
    nan: NanPolicy = "refuse"
    log_floor: float | None = None

    def __post_init__(self) -> None:
        """Refuse names that do not exist."""
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
            If the data are no numbers, empty, not finite or negative without leave, or clusters, blocks or weights do
            not fit them.
        """
        if isinstance(data, (LogSketch, Histogram)):
            if self.cluster is not None or self.weights is not None or self.block is not None:
                raise InvalidInputError(
                    "cluster, block and weights go with raw values; sketches and histograms have groups"
                )
            if isinstance(data, LogSketch):
                return _from_sketch(data, self, window)
            return _from_histogram(data, self, window)
        return _from_values(self, data, window)


def _from_sketch(sketch: LogSketch, reading: Reading, window: Window | None) -> Observations:
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
    """Counts with empty cells as far as a window reaches beyond the values: where there are none is known, too."""
    width = float(counts.cells.width or BIN_WIDTH)
    first, last = float(counts.edges[0]), float(counts.edges[-1])
    low = max(window.log_lo, log_floor)
    before = min(max(math.ceil((first - low) / width - 1e-9), 0), _MOST_CELLS)
    after = min(max(math.ceil((window.log_hi - last) / width - 1e-9), 0), _MOST_CELLS)
    cells = Cells.equal(first - before * width, width, before + len(counts.cells) + after)
    return replace(counts, cells=cells, counts=np.pad(counts.counts, ((0, 0), (before, after))))


def _from_histogram(histogram: Histogram, reading: Reading, window: Window | None) -> Observations:
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
    if np.ptp(widths) < 1e-9 * widths.mean():
        cells = Cells.equal(float(cells.edges[0]), float(widths.mean()), len(cells))
    grouped = GroupedCounts(cells, counts[:, at], outside, reading.side == "small", reading.side == "large")
    return Observations(grouped, round(total), 0, below_floor=round(outside), log_floor=log_floor)


def group_labels(size: int, cluster: Any, block: int | None) -> np.ndarray | None:
    """Group of each value: clusters, or blocks of neighbours, gathered into at most 256."""
    if cluster is not None and block is not None:
        raise InvalidInputError("give clusters or a block length, not both")
    if block is not None:
        if not 1 <= block <= size // 10:
            raise InvalidInputError(f"a block must hold between 1 and a tenth of the {size} values; got {block}")
        blocks = -(-size // block)
        # Neighbouring blocks stay together, so that what is gathered are longer blocks.
        return (np.arange(size) // block) * min(blocks, MOST_GROUPS) // blocks
    if cluster is None:
        return None
    index, distinct = cluster_index(cluster, size)
    if distinct < 10:
        raise InvalidInputError(f"errors over clusters need at least 10 of them; got {distinct}")
    return (index % MOST_GROUPS).astype(np.int16)


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


def _from_values(reading: Reading, data: Any, window: Window | None) -> Observations:
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
    counts, below = _binned(
        sizes,
        None if group is None else group[kept],
        None if weight is None else weight[kept],
        _cells_for(sizes, window, log_floor, spacing),
    )
    grouped = GroupedCounts(*counts, open_below=reading.side == "small", open_above=reading.side == "large")
    on_grid = window is None and spacing == 0
    return Observations(grouped, values.size, zeros, bad, below, log_floor, on_grid, sizes=_sizes(sizes))


def _sizes(sizes: np.ndarray) -> int:
    """How many different sizes there are, if few; a beginning of the values tells mostly that they are many."""
    few = len(np.unique(sizes[:MANY_SIZES]))
    return few if 2 * few > MANY_SIZES else len(np.unique(sizes))


def _wanted(values: np.ndarray, finite: np.ndarray, sign: Sign | None) -> np.ndarray:
    """Which values enter: of the sign asked for, not zero."""
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


def _cells_for(
    sizes: np.ndarray, window: Window | None, log_floor: float | None, spacing: float
) -> tuple[Cells, float]:
    """Equal cells with edges at the ends of the window, or of the data; and the floor below which values are left."""
    low, high = math.log(float(sizes.min())), math.log(float(sizes.max()))
    floor = -math.inf if log_floor is None else log_floor
    low = max(low, floor)
    if window is None:
        if spacing == 0:
            # The bins of a sketch, so that values and a sketch of them are one thing.
            first = math.floor(low / BIN_WIDTH + 1e-9)
            return Cells.equal(first * BIN_WIDTH, BIN_WIDTH, math.floor(high / BIN_WIDTH + 1e-9) - first + 1), floor
        if not high > low:
            high = low + 1e-9
        reach = high - low
        cells = _number(reach, spacing)
        return Cells.equal(low, reach / cells, cells), floor
    reach = window.log_hi - window.log_lo
    cells = _number(reach, spacing)
    width = reach / cells
    # Far beyond a short window values are only counted.
    before = min(max(math.ceil((window.log_lo - low) / width), 0), _MOST_CELLS)
    after = min(max(math.ceil((high - window.log_hi) / width), 0), _MOST_CELLS)
    return Cells.equal(window.log_lo - before * width, width, before + cells + after), floor


def _number(reach: float, spacing: float) -> int:
    """Number of cells: a power of two times 256, so that joining them leaves none over."""
    wanted = reach / max(BIN_WIDTH, spacing)
    cells = _FEWEST_CELLS
    while cells < wanted and cells < _MOST_CELLS:
        cells *= 2
    return max(cells // 4, 16) if spacing > 0 else cells


def _binned(
    sizes: np.ndarray, group: np.ndarray | None, weight: np.ndarray | None, where: tuple[Cells, float]
) -> tuple[tuple[Cells, np.ndarray, float], int]:
    """Cells, counts by group and number outside; and how many lie below the floor. In chunks, to spare memory."""
    cells, floor = where
    groups = 1 if group is None else int(group.max()) + 1
    width, first, last = cells.width or 1.0, float(cells.edges[0]), len(cells) - 1
    counts = np.zeros(groups * len(cells))
    outside, below = 0.0, 0
    for at in range(0, sizes.size, _CHUNK):
        logs = np.log(sizes[at : at + _CHUNK].astype(np.float64))
        part = None if weight is None else weight[at : at + _CHUNK]
        position = (logs - first) / width
        # The largest value is the upper edge of the last cell, but for rounding.
        inside = (position >= -1e-9) & (position <= last + 1 + 1e-9) & (logs >= floor - 1e-12)
        below += int((logs < floor - 1e-12).sum())
        beyond = ~inside & (logs >= floor - 1e-12)
        outside += float(beyond.sum() if part is None else part[beyond].sum())
        index = np.clip(position[inside].astype(np.int64), 0, last)
        if group is not None:
            index += group[at : at + _CHUNK][inside].astype(np.int64) * len(cells)
        counts += np.bincount(index, None if part is None else part[inside], minlength=len(counts))
    by_group = counts.reshape(groups, -1)
    filled = by_group.any(axis=1)
    return (cells, by_group[filled] if filled.any() else by_group[:1], outside), below
