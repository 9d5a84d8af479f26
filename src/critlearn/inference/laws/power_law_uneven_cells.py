"""Power laws on cells that no closed form covers: integers, and histograms whose bins are not equal in ``ln delta``.

Fisher's scoring on sums over the cells' nodes takes the place of the formulas of `power_law`. Many windows are fitted
at once: a search fits hundreds, and one by one they would take most of the time of a fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.inference.counts.cells import FAR, Cells
from critlearn.inference.laws.score_tables import fit_by_tables
from critlearn.numerics.truncated_power_law import solve_phi

_STEPS: Final = 60
"""Steps of scoring at most: a bound against cycles, as the length of a step ends the search before."""

_LONGEST_STEP: Final = 2.0
"""Change of the exponent in one step at most: longer ones leave the region where the information is known."""

_CONVERGED: Final = 1e-6
"""Step, in standard errors of the exponent, that ends the search."""

_BINS: Final = 100
"""Equal bins that stand for a window where a search starts."""

_FEWEST_FOR_TABLES: Final = 40
"""Windows of one call from which on tables take less time than one search for each."""

_AT_ONCE: Final = 1 << 18
"""Nodes that are handled together: 2 MiB, which stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class _Ranges:
    """Ranges of cells of many windows, padded to one length: a rectangle of nodes that is summed at once."""

    u: Float64[np.ndarray, "window cell node"]
    log_weights: Float64[np.ndarray, "window cell node"]
    reference: Float64[np.ndarray, "window 1 1"]

    @classmethod
    def of(cls, cells: Cells, first: Int64[np.ndarray, " window"], last: Int64[np.ndarray, " window"]) -> "_Ranges":
        """Ranges of the cells ``first .. last - 1``; cells beyond the end of a shorter range have no weight."""
        length = int((last - first).max())
        index = first[:, None] + np.arange(length)
        inside = index < last[:, None]
        index = np.minimum(index, len(cells) - 1)
        nodes, log_weights = cells.nodes
        weights = np.where(inside[:, :, None], log_weights[index], -np.inf)
        return cls(nodes[index], weights, cells.edges[last][:, None, None])

    def moments(self, theta: Float64[np.ndarray, " window"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean of ``u - reference`` in each cell, over all cells, and the variance of the former between cells."""
        centred = self.u - self.reference
        parts = self.log_weights + theta[:, None, None] * centred
        # Each cell in units of its largest node, so that no steep law overflows.
        top = parts.max(axis=2, keepdims=True)
        shares = np.exp(parts - np.where(np.isfinite(top), top, 0.0))
        sums = shares.sum(axis=2)
        empty = sums == 0
        sums = np.where(empty, 1.0, sums)
        means = (shares * centred).sum(axis=2) / sums
        masses = np.where(empty, -np.inf, top[:, :, 0] + np.log(sums))
        probability = np.exp(masses - masses.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        mean = (probability * means).sum(axis=1)
        return means, mean, (probability * (means - mean[:, None]) ** 2).sum(axis=1)


def fit_windows(
    cells: Cells,
    counts: Float64[np.ndarray, "group cell"],
    start: Int64[np.ndarray, " window"],
    stop: Int64[np.ndarray, " window"],
    *,
    below: bool,
    above: bool,
) -> tuple[Float64[np.ndarray, " window"], Float64[np.ndarray, " window"], Float64[np.ndarray, "group window"]]:
    """Maximum of the likelihood on many windows of cells.

    Parameters
    ----------
    cells, counts
        All cells, and the counts on them by group.
    start, stop
        Windows: the cells ``start .. stop - 1``.
    below, above
        Whether a window that begins with the first (ends with the last) cell has no cut-off there.

    Returns
    -------
    theta, information, score
        ``1 - k``, Fisher's information of one observation, and the sum of each group's score; NaN where there is no
        maximum: everything lies in one end cell.
    """
    far, offset = _reaching(cells, below, above)
    first = np.where(below & (start == 0), 0, start + offset)
    last = np.where(above & (stop == len(cells)), len(far), stop + offset)
    padded = np.zeros((len(counts), len(far)))
    padded[:, offset : offset + len(cells)] = counts
    theta, information = np.full(len(start), np.nan), np.full(len(start), np.nan)
    score = np.zeros((len(counts), len(start)))
    pooled = counts.sum(axis=0)
    left = np.flatnonzero(_usable(cells, pooled, start, stop, below=below, above=above))
    if len(counts) == 1 and len(left) >= _FEWEST_FOR_TABLES:
        # With one group the sum of the scores is all there is, and that is zero.
        theta[left], information[left] = fit_by_tables(far, padded[0], first[left], last[left])
        left = left[np.isnan(theta[left])]
    for batch in _batches(first, last, left, far.nodes[0].shape[1]):
        ranges = _Ranges.of(far, first[batch], last[batch])
        index = np.minimum(first[batch][:, None] + np.arange(ranges.u.shape[1]), len(far) - 1)
        inside = np.isfinite(ranges.log_weights[:, :, 0])
        by_group = np.where(inside, padded[:, index], 0.0)
        open_end = (first[batch] < offset) | (last[batch] > offset + len(cells))
        found = _maximise(ranges, by_group.sum(axis=0), open_end, first[batch] < offset)
        theta[batch], means, mean, information[batch] = found
        score[:, batch] = (by_group * (means - mean[:, None])).sum(axis=2)
    return theta, information, score


def _usable(
    cells: Cells, pooled: np.ndarray, start: np.ndarray, stop: np.ndarray, *, below: bool, above: bool
) -> np.ndarray:
    """Mask of the windows that have a maximum: two cells or more, and not everything in an end cell with a cut-off."""
    filled = np.concatenate([[0], np.cumsum(pooled > 0)])
    number = filled[stop] - filled[start]
    at_first, at_last = pooled[start] > 0, pooled[np.maximum(stop - 1, 0)] > 0
    in_end = (at_first & ~(below & (start == 0))) | (at_last & ~(above & (stop == len(cells))))
    return (stop - start >= 2) & ((number >= 2) | ((number == 1) & ~in_end))


def _batches(first: np.ndarray, last: np.ndarray, order: np.ndarray, points: int) -> Iterator[np.ndarray]:
    """Indices of windows of similar length, few enough to be held together."""
    length = (last - first)[order]
    order, length = order[np.argsort(length, kind="stable")], np.sort(length, kind="stable")
    at = 0
    while at < len(order):
        # The last of a batch is the longest, to which all are padded.
        size = max(1, _AT_ONCE // (points * int(length[at])))
        while size > 1 and length[min(at + size, len(order)) - 1] > 1.5 * length[at]:
            size = size * 2 // 3
        yield order[at : at + size]
        at += size


def _maximise(
    ranges: _Ranges, counts: Float64[np.ndarray, "window cell"], open_end: np.ndarray, open_below: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fisher scoring: parameters, means of ``u`` in each cell and over all, information of one value."""
    n = counts.sum(axis=1)
    share = counts / n[:, None]
    theta = _start(ranges, share, open_end, open_below)
    low, high = np.full(len(theta), -np.inf), np.full(len(theta), np.inf)
    for _ in range(_STEPS):
        means, mean, information = ranges.moments(theta)
        score = (share * means).sum(axis=1) - mean
        # The score falls with theta: steps that leave what is known to hold its zero are halved instead, as those of a
        # steep law, whose information vanishes beyond, would go to and fro.
        low, high = np.where(score > 0, theta, low), np.where(score < 0, theta, high)
        limit = _LONGEST_STEP * (1 + np.abs(theta))
        step = theta + np.clip(score / np.maximum(information, 1e-300), -limit, limit)
        theta = np.where((step > high) | (step < low), 0.5 * (low + high), step)
        # In standard errors the step is score * sqrt(n / information).
        if (score**2 * n < _CONVERGED**2 * information).all():
            break
    return theta, means, mean, information


def _start(ranges: _Ranges, share: np.ndarray, open_end: np.ndarray, open_below: np.ndarray) -> np.ndarray:
    """Parameters of continuous laws with the same means: scoring needs two or three steps from there.

    A law without a cut-off has the mean excess ``1 / |theta|``; one with two ends is solved for as on many equal bins.
    """
    inside = np.isfinite(ranges.log_weights[:, :, 0])
    centres = np.where(inside, ranges.u.mean(axis=2), 0.0)
    mean = (share * centres).sum(axis=1)
    low = np.where(inside, centres, np.inf).min(axis=1)
    filled = np.where(share > 0, centres, np.nan)
    reach = np.where(
        open_end, np.where(open_below, np.nanmax(filled, axis=1) - mean, mean - np.nanmin(filled, axis=1)), 1.0
    )
    width = np.maximum(ranges.reference[:, 0, 0] - low, 1e-9)
    bounded = solve_phi((mean - low - 0.5 * width) * _BINS / width, _BINS) * _BINS / width
    bounded = np.clip(np.nan_to_num(bounded), -50.0, 50.0)
    return np.where(open_end, np.where(open_below, 1.0, -1.0) / (np.maximum(reach, 0.0) + 1e-2), bounded)


def distribution(cells: Cells, theta: np.ndarray, *, below: bool, above: bool) -> np.ndarray:
    """Distribution functions at the edges of cells, shape (fit, edge), with mass beyond ends without a cut-off."""
    far, offset = _reaching(cells, below, above)
    nodes, log_weights = far.nodes
    result = np.empty((len(theta), len(cells) + 1))
    rows = max(1, _AT_ONCE // nodes.size)
    for at in range(0, len(theta), rows):
        parts = log_weights + theta[at : at + rows, None, None] * (nodes - cells.edges[-1])
        masses = np.exp(parts - parts.max(axis=(1, 2), keepdims=True)).sum(axis=2)
        cumulative = np.cumsum(masses, axis=1)
        cumulative = np.pad(cumulative / cumulative[:, -1:], ((0, 0), (1, 0)))
        result[at : at + rows] = np.minimum(cumulative[:, offset : offset + len(cells) + 1], 1.0)
    return result


def log_likelihood(cells: Cells, pooled: np.ndarray, theta: float, *, below: bool, above: bool) -> float:
    """``sum n_j ln P(cell j)`` on the cells of a window."""
    far, offset = _reaching(cells, below, above)
    masses = far.log_masses(lambda u: theta * (u - cells.edges[-1]))[offset : offset + len(cells)]
    filled = pooled > 0
    return float(pooled[filled] @ masses[filled])


def moments(cells: Cells, theta: float, *, below: bool, above: bool) -> tuple[np.ndarray, float, float]:
    """Mean of ``u`` in each cell and over the law, and information of one observation."""
    far, offset = _reaching(cells, below, above)
    ranges = _Ranges.of(far, np.array([0]), np.array([len(far)]))
    means, mean, information = ranges.moments(np.array([theta]))
    reference = float(ranges.reference[0, 0, 0])
    return means[0, offset : offset + len(cells)] + reference, float(mean[0]) + reference, float(information[0])


def _reaching(cells: Cells, below: bool, above: bool) -> tuple[Cells, int]:
    """Cells extended beyond ends without a cut-off, and the index of the first original cell among them."""
    if not (below or above):
        return cells, 0
    far = cells.extended(FAR if below else 0.0, FAR if above else 0.0)
    return far, int(np.searchsorted(far.edges, cells.edges[0] - 1e-12))
