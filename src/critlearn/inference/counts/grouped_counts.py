"""Counts by group of samples on cells, with the running sums from which any window is fitted at once."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.cells import FAR, Cells
from critlearn.inference.laws import power_law
from critlearn.inference.laws import power_law_uneven_cells as general_law
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.window import Window

Running = Float64[np.ndarray, "group edge"]


@dataclass(frozen=True)
class WindowFit:
    """Fit of a truncated power law to the cells ``start .. stop - 1``.

    ``standard_error`` is robust to dependence inside groups (sandwich), ``naive_standard_error`` that of Fisher for
    independent observations. ``theta = 1 - k`` is the natural parameter in ``u = ln delta``.
    """

    start: int
    stop: int
    exponent: float
    standard_error: float
    naive_standard_error: float
    n: float

    @property
    def bins(self) -> int:
        """Number of cells."""
        return self.stop - self.start

    @property
    def theta(self) -> float:
        """``1 - k``."""
        return 1 - self.exponent


@dataclass(frozen=True, eq=False)
class WindowFits:
    """Fits of many windows, as columns; NaN where a window is empty or all in one end cell."""

    start: np.ndarray
    stop: np.ndarray
    exponent: Float64[np.ndarray, " window"]
    standard_error: Float64[np.ndarray, " window"]
    naive_standard_error: Float64[np.ndarray, " window"]
    n: Float64[np.ndarray, " window"]

    def __getitem__(self, index: int) -> WindowFit | None:
        """One of them; None where there is no fit."""
        if not np.isfinite(self.exponent[index]):
            return None
        columns = (self.exponent, self.standard_error, self.naive_standard_error, self.n)
        return WindowFit(int(self.start[index]), int(self.stop[index]), *(float(column[index]) for column in columns))


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
        Whether a law whose window reaches the first (last) cell has no cut-off on that side.
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
        centred = self.cells.centres - 0.5 * (self.edges[0] + self.edges[-1])
        return np.pad(np.cumsum(self.counts * centred, axis=1), ((0, 0), (1, 0)))

    def with_counts(self, counts: Float64[np.ndarray, "group cell"]) -> "GroupedCounts":
        """Other counts on the same cells."""
        return GroupedCounts(self.cells, counts, self.outside, self.open_below, self.open_above)

    def width_of(self, start: int, stop: int) -> float:
        """Width of a window in ``ln delta``."""
        return float(self.edges[stop] - self.edges[start])

    def window(self, start: int, stop: int) -> Window:
        """Window from one edge to another; from the first integer to the last for a law on integers."""
        first = self.cells.first_integer
        if first is not None and first[stop] - 1 > first[start]:
            return Window(float(first[start]), float(first[stop] - 1))
        return Window.from_logs(float(self.edges[start]), float(self.edges[stop]))

    def is_open(self, start: int, stop: int) -> tuple[bool, bool]:
        """Whether a law on a window has no cut-off below, and above."""
        return self.open_below and start == 0, self.open_above and stop == len(self.cells)

    def coarsened(self, most: int) -> "GroupedCounts":
        """Join neighbouring cells until at most this many are left; integers stay apart.

        Where equal cells do not fill the last joint one, empty cells are added on an open side; without one, as empty
        cells would pull a fit, the few cells too many are left out and counted as outside.
        """
        factor = -(-len(self.cells) // most)
        if factor == 1 or self.cells.first_integer is not None:
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
        """As `coarsened`, over the same range to the last value: the last joint cell may be narrower than the others.

        For sums over nodes, which do not need equal cells as closed forms do.
        """
        factor = -(-len(self.cells) // most)
        if factor == 1 or self.cells.first_integer is not None:
            return self
        at = np.arange(0, len(self.cells), factor)
        cells = Cells(self.edges[np.append(at, len(self.cells))])
        counts = np.add.reduceat(self.counts, at, axis=1)
        return GroupedCounts(cells, counts, self.outside, self.open_below, self.open_above)

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

    def fit_windows(self, start: np.ndarray, stop: np.ndarray) -> WindowFits:
        """Maximum-likelihood fits on many windows at once, shape (window,) each."""
        count = self.running_count[:, stop] - self.running_count[:, start]
        n = count.sum(axis=0)
        if self.cells.width is None:
            theta, information, score = self._fit_general(start, stop)
        else:
            theta, information, score = self._fit_equal(start, stop, count, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            naive = np.where(np.isfinite(theta), (n * information) ** -0.5, np.nan)
            robust = naive
            if self.groups > 1:
                correction = self.groups / (self.groups - 1)
                robust = np.sqrt(correction * (score**2).sum(axis=0)) / (n * information)
        return WindowFits(start, stop, np.where(np.isfinite(theta), 1 - theta, np.nan), robust, naive, n)

    def _fit_equal(
        self, start: np.ndarray, stop: np.ndarray, count: np.ndarray, n: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameter, information of one observation and scores of the groups, by closed forms."""
        centred, bins = self._centred_index(start, stop, count)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = centred.sum(axis=0) / n
        phi = _solve(mean, bins, n)
        width = self.cells.width or 1.0
        information = power_law.variance_index(phi, bins) * width**2
        return phi / width, information, (centred - mean * count) * width

    def _fit_general(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `_fit_equal`, each window by itself."""
        theta, information = np.full(len(start), np.nan), np.full(len(start), np.nan)
        score = np.zeros((self.groups, len(start)))
        for window, (first, last) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
            below, above = self.is_open(first, last)
            found = general_law.fit(self.cells.part(first, last), self.counts[:, first:last], below=below, above=above)
            if found is not None:
                theta[window], information[window], score[:, window] = found
        return theta, information, score

    def _centred_index(
        self, start: np.ndarray, stop: np.ndarray, count: np.ndarray
    ) -> tuple[np.ndarray, Float64[np.ndarray, " window"]]:
        """Sums of the cell's index from the middle of the law's range, shape (group, window), and its cells."""
        width = self.cells.width or 1.0
        far = round(FAR / width)
        below = np.where(self.open_below & (start == 0), far, 0)
        above = np.where(self.open_above & (stop == len(self.cells)), far, 0)
        middle = 0.5 * (len(self.cells) - 1)
        index_sum = (self.running_sum[:, stop] - self.running_sum[:, start]) / width + middle * count
        centred = index_sum - count * 0.5 * (start - below + stop + above - 1)
        return centred, (stop - start + below + above).astype(np.float64)

    def resampled_theta(
        self, weights: Float64[np.ndarray, "replicate group"], start: int, stop: int
    ) -> Float64[np.ndarray, " replicate"]:
        """Parameter fitted to weighted groups on a window of equal cells; NaN where there is none."""
        ends = np.array([start]), np.array([stop])
        count = self.running_count[:, ends[1]] - self.running_count[:, ends[0]]
        centred, bins = self._centred_index(*ends, count)
        drawn, total = (weights @ count)[:, 0], (weights @ centred)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / drawn
        return _solve(mean, np.full(len(drawn), bins[0]), drawn) / (self.cells.width or 1.0)

    def rows_theta(self) -> Float64[np.ndarray, " group"]:
        """Parameter fitted to each group by itself on all cells, which must be equal ones; NaN where there is none."""
        start, stop = np.array([0]), np.array([len(self.cells)])
        count = self.running_count[:, stop]
        centred, bins = self._centred_index(start, stop, count)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (centred / count)[:, 0]
        return _solve(mean, np.full(self.groups, bins[0]), count[:, 0]) / (self.cells.width or 1.0)

    def fit(self, start: int, stop: int) -> WindowFit | None:
        """Maximum-likelihood fit on a window; None if it is empty or everything lies in one end cell."""
        return self.fit_windows(np.array([start]), np.array([stop]))[0]

    def distribution(self, theta: Float64[np.ndarray, " fit"], start: int, stop: int) -> np.ndarray:
        """Distribution functions of power laws at the edges of a window, shape (fit, edge)."""
        below, above = self.is_open(start, stop)
        if self.cells.width is None:
            return general_law.distribution(self.cells.part(start, stop), theta, below=below, above=above)
        far = round(FAR / self.cells.width)
        bins = stop - start + far * (below + above)
        edge = np.arange(stop - start + 1) + far * below
        return power_law.cumulative(theta * self.cells.width, bins, edge)

    def masses(self, theta: float, start: int, stop: int) -> Float64[np.ndarray, " cell"]:
        """Probabilities of the cells of a window; what an open side holds beyond it belongs to the end cell."""
        edges = self.distribution(np.array([theta]), start, stop)[0]
        edges[0], edges[-1] = 0.0, 1.0
        return np.maximum(np.diff(edges), 0.0)

    def log_likelihood(self, fit: WindowFit) -> float:
        """Sum over the values on the window of ``ln p(u)``, the density in ``u = ln delta``.

        In a cell ``p`` is its probability over its width, so that the sum does not depend on how finely was counted,
        but for the spread of values inside cells. For a law on integers: the sum of ``ln P(x)``.
        """
        cells, pooled = self.cells.part(fit.start, fit.stop), self.pooled[fit.start : fit.stop]
        below, above = self.is_open(fit.start, fit.stop)
        masses = general_law.log_likelihood(cells, pooled, fit.theta, below=below, above=above)
        return masses - float(pooled @ np.log(cells.measure))

    def t_quantile(self, probability: float) -> float:
        """Quantile of Student's t with as many degrees of freedom as groups allow; normal if there is one group."""
        # The functions themselves: scipy.stats takes a millisecond to set up a distribution.
        if self.groups > 1:
            return float(scipy.special.stdtrit(self.groups - 1, probability))
        return float(scipy.special.ndtri(probability))


def _solve(mean: np.ndarray, bins: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Parameter per cell, NaN where a window is empty or all in one end cell."""
    usable = (n >= 2) & (bins >= 2)
    phi = power_law.solve_phi(np.where(usable, mean, 0.0), np.where(usable, bins, 2.0))
    return np.where(usable & np.isfinite(phi), phi, np.nan)


def check_inside(counts: GroupedCounts, window: Window) -> None:
    """Refuse a window that does not meet the data.

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
        raise InvalidInputError(f"window {window.summary()} is outside the data, {data.summary()}")


def check_sides(counts: GroupedCounts, window: Window) -> None:
    """Refuse a window that ends among the values on a side where the law is to have no cut-off.

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
