"""Local exponent: power laws fitted to short windows that slide over the data, with a simultaneous band."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.grouped_counts import GroupedCounts, WindowFit

STEP: Final = 0.1 * math.log(10.0)
"""Distance between neighbouring short windows: a tenth of a decade, called a cell."""

LENGTHS: Final = (4, 6, 9, 13, 19, 28)
"""Lengths of short windows in cells: where fluctuations are few, only longer ones resolve the exponent."""

_MOST_CELLS: Final = 240
_FEWEST: Final = 20


@dataclass(frozen=True, eq=False)
class LocalExponentCurve:
    """Exponent on short windows, by the centre of the window.

    Only data inside a short window enter its exponent, so a cut-off disturbs no window that does not contain it.

    Parameters
    ----------
    log_delta
        Centres in ``ln|delta|``.
    exponent, standard_error
        Fitted exponent and its error, robust to dependence inside groups; NaN where there are too few fluctuations.
    band_lo, band_hi
        Simultaneous 95% band: Bonferroni over the windows that do not overlap.
    """

    log_delta: Float64[np.ndarray, " window"]
    exponent: Float64[np.ndarray, " window"]
    standard_error: Float64[np.ndarray, " window"]
    band_lo: Float64[np.ndarray, " window"]
    band_hi: Float64[np.ndarray, " window"]

    def to_dict(self) -> dict[str, Any]:
        """Columns as lists; windows without an exponent are left out."""
        kept = np.isfinite(self.exponent)
        return {
            "log_delta": self.log_delta[kept].tolist(),
            "exponent": self.exponent[kept].tolist(),
            "band_lo": self.band_lo[kept].tolist(),
            "band_hi": self.band_hi[kept].tolist(),
        }


@dataclass(frozen=True, eq=False)
class SlidingFits:
    """Short windows of several lengths at every cell.

    Parameters
    ----------
    counts
        What was fitted.
    cell
        Bins in a cell.
    exponent, standard_error
        By index into `LENGTHS` and first cell; NaN where the short window does not fit in or holds too little.
    """

    counts: GroupedCounts
    cell: int
    exponent: Float64[np.ndarray, "length cell"]
    standard_error: Float64[np.ndarray, "length cell"]

    @property
    def cells(self) -> int:
        """Number of whole cells."""
        return int(self.exponent.shape[1])

    def band_factor(self, cells: int) -> float:
        """Standard errors to each side of a simultaneous 95% band over this many cells."""
        independent = max(1.0, cells / LENGTHS[0])
        return self.counts.t_quantile(1 - 0.025 / independent)

    def is_flat(self, fit: WindowFit, tolerance: float) -> bool:
        """Whether the local exponent, with its band, stays within the tolerance of the fit all over its window.

        Every cell must be covered by a short window, inside the window of the fit, whose band is narrower than half the
        tolerance, and every such short window must agree.
        """
        lower, upper, covered = self._resolved_bounds(fit.start // self.cell, fit.stop // self.cell, tolerance)
        return covered and upper - fit.exponent <= tolerance and fit.exponent - lower <= tolerance

    def may_be_flat(self, first: int, stop: int, tolerance: float) -> bool:
        """Whether any exponent at all could make these cells flat: without it a fit to them is not worth making."""
        lower, upper, covered = self._resolved_bounds(first, stop, tolerance)
        return covered and upper - lower <= 2 * tolerance

    def _resolved_bounds(self, first: int, stop: int, tolerance: float) -> tuple[float, float, bool]:
        """Least and greatest end of the bands of resolved short windows, and whether these cover all cells."""
        factor = self.band_factor(stop - first)
        covered = np.zeros(stop - first, dtype=bool)
        lower, upper = math.inf, -math.inf
        for row, length in enumerate(LENGTHS):
            # A short window must be short beside the window, or it would average over the drift it is to find.
            if length > max(LENGTHS[0], (stop - first) // 3):
                break
            short = slice(first, max(first, stop - length + 1))
            half = factor * self.standard_error[row, short]
            resolved = half <= 0.5 * tolerance
            if not resolved.any():
                continue
            exponent, half = self.exponent[row, short][resolved], half[resolved]
            lower = min(lower, float((exponent - half).min()))
            upper = max(upper, float((exponent + half).max()))
            starts = np.flatnonzero(resolved)
            covered[(starts[:, None] + np.arange(length)).ravel()] = True
        return lower, upper, bool(covered.all())

    def curve(self) -> LocalExponentCurve:
        """The local exponent, by the shortest windows, with its band."""
        half = self.band_factor(self.cells) * self.standard_error[0]
        centre = self.counts.edges[0] + (np.arange(self.cells) + 0.5 * LENGTHS[0]) * self.cell * self.counts.width
        exponent = self.exponent[0]
        return LocalExponentCurve(centre, exponent, self.standard_error[0], exponent - half, exponent + half)


def sliding_fits(counts: GroupedCounts) -> SlidingFits:
    """Fit every short window; cells are wider where the data span hundreds of decades."""
    bins = counts.counts.shape[1]
    cell = max(round(STEP / counts.width), bins // _MOST_CELLS, 1)
    cells = bins // cell
    exponent, error = (np.full((len(LENGTHS), cells), math.nan) for _ in range(2))
    for row, length in enumerate(LENGTHS):
        for start in range(cells - length + 1):
            fit = counts.fit(start * cell, (start + length) * cell)
            if fit is not None and fit.n >= _FEWEST:
                exponent[row, start], error[row, start] = fit.exponent, fit.standard_error
    return SlidingFits(counts, cell, exponent, error)
