"""Empirical density of the sizes, on a few points per decade, for figures and to see what was fitted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.numerics.window import format_exp
from critlearn.results import Result

_CELLS = 160
"""Cells of a curve at most: as many as a figure resolves."""


@dataclass(frozen=True, eq=False, repr=False)
class DensityCurve(Result):
    """Density ``p(delta)`` of all values that entered, on cells of ``ln delta`` that are not empty.

    Parameters
    ----------
    log_delta
        Middle of the cells.
    log_density
        ``ln p(delta)`` there: share of the values over the width of the cell in ``delta``.
    count
        Number of values in the cells.
    """

    log_delta: Float64[np.ndarray, " cell"]
    log_density: Float64[np.ndarray, " cell"]
    count: Float64[np.ndarray, " cell"]

    @classmethod
    def of(cls, counts: GroupedCounts) -> "DensityCurve":
        """Density on at most 160 cells."""
        coarse = counts.joined(_CELLS)
        filled = coarse.pooled > 0
        middle, widths = coarse.cells.centres[filled], np.diff(coarse.edges)[filled]
        # exp(b) - exp(a) = exp(middle) 2 sinh(width / 2): the edges themselves may be below the smallest float.
        log_widths = middle + np.log(2 * np.sinh(0.5 * widths))
        log_density = np.log(coarse.pooled[filled]) - np.log(counts.total) - log_widths
        return cls(middle, log_density, coarse.pooled[filled])

    def summary(self) -> str:
        """One line: how many cells, and over what range."""
        if not self.log_delta.size:
            return "no values"
        low, high = (format_exp(float(end)) for end in self.log_delta[[0, -1]])
        return f"density on {self.log_delta.size} cells, delta from {low} to {high}"
