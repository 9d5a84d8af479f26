"""Empirical density of the sizes, on bins that cover the whole range, for figures and to see what was fitted."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy.special
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST
from critlearn.numerics.window import format_exp
from critlearn.results import Result

_BINS: Final = 160
"""Bins of a curve at most: as many as a figure resolves."""

_FEWEST_IN_BIN: Final = 10
"""Values of a bin, unless there are fewer in all than 20 times as many: the error of its density is then a third."""

_SURELY_ENOUGH: Final = 2.5
"""Ratio to these of the values in a cell that is a bin whatever its neighbours hold."""

_COARSEST: Final = math.log(2.0)
"""Distance of neighbouring numbers of one significant digit at most. Beyond a wider empty stretch lies something else:
the bin beside it would say nothing of its own values.
"""


@dataclass(frozen=True, eq=False, repr=False)
class DensityCurve(Result):
    """Density ``p(delta)`` of all values that entered, on adjacent bins of ``ln delta``.

    Where values are few, a bin reaches over the empty space between them until it holds ten: the density of single
    values on narrow bins, with the empty ones left out, would rise ever further above that of the law.

    Parameters
    ----------
    log_delta
        Middle of the bins; of bins of integers, the middle between the first and the last.
    log_density
        ``ln p(delta)`` there, of a power law in the bin that holds its values and goes on to its neighbours: over the
        width of a wide bin a density changes so much that the mean is not that in the middle.
    count
        Number of values in the bins.
    log_lo, log_hi
        Ends of the bins.
    """

    log_delta: Float64[np.ndarray, " bin"]
    log_density: Float64[np.ndarray, " bin"]
    count: Float64[np.ndarray, " bin"]
    log_lo: Float64[np.ndarray, " bin"]
    log_hi: Float64[np.ndarray, " bin"]

    @classmethod
    def of(cls, counts: GroupedCounts) -> "DensityCurve":
        """Density on at most 160 bins."""
        filled = np.flatnonzero(counts.pooled)
        # Cells may reach as far as a window, and nothing is known of a density beyond the values.
        counts = replace(counts.part(int(filled[0]), int(filled[-1]) + 1), outside=counts.total - counts.pooled.sum())
        edges = counts.edges
        marks = np.unique(np.searchsorted(edges, np.linspace(edges[0], edges[-1], _BINS + 1) - 1e-9))
        ends = marks[_bin_ends(edges[marks], np.add.reduceat(counts.pooled, marks[:-1]), counts.total)]
        count = np.add.reduceat(counts.pooled, ends[:-1])
        low, high = edges[ends[:-1]], edges[ends[1:]]
        first = counts.cells.first_integer
        if first is None:
            middle, single = 0.5 * (low + high), np.zeros(len(count), dtype=bool)
        else:
            middle = 0.5 * np.log(first[ends[:-1]] * (first[ends[1:]] - 1))
            single = first[ends[1:]] - first[ends[:-1]] == 1
        log_shares = np.log(count) - np.log(counts.total)
        bent = log_shares + _log_density_in(middle, low, high, _slopes(middle, log_shares, low, high)) - middle
        # The probability of an integer is what it is, not that of a law around it.
        return cls(middle, np.where(single, log_shares, bent), count, low, high)

    def summary(self) -> str:
        """One line: how many bins, and over what range."""
        if not self.log_delta.size:
            return "no values"
        low, high = (format_exp(float(end)) for end in self.log_delta[[0, -1]])
        return f"density on {self.log_delta.size} bins, delta from {low} to {high}"


def _bin_ends(edges: Float64[np.ndarray, " edge"], count: Float64[np.ndarray, " cell"], total: float) -> np.ndarray:
    """Ends of bins, as indices of edges of the cells: cells of enough values stand alone, others are joined.

    Between two cells of enough values each, an empty stretch is shared by them, and one that holds a few values is a
    bin. At either end of the range bins grow outwards.
    """
    # Without a number of values, as of relative frequencies, only empty cells are joined.
    enough = min(_FEWEST_IN_BIN, total / 20) if total >= FEWEST else np.finfo(float).tiny
    # Where ten are expected, the cells that hold them by chance would stand out if they alone were bins.
    full = np.flatnonzero(count >= _SURELY_ENOUGH * enough)
    if not full.size:
        return np.array([0, *_grown(count, enough)], dtype=np.int64)
    filled = np.flatnonzero(count)
    # Bins of the cells of enough values, with their share of the empty stretches beside them.
    starts = [at - _share(edges, filled, at, -1) for at in full.tolist()]
    stops = [at + 1 + _share(edges, filled, at, 1) for at in full.tolist()]
    ends = [starts[0] - end for end in (0, *_grown(count[: starts[0]][::-1], enough))]
    for stop, start in zip(stops, [*starts[1:], len(count)], strict=True):
        between = count[stop:start]
        if between.any():
            ends += [stop + end for end in (0, *_grown(between, enough))]
        else:
            ends.append(len(count) if start == len(count) else (stop + start) // 2)
    return np.unique(np.array(ends, dtype=np.int64))


def _share(edges: np.ndarray, filled: np.ndarray, at: int, step: int) -> int:
    """Empty cells beside a cell that belong to its bin: half of a stretch as between coarse numbers, else none."""
    index = int(np.searchsorted(filled, at)) + step
    if not 0 <= index < len(filled):
        return 0
    empty = abs(int(filled[index]) - at) - 1
    low, high = sorted((at + (step > 0), int(filled[index]) + (step < 0)))
    return empty // 2 if edges[high] - edges[low] <= _COARSEST else 0


def _grown(count: Float64[np.ndarray, " cell"], enough: float) -> list[int]:
    """Ends of bins that grow from the first cell on until they hold enough values; what is left joins the last."""
    ends: list[int] = []
    held = 0.0
    for at, value in enumerate(count, 1):
        held += value
        if held >= enough:
            ends.append(at)
            held = 0.0
    if ends:
        ends[-1] = len(count)
    elif held > 0:
        ends.append(len(count))
    return ends


def _slopes(middle: np.ndarray, log_shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Slope of the density in ``ln delta`` from bin to bin; 1, that of a constant density in delta, of a single bin."""
    if len(middle) < 2:
        return np.ones_like(middle)
    slopes = np.zeros_like(middle)
    # Each round corrects the densities in the middle by the slopes, on which they depend weakly.
    for _ in range(3):
        slopes = np.gradient(log_shares + _log_density_in(middle, low, high, slopes), middle)
    return slopes


def _log_density_in(u: np.ndarray, low: np.ndarray, high: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Logarithm of densities ``exp(slope u)``, each normalised in its bin, at ``u``."""
    # Measured from the end where the density is largest, so that nothing overflows.
    top = np.where(slopes > 0, high, low)
    lengths = high - low
    return slopes * (u - top) - np.log(lengths) - np.log(scipy.special.exprel(-np.abs(slopes) * lengths))
