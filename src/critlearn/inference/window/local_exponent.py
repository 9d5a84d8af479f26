"""Local exponent: power laws fitted to short windows that slide over the data, with a simultaneous band."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.window_fits import WindowFit, fit_windows
from critlearn.numerics.window import format_exp
from critlearn.results import Result

STEP: Final = 0.1 * math.log(10.0)
"""Distance between neighbouring short windows: a tenth of a decade, called a span."""

LENGTHS: Final = (4, 6, 9, 13, 19, 28)
"""Lengths of short windows in spans: where fluctuations are few, only longer ones resolve the exponent."""

_MOST_SPANS: Final = 240
"""Spans at most, for speed: up to 24 decades each is a tenth of a decade."""

_FEWEST_CELLS: Final = 160
"""Cells that uneven counts keep at least: integers up to some tens stay apart."""

_FEWEST: Final = 30
"""Fluctuations of a short window from which on its exponent is nearly normal, as the band takes it to be."""


@dataclass(frozen=True, eq=False, repr=False)
class LocalExponentCurve(Result):
    """Exponent on short windows, by the centre of the window.

    Only data inside a short window enter its exponent, so a cut-off disturbs no window that does not contain it.

    Parameters
    ----------
    log_delta
        Centres in ``ln|delta|``.
    exponent, standard_error
        Fitted exponent and its error, robust to dependence inside groups; NaN where there are too few fluctuations.
    band_lo, band_hi
        Simultaneous 95% band: Bonferroni over the windows.
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

    def summary(self) -> str:
        """One line: how many windows, and over what range."""
        kept = self.log_delta[np.isfinite(self.exponent)]
        if not kept.size:
            return "no window has a local exponent"
        low, high = (format_exp(float(end)) for end in kept[[0, -1]])
        return f"local exponent on {kept.size} windows, delta from {low} to {high}"


@dataclass(frozen=True)
class _Bounds:
    """Least lower and greatest upper end of resolved bands, least upper and greatest lower end of all, and coverage."""

    lower: float
    upper: float
    lowest: float
    highest: float
    covered: bool


@dataclass(frozen=True, eq=False)
class SlidingFits:
    """Short windows of several lengths at every span.

    Parameters
    ----------
    counts
        What was fitted.
    marks
        Edges, as indices, that bound the spans: a tenth of a decade each, or one cell where cells are wider.
    exponent, standard_error
        By index into `LENGTHS` and first span; NaN where the short window does not fit in or holds too little.
    """

    counts: GroupedCounts
    marks: Int64[np.ndarray, " mark"]
    exponent: Float64[np.ndarray, "length span"]
    standard_error: Float64[np.ndarray, "length span"]

    @property
    def spans(self) -> int:
        """Number of spans."""
        return len(self.marks) - 1

    def band_factor(self, spans: int) -> float:
        """Half-width of a simultaneous 95% band over this many spans, in standard errors."""
        # Neighbours overlap, but not enough to be one test: each short window counts.
        windows = max(1, spans - LENGTHS[0] + 1)
        return self.counts.t_quantile(1 - 0.025 / windows)

    def is_flat(self, first: int, stop: int, fit: WindowFit, tolerance: float) -> bool:
        """Whether the local exponent, with its band, stays within the tolerance of the fit all over its window.

        Every span ``first .. stop - 1`` must be covered by a short window, inside the window of the fit, whose band is
        narrower than half the tolerance, and every such short window must agree. No other may contradict: long ones
        average over a ripple that short ones, with wider bands, show.
        """
        bounds = self._resolved_bounds(first, stop, tolerance)
        within = bounds.upper - fit.exponent <= tolerance and fit.exponent - bounds.lower <= tolerance
        spread = max(bounds.highest - fit.exponent, fit.exponent - bounds.lowest)
        return bounds.covered and within and spread <= tolerance

    def resolved_runs(self, tolerance: float, fewest: int) -> Int64[np.ndarray, " span"]:
        """End of the run of spans, from each one on, that may be covered by resolved short windows.

        With the narrowest band, which is that over the fewest spans: no window that reaches further can be flat.
        """
        half = self.band_factor(fewest) * self.standard_error
        covered = np.zeros(self.spans, dtype=bool)
        for row, length in enumerate(LENGTHS):
            starts = np.flatnonzero(half[row] <= 0.5 * tolerance)
            covered[(starts[:, None] + np.arange(length)).ravel()] = True
        gaps = np.append(np.flatnonzero(~covered), self.spans)
        return gaps[np.searchsorted(gaps, np.arange(self.spans))]

    def may_be_flat(self, first: int, stop: int, tolerance: float) -> bool:
        """Whether any exponent at all could make these spans flat: without it a fit to them is not worth making."""
        bounds = self._resolved_bounds(first, stop, tolerance)
        spread = max(bounds.upper - bounds.lower, bounds.highest - bounds.lowest)
        return bounds.covered and spread <= 2 * tolerance

    def _resolved_bounds(self, first: int, stop: int, tolerance: float) -> "_Bounds":
        """Ends of the bands of short windows, and whether resolved ones cover all spans."""
        factor = self.band_factor(stop - first)
        covered = np.zeros(stop - first, dtype=bool)
        lower, upper = math.inf, -math.inf
        lowest, highest = math.inf, -math.inf
        for row, length in enumerate(LENGTHS):
            # A short window must be short beside the window, or it would average over the drift it is to find.
            if length > max(LENGTHS[0], (stop - first) // 3):
                break
            short = slice(first, max(first, stop - length + 1))
            half = factor * self.standard_error[row, short]
            known = np.isfinite(half)
            lowest = min(lowest, float((self.exponent[row, short] + half)[known].min(initial=math.inf)))
            highest = max(highest, float((self.exponent[row, short] - half)[known].max(initial=-math.inf)))
            resolved = half <= 0.5 * tolerance
            if not resolved.any():
                continue
            exponent, half = self.exponent[row, short][resolved], half[resolved]
            lower = min(lower, float((exponent - half).min()))
            upper = max(upper, float((exponent + half).max()))
            starts = np.flatnonzero(resolved)
            covered[(starts[:, None] + np.arange(length)).ravel()] = True
        return _Bounds(lower, upper, lowest, highest, bool(covered.all()))

    def curve(self) -> LocalExponentCurve:
        """The local exponent, by the shortest windows, with its band."""
        shortest = LENGTHS[0]
        half = self.band_factor(self.spans) * self.standard_error[0]
        at = self.counts.edges[self.marks]
        centre = np.full(self.spans, math.nan)
        if self.spans >= shortest:
            centre[: self.spans - shortest + 1] = 0.5 * (at[shortest:] + at[:-shortest])
        exponent = self.exponent[0]
        return LocalExponentCurve(centre, exponent, self.standard_error[0], exponent - half, exponent + half)


def sliding_fits(counts: GroupedCounts) -> SlidingFits:
    """Fit every short window; spans are wider where the data reach over hundreds of decades."""
    # Only the whole window may lack a cut-off at one end: short windows are bounded at both.
    counts = replace(counts, open_below=False, open_above=False)
    if counts.cells.width is None:
        # Sums over nodes take their time; a quarter of a span is as fine as a short window needs.
        counts = counts.joined(max(_FEWEST_CELLS, round(4 * float(counts.edges[-1] - counts.edges[0]) / STEP)))
    edges = counts.edges
    step = max(STEP, (edges[-1] - edges[0]) / _MOST_SPANS)
    targets = edges[0] + step * np.arange(int((edges[-1] - edges[0]) / step + 1e-9) + 1)
    marks = _nearest(edges, targets)
    spans = len(marks) - 1
    exponent, error = (np.full((len(LENGTHS), spans), math.nan) for _ in range(2))
    # All at once, as that takes less time than one length after the other.
    row, first = np.nonzero(np.arange(spans) + np.array(LENGTHS)[:, None] <= spans)
    if row.size:
        fits = fit_windows(counts, marks[first], marks[first + np.array(LENGTHS)[row]])
        known = fits.n >= _FEWEST
        exponent[row[known], first[known]] = fits.exponent[known]
        error[row[known], first[known]] = fits.standard_error[known]
    return SlidingFits(counts, marks.astype(np.int64), exponent, error)


def _nearest(edges: Float64[np.ndarray, " edge"], targets: Float64[np.ndarray, " target"]) -> np.ndarray:
    """Indices of the edges nearest to the targets, each index once."""
    above = np.clip(np.searchsorted(edges, targets), 1, len(edges) - 1)
    return np.unique(np.where(targets - edges[above - 1] <= edges[above] - targets, above - 1, above))
