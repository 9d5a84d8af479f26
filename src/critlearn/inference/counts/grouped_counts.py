"""Counts by group of samples on cells, with the running sums from which any window can be fitted at once."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.cells import FAR_END, Cells
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.window import Window

Running = Float64[np.ndarray, "group edge"]
"""Sums over all cells below an edge, by group: a window's sum is a difference of two."""


@dataclass(frozen=True, eq=False)
class GroupedCounts:
    """Counts of ``ln delta`` of each group on cells.

    Parameters
    ----------
    cells
        Cells in ``ln delta``.
    counts
        Counts, shape (group, cell). One group stands for independent observations.
    outside
        Number of observations beyond the cells.
    open_below, open_above
        Whether a law whose window reaches the first (last) cell has no cut-off there.
    """

    cells: Cells
    counts: Float64[np.ndarray, "group cell"]
    outside: float = 0.0
    open_below: bool = False
    open_above: bool = False

    @classmethod
    def from_sketch(
        cls, sketch: LogSketch, log_floor: float | None = None, sign: str = "absolute", side: str = "both"
    ) -> "GroupedCounts":
        """Non-zero fluctuations of a sketch above a floor, without empty bins at the ends or empty groups."""
        by_sign = {"positive": sketch.group_positive, "negative": sketch.group_negative}
        counts, first = by_sign.get(sign, sketch.group_counts), sketch.first_bin
        if log_floor is not None and np.isfinite(log_floor):
            kept = sketch.edges[:-1] >= log_floor
            counts, first = counts[:, kept], first + int((~kept).sum())
        filled = np.flatnonzero(counts.any(axis=0))
        if not filled.size:
            return cls(Cells(np.zeros(1)), np.zeros((1, 0)))
        at = slice(int(filled[0]), int(filled[-1]) + 1)
        counts = counts[counts.any(axis=1), at].astype(np.float64)
        cells = Cells.equal((first + at.start) * BIN_WIDTH, BIN_WIDTH, at.stop - at.start)
        return cls(cells, counts, open_below=side == "small", open_above=side == "large")

    @property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges in ``ln delta``."""
        return self.cells.edges

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.counts)

    @cached_property
    def pooled(self) -> Float64[np.ndarray, " cell"]:
        """Counts of all groups together."""
        return self.counts.sum(axis=0)

    @property
    def total(self) -> float:
        """Number of observations."""
        return float(self.pooled.sum()) + self.outside

    @cached_property
    def running_count(self) -> Running:
        """Counts below each edge."""
        return np.pad(np.cumsum(self.counts, axis=1), ((0, 0), (1, 0)))

    @cached_property
    def running_sum(self) -> Running:
        """Sums of the centres, measured from the middle of all cells, below each edge."""
        # From the middle: running sums of large logarithms would lose digits when they are subtracted.
        centred = self.cells.centres - 0.5 * (self.edges[0] + self.edges[-1])
        return np.pad(np.cumsum(self.counts * centred, axis=1), ((0, 0), (1, 0)))

    def of_one_group(self) -> "GroupedCounts":
        """Counts of all groups together, as of independent observations."""
        return self.with_counts(self.pooled[None])

    def with_counts(self, counts: Float64[np.ndarray, "group cell"]) -> "GroupedCounts":
        """Other counts on the same cells."""
        return GroupedCounts(self.cells, counts, self.outside, self.open_below, self.open_above)

    @cached_property
    def log_ends(self) -> tuple[Float64[np.ndarray, " edge"], Float64[np.ndarray, " edge"]]:
        """Lower ends of windows by their first cell, and upper ends by the cell after their last one, in ``ln delta``.

        The edges; of integers, the first and the last one in the cells.
        """
        first = self.cells.first_integer
        if first is None:
            return self.edges, self.edges
        return np.log(first), np.log(np.maximum(first - 1, 0.5))

    def width_of(self, start: int, stop: int) -> float:
        """Width of a window in ``ln delta``; of integers, from the first to the last."""
        low, high = self.log_ends
        return float(high[stop] - low[start])

    def window(self, start: int, stop: int) -> Window:
        """Window from one edge to another; from the first integer to the last for a law on integers."""
        first = self.cells.first_integer
        if first is not None and first[stop] - 1 > first[start]:
            return Window(float(first[start]), float(first[stop] - 1))
        return Window.from_logs(float(self.edges[start]), float(self.edges[stop]))

    def cells_of(self, window: Window) -> tuple[int, int]:
        """First cell of a window of these cells and the one after its last: the inverse of `window`.

        Where a law has no end and no values lie beyond the window, the empty cells there belong to it.
        """
        first = self.cells.first_integer
        if first is None:
            start, stop = (int(np.abs(self.edges - end).argmin()) for end in (window.log_lo, window.log_hi))
        else:
            # A single integer has a window around it, other windows end at integers.
            start = int(np.searchsorted(first, window.lo - 1e-9 * window.lo))
            stop = int(np.searchsorted(first, window.hi + 1e-9 * window.hi, side="right"))
            stop = min(stop, len(self.cells))
        stop = max(stop, start + 1)
        if self.open_below and not self.pooled[:start].any():
            start = 0
        if self.open_above and not self.pooled[stop:].any():
            stop = len(self.cells)
        return start, stop

    def is_open(self, start: int, stop: int) -> tuple[bool, bool]:
        """Whether a law on a window has no cut-off below, and above."""
        return self.open_below and start == 0, self.open_above and stop == len(self.cells)

    def coarsened(self, most: int) -> "GroupedCounts":
        """Join neighbouring cells until at most this many are left.

        Where equal cells do not fill the last joint one, empty cells are added at an end without a cut-off; if there is
        none, as empty cells would pull a fit, the few cells too many are left out and counted as outside.
        """
        factor = -(-len(self.cells) // most)
        if factor == 1:
            return self
        if self.cells.width is None:
            return self.joined(most)
        spare, counts, first = len(self.cells) % factor, self.counts, 0
        if spare and self.open_above:
            counts = np.pad(counts, ((0, 0), (0, factor - spare)))
        elif spare and self.open_below:
            counts, first = np.pad(counts, ((0, 0), (factor - spare, 0))), spare - factor
        elif spare:
            first = spare // 2
            counts = counts[:, first : first + len(self.cells) - spare]
        joined = counts.reshape(self.groups, -1, factor).sum(axis=2)
        cells = Cells.equal(float(self.edges[0]) + first * self.cells.width, self.cells.width * factor, joined.shape[1])
        outside = self.outside + float(self.counts.sum() - joined.sum())
        return GroupedCounts(cells, joined, outside, self.open_below, self.open_above)

    def joined(self, most: int) -> "GroupedCounts":
        """Join neighbouring cells over the whole range until at most this many are left.

        For sums over nodes, which do not need equal cells as closed forms do. Where cells are not equal, as those of
        integers, only the narrower ones are joined; of equal ones the last joint cell may be narrower than the others.
        """
        if len(self.cells) <= most:
            return self
        at = _joints(self.edges, most) if self.cells.width is None else _every(len(self.cells), most)
        counts = np.add.reduceat(self.counts, at[:-1], axis=1)
        return GroupedCounts(self.cells.joined(at), counts, self.outside, self.open_below, self.open_above)

    def without_end_cells(self) -> "GroupedCounts":
        """Counts without the outermost cell where there is a cut-off; what it holds counts as outside."""
        at = slice(int(not self.open_below), len(self.cells) - int(not self.open_above))
        counts = self.counts[:, at]
        outside = self.outside + float(self.counts.sum() - counts.sum())
        return GroupedCounts(self.cells.part(at.start, at.stop), counts, outside, self.open_below, self.open_above)

    def part(self, start: int, stop: int) -> "GroupedCounts":
        """Counts on the cells of a window alone."""
        below, above = self.is_open(start, stop)
        return GroupedCounts(
            self.cells.part(start, stop), self.counts[:, start:stop], open_below=below, open_above=above
        )

    def t_quantile(self, probability: float) -> float:
        """Quantile of Student's t with as many degrees of freedom as groups allow; normal if there is one group."""
        # The functions themselves: scipy.stats takes a millisecond to set up a distribution.
        if self.groups > 1:
            return float(scipy.special.stdtrit(self.groups - 1, probability))
        return float(scipy.special.ndtri(probability))


def _every(cells: int, most: int) -> np.ndarray:
    """Edges of joint cells that hold equally many cells each, as indices."""
    return np.append(np.arange(0, cells, -(-cells // most)), cells)


def _joints(edges: Float64[np.ndarray, " edge"], most: int) -> np.ndarray:
    """Edges of joint cells that are about equally wide, as indices; cells that are wider stay alone."""
    # Wide cells take few of the places: what they leave goes to the others, in a few rounds.
    width = float(edges[-1] - edges[0]) / most
    for _ in range(8):
        widths = np.diff(edges)
        wide = widths >= width
        free = most - int(wide.sum())
        if free <= 0:
            break
        width = max(width, float(widths[~wide].sum()) / free)
    while True:
        kept = [0]
        for at in range(1, len(edges) - 1):
            # Joined once the next edge would make it wider than wanted.
            if edges[at + 1] - edges[kept[-1]] > width:
                kept.append(at)
        if len(kept) <= most:
            return np.array([*kept, len(edges) - 1])
        width *= len(kept) / most


def check_inside(counts: GroupedCounts, window: Window) -> None:
    """Raise if a window does not meet the data.

    Raises
    ------
    InvalidInputError
        If it does not.
    """
    filled = np.flatnonzero(counts.pooled)
    if not filled.size:
        raise InvalidInputError(f"window {window.summary()} is far outside the data")
    low, high = (float(counts.edges[at]) for at in (filled[0], filled[-1] + 1))
    if not (window.log_lo < high and window.log_hi > low):
        data = Window.from_logs(low, high)
        where = f"from {window.lo:.4g} on" if window.log_hi >= FAR_END else window.summary()
        raise InvalidInputError(f"window {where} is outside the data, {data.summary()}")


def check_sides(counts: GroupedCounts, window: Window) -> None:
    """Raise if a window ends among the values at an end where the law has no cut-off.

    Raises
    ------
    InvalidInputError
        If there are values beyond that end.
    """
    filled = np.flatnonzero(counts.pooled)
    low, high = counts.edges[filled[0] + 1], counts.edges[filled[-1]]
    beyond_cells = counts.outside > 0
    below = low <= window.log_lo + 1e-12 or (beyond_cells and counts.edges[0] < window.log_lo - 1e-9)
    above = high >= window.log_hi - 1e-12 or (beyond_cells and counts.edges[-1] > window.log_hi + 1e-9)
    if counts.open_below and below:
        raise InvalidInputError(
            f'side="small" is a law down to zero, but window {window.summary()} begins above the smallest values, '
            f"{math.exp(low):.4g} and less; begin it there, or fit both sides"
        )
    if counts.open_above and above:
        raise InvalidInputError(
            f'side="large" is a law to infinity, but window {window.summary()} ends below the largest values, '
            f"{math.exp(high):.4g} and more; end it there, or fit both sides"
        )
