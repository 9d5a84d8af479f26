"""Truncated power laws fitted to counts on windows, many windows at once.

Equal cells have closed forms (`power_law`); integers and uneven histograms are summed over nodes
(`power_law_uneven_cells`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.cells import FAR
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws import power_law_uneven_cells
from critlearn.numerics import truncated_power_law as power_law


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

    @property
    def design_effect(self) -> float:
        """Variance of the exponent over its variance if all values were independent."""
        return max((self.standard_error / self.naive_standard_error) ** 2, 1e-12)


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
        """Fit on one of the windows; None where there is none."""
        if not np.isfinite(self.exponent[index]):
            return None
        columns = (self.exponent, self.standard_error, self.naive_standard_error, self.n)
        return WindowFit(int(self.start[index]), int(self.stop[index]), *(float(column[index]) for column in columns))


def fit_windows(counts: GroupedCounts, start: np.ndarray, stop: np.ndarray) -> WindowFits:
    """Maximum-likelihood fits on many windows at once, shape (window,) each."""
    count = counts.running_count[:, stop] - counts.running_count[:, start]
    n = count.sum(axis=0)
    if counts.cells.width is None:
        theta, information, score = _fit_uneven(counts, start, stop)
    else:
        theta, information, score = _fit_equal(counts, start, stop, count, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        naive = np.where(np.isfinite(theta), (n * information) ** -0.5, np.nan)
        robust = naive
        if counts.groups > 1:
            # The scores add up to zero at the maximum, which costs one degree of freedom.
            correction = counts.groups / (counts.groups - 1)
            robust = np.sqrt(correction * (score**2).sum(axis=0)) / (n * information)
    return WindowFits(start, stop, np.where(np.isfinite(theta), 1 - theta, np.nan), robust, naive, n)


def _fit_equal(
    counts: GroupedCounts, start: np.ndarray, stop: np.ndarray, count: np.ndarray, n: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameter, information of one observation and scores of the groups, by closed forms."""
    centred, bins = _centred_index(counts, start, stop, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = centred.sum(axis=0) / n
    phi = _solve(mean, bins, n)
    width = counts.cells.width or 1.0
    information = power_law.variance_index(phi, bins) * width**2
    return phi / width, information, (centred - mean * count) * width


def _fit_uneven(
    counts: GroupedCounts, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameter, information and scores of the groups by sums over nodes."""
    below, above = counts.open_below, counts.open_above
    return power_law_uneven_cells.fit_windows(counts.cells, counts.counts, start, stop, below=below, above=above)


def _centred_index(
    counts: GroupedCounts, start: np.ndarray, stop: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, Float64[np.ndarray, " window"]]:
    """Sums of the cell's index from the middle of the law's range, shape (group, window), and its cells."""
    width = counts.cells.width or 1.0
    # Without a cut-off the law goes on over empty cells beyond the data.
    far = round(FAR / width)
    below = np.where(counts.open_below & (start == 0), far, 0)
    above = np.where(counts.open_above & (stop == len(counts.cells)), far, 0)
    middle = 0.5 * (len(counts.cells) - 1)
    index_sum = (counts.running_sum[:, stop] - counts.running_sum[:, start]) / width + middle * count
    centred = index_sum - count * 0.5 * (start - below + stop + above - 1)
    return centred, (stop - start + below + above).astype(np.float64)


def resampled_theta(
    counts: GroupedCounts, weights: Float64[np.ndarray, "replicate group"], start: int, stop: int
) -> Float64[np.ndarray, " replicate"]:
    """Parameter fitted to weighted groups on a window of equal cells; NaN where there is none."""
    ends = np.array([start]), np.array([stop])
    count = counts.running_count[:, ends[1]] - counts.running_count[:, ends[0]]
    centred, bins = _centred_index(counts, *ends, count)
    drawn, total = (weights @ count)[:, 0], (weights @ centred)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / drawn
    return _solve(mean, np.full(len(drawn), bins[0]), drawn) / (counts.cells.width or 1.0)


def theta_of_each_group(counts: GroupedCounts) -> Float64[np.ndarray, " group"]:
    """Parameter fitted to each group by itself on all cells, which must be equal ones; NaN where there is none."""
    start, stop = np.array([0]), np.array([len(counts.cells)])
    count = counts.running_count[:, stop]
    centred, bins = _centred_index(counts, start, stop, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (centred / count)[:, 0]
    return _solve(mean, np.full(counts.groups, bins[0]), count[:, 0]) / (counts.cells.width or 1.0)


def fit_window(counts: GroupedCounts, start: int, stop: int) -> WindowFit | None:
    """Maximum-likelihood fit on a window; None if it is empty or everything lies in one end cell."""
    return fit_windows(counts, np.array([start]), np.array([stop]))[0]


def cumulative_at_edges(counts: GroupedCounts, theta: Float64[np.ndarray, " fit"], start: int, stop: int) -> np.ndarray:
    """Distribution functions of power laws at the edges of a window, shape (fit, edge)."""
    below, above = counts.is_open(start, stop)
    if counts.cells.width is None:
        return power_law_uneven_cells.distribution(counts.cells.part(start, stop), theta, below=below, above=above)
    far = round(FAR / counts.cells.width)
    bins = stop - start + far * (below + above)
    edge = np.arange(stop - start + 1) + far * below
    return power_law.cumulative(theta * counts.cells.width, bins, edge)


def cell_probabilities(counts: GroupedCounts, theta: float, start: int, stop: int) -> Float64[np.ndarray, " cell"]:
    """Probabilities of the cells of a window; what lies beyond an end without a cut-off belongs to the end cell."""
    edges = cumulative_at_edges(counts, np.array([theta]), start, stop)[0]
    edges[0], edges[-1] = 0.0, 1.0
    return np.maximum(np.diff(edges), 0.0)


def window_log_likelihood(counts: GroupedCounts, fit: WindowFit) -> float:
    """Sum over the values on the window of ``ln p(u)``, the density in ``u = ln delta``.

    In a cell ``p`` is its probability over its width, so that the sum does not depend on how finely was counted,
    but for the spread of values inside cells. For a law on integers: the sum of ``ln P(x)``.
    """
    cells, pooled = counts.cells.part(fit.start, fit.stop), counts.pooled[fit.start : fit.stop]
    below, above = counts.is_open(fit.start, fit.stop)
    masses = power_law_uneven_cells.log_likelihood(cells, pooled, fit.theta, below=below, above=above)
    return masses - float(pooled @ np.log(cells.measure))


def _solve(mean: np.ndarray, bins: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Solve for the parameter ``phi`` of each window; NaN where it is empty or all in one end cell."""
    usable = (n >= 2) & (bins >= 2)
    phi = power_law.solve_phi(np.where(usable, mean, 0.0), np.where(usable, bins, 2.0))
    return np.where(usable & np.isfinite(phi), phi, np.nan)
