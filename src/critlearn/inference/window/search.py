"""Find the window of a power law, by two criteria: practical equivalence, and significance."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import (
    ACCEPTED,
    DECADE,
    DRAWN_IN,
    FEWEST,
    FEWEST_CELLS,
    FEWEST_IN_TAIL,
    FLAT,
    LEAST_OF_TAIL,
    LEAST_RETAINED,
    LEAST_TAIL_SHARE,
    MOST_BELOW_FLAT,
    MOST_DRAWN_IN,
    SPARSE_END,
    WHOLE,
)
from critlearn.inference.laws.window_fits import WindowFit, WindowFits, cumulative_at_edges, fit_window, fit_windows
from critlearn.inference.window.goodness import GroupNull, independent_null
from critlearn.inference.window.local_exponent import LENGTHS, SlidingFits
from critlearn.results import Result

_FEWEST_SPANS: Final = LENGTHS[0] + 3
"""Four short windows: one alone, where spans are wide, agrees with itself whatever it holds."""

_SEARCH_CELLS: Final = 256
"""Cells of the search: fine enough for 36 places of either end, coarse enough for hundreds of candidates."""

_CANDIDATES: Final = 36
"""Places for either end of a window: with 36 the ends are known to 3% of the range, and some 600 windows are fitted."""

_TAILS: Final = 24
_LARGEST_TAIL: Final = 0.3
"""Lower ends of tails that are tried besides, and the largest share of the values in one: each holds a fifth less."""

_NARROWEST: Final = 0.5 * DECADE
"""Width of the narrowest candidate: narrower ones than a decade show, in the stability map, where a plateau begins."""

_SURELY_REJECTED: Final = 1.7
"""Value of ``sqrt(n)`` times the distance far above the critical one, which is about 1 for a law with one fitted
parameter: beyond it no replicates are needed.
"""


def equivalence_window(sliding: SlidingFits, tolerance: float) -> WindowFit | None:
    """Widest window on which the local exponent, with its simultaneous band, is within a tolerance of the fit.

    It does not depend on the number of fluctuations being small, as significance does: the more there are, the better
    the window is known. The flat start of a density is taken only where there is nothing else.
    """
    marks = sliding.marks
    below = np.concatenate([[0.0], np.cumsum(sliding.counts.pooled)])
    flat_start: WindowFit | None = None
    ends = sliding.resolved_runs(tolerance, _FEWEST_SPANS)
    # From the widest down; of windows of one length the one with the most fluctuations.
    for length in range(sliding.spans, _FEWEST_SPANS - 1, -1):
        covered = np.flatnonzero(ends[: sliding.spans - length + 1] - np.arange(sliding.spans - length + 1) >= length)
        first = np.array(
            [at for at in covered.tolist() if sliding.may_be_flat(at, at + length, tolerance)], dtype=np.int64
        )
        if not first.size:
            continue
        fits = fit_windows(sliding.counts, marks[first], marks[first + length])
        start_of_density = _is_flat_start(fits, below)
        best: tuple[int, WindowFit] | None = None
        for at, index in enumerate(first.tolist()):
            fit = fits[at]
            if fit is None or (best is not None and best[1].n >= fit.n):
                continue
            if start_of_density[at] and flat_start is not None:
                continue
            if not sliding.is_flat(index, index + length, fit, tolerance):
                continue
            if start_of_density[at]:
                flat_start = fit
            else:
                best = index, fit
        if best is not None:
            # The outermost spans may hold a part of a cut-off that is too small to show: leave them out.
            start, stop = (int(marks[at]) for at in (best[0] + 1, best[0] + length - 1))
            inner = fit_window(sliding.counts, start, stop)
            wide_enough = inner is not None and sliding.counts.width_of(start, stop) >= DECADE
            return inner if wide_enough else best[1]
    return flat_start


def _is_flat_start(fits: WindowFits, below: Float64[np.ndarray, " edge"]) -> np.ndarray:
    """Mask of the windows on the smallest values, where any density that is finite at zero is flat, or rises."""
    few_below = below[fits.start] <= MOST_BELOW_FLAT * fits.n
    return (fits.exponent <= FLAT) & few_below & (fits.n < WHOLE * below[-1])


def drawn_in(counts: GroupedCounts, fit: WindowFit, *, half_filled: int = 0) -> WindowFit:
    """Fit on a window that was found, drawn in at both ends.

    The widest window that is not rejected reaches as far beyond the law as the test does not notice, a bias of up to an
    error or two. An end among the data moves inwards by a tenth of the decades, or over a fifth of the values if that
    is nearer. An end of the data themselves stays, unless so few values lie beside it that nothing is known of it:
    a window reaches there with all cells but the `half_filled` outermost ones, of a grid that the data fill in part.
    """
    below, above = counts.is_open(fit.start, fit.stop)
    margin = round(DRAWN_IN * fit.bins)
    share = np.cumsum(counts.pooled[fit.start : fit.stop]) / fit.n

    def step(held: float, at_data_end: bool, most: int) -> int:
        if at_data_end:
            return margin if held < SPARSE_END else 0
        return min(margin, most)

    filled = np.flatnonzero(counts.pooled)
    lower = step(
        float(share[margin]), bool(fit.start <= filled[0] + half_filled), int(np.searchsorted(share, MOST_DRAWN_IN))
    )
    upper = step(
        float(1 - share[-margin - 1]),
        bool(fit.stop > filled[-1] - half_filled),
        fit.bins - 1 - int(np.searchsorted(share, 1 - MOST_DRAWN_IN)),
    )
    start, stop = fit.start + (0 if below else lower), fit.stop - (0 if above else upper)
    inner = fit_window(counts, start, stop)
    return fit if inner is None else inner


@dataclass(frozen=True, eq=False, repr=False)
class StabilityMap(Result):
    """Exponent by both ends of the window, ``k(lo, hi)``; a power law shows as a plateau.

    Parameters
    ----------
    log_lo, log_hi
        Ends of the windows in ``ln delta``, shape (window,).
    exponent, standard_error
        Fit on each window.
    ks_ratio
        Kolmogorov-Smirnov distance over the one that is rejected at the 10% level; below 1 a window is accepted. NaN
        where there are too few fluctuations.
    """

    log_lo: Float64[np.ndarray, " window"]
    log_hi: Float64[np.ndarray, " window"]
    exponent: Float64[np.ndarray, " window"]
    standard_error: Float64[np.ndarray, " window"]
    ks_ratio: Float64[np.ndarray, " window"]

    def to_dict(self) -> dict[str, Any]:
        """Columns as lists, windows without a fit left out."""
        kept = np.isfinite(self.exponent)
        ratio = [float(r) if np.isfinite(r) else None for r in self.ks_ratio[kept]]
        columns = ("log_lo", "log_hi", "exponent", "standard_error")
        return {**{name: getattr(self, name)[kept].tolist() for name in columns}, "ks_ratio": ratio}

    def summary(self) -> str:
        """One line: how many windows were fitted, and how many of them are accepted."""
        fitted = np.isfinite(self.exponent)
        accepted = int((self.ks_ratio[fitted] <= 1).sum())
        return f"{int(fitted.sum())} windows fitted, {accepted} accepted at the 10% level"


@dataclass(frozen=True)
class Selected:
    """Window chosen by significance: index among the candidates and distance over the critical distance."""

    index: int
    ratio: float


@dataclass(frozen=True, eq=False)
class WindowScan:
    """All candidate windows of one set of counts, from the widest to the narrowest, with their critical distances.

    A scan serves the data and every replicate of them: critical distances of ``sqrt(n)`` times the distance, by
    window, are found once, when they are first needed.
    """

    counts: GroupedCounts
    replicates: int
    seed: int
    _critical: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: GroupedCounts, replicates: int, seed: int) -> "WindowScan":
        """Scan on at most 256 cells."""
        return cls(counts.coarsened(_SEARCH_CELLS), replicates, seed)

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """First cells and cells after the last of the candidates; at an end without a cut-off all reach the end."""
        cells = len(self.counts.cells)
        share = np.cumsum(self.counts.pooled) / max(float(self.counts.pooled.sum()), 1.0)
        # No window ends in the outermost thousandths, except at the ends of the data themselves.
        low, high = (int(np.searchsorted(share, q)) for q in (0.001, 0.999))
        at = np.concatenate([[0, cells], np.linspace(low, min(high + 1, cells), _CANDIDATES).round()])
        marks = np.unique(at.astype(np.int64))
        start, stop = (grid.ravel() for grid in np.meshgrid(marks, marks, indexing="ij"))
        # A tail of few values begins where a small share of them is left, which lies between any marks.
        tails = np.searchsorted(share, 1 - np.geomspace(LEAST_TAIL_SHARE, _LARGEST_TAIL, _TAILS)) + 1
        tails = np.setdiff1d(tails[tails < cells], marks)
        start = np.concatenate([start, tails])
        stop = np.concatenate([stop, np.full(len(tails), cells)])
        edges = self.counts.edges
        filled = np.concatenate([[0], np.cumsum(self.counts.pooled > 0)])
        kept = (filled[stop] - filled[start] >= FEWEST_CELLS) & (edges[stop] - edges[start] >= _NARROWEST)
        kept &= (not self.counts.open_below) | (start == 0)
        kept &= (not self.counts.open_above) | (stop == cells)
        start, stop = start[kept], stop[kept]
        # The widest first, of equal ones the lowest; widths that differ by rounding are equal.
        order = np.lexsort((start, -(edges[stop] - edges[start]).round(9)))
        return start[order], stop[order]

    @cached_property
    def _normals(self) -> Float64[np.ndarray, "replicate cell"]:
        return np.random.default_rng(self.seed).standard_normal((self.replicates, len(self.counts.cells)))

    @cached_property
    def _group_null(self) -> GroupNull:
        return GroupNull(self.counts, self.replicates, self.seed)

    @cached_property
    def fits(self) -> WindowFits:
        """Fits of the data on all candidates."""
        return fit_windows(self.counts, *self.ends)

    def critical(self, index: int) -> float:
        """Distance, times ``sqrt(n)``, that a power law on this window exceeds with probability `ACCEPTED`."""
        if index not in self._critical:
            fit = self.fits[index]
            if fit is None:
                self._critical[index] = math.nan
            else:
                grouped = self.counts.groups > 1
                null = self._group_null.distances(fit) if grouped else independent_null(self.counts, fit, self._normals)
                self._critical[index] = float(np.quantile(null, 1 - ACCEPTED)) * fit.n**0.5
        return self._critical[index]

    def select(self, counts: GroupedCounts, fits: WindowFits) -> Selected | None:
        """Widest window on which the Kolmogorov-Smirnov test does not reject; None if all are rejected.

        The flat start of a density, as of any that is finite at zero, is taken only where there is nothing else: seen
        in decades it is the widest, and noise below a power law would hide the law. Windows that hold a small share of
        the values must lie at an end of the data. Narrower ones than a decade are taken last.
        """
        known = np.isfinite(fits.exponent) & (fits.n >= FEWEST)
        enough = known & (fits.n >= LEAST_RETAINED * counts.total)
        few = known & ~enough & (fits.n >= max(FEWEST_IN_TAIL, LEAST_TAIL_SHARE * counts.total))
        upper = few & (fits.stop == len(self.counts.cells))
        lower = few & (fits.start == 0)
        low, high = self.counts.log_ends
        wide = high[fits.stop] - low[fits.start] >= DECADE - 1e-9
        below = np.concatenate([[0.0], np.cumsum(counts.pooled)])
        # Here even one that holds nearly all values: the law may be in the tail above it.
        flat = (fits.exponent <= FLAT) & (below[fits.start] <= MOST_BELOW_FLAT * fits.n)
        bent = wide & ~flat
        # A tail may be wider than any window in the body above which it lies, and hold a fraction of the values.
        for group in ((enough | upper) & bent, lower & bent, enough & wide & flat, enough & ~wide):
            for index in np.flatnonzero(group):
                ratio = self._ratio(below, fits, int(index))
                if ratio <= 1:
                    return Selected(int(index), ratio)
        return None

    def _ratio(self, below: Float64[np.ndarray, " edge"], fits: WindowFits, index: int) -> float:
        """Kolmogorov-Smirnov distance on one window over the critical one."""
        scaled = self._scaled(below, fits, index)
        if self.counts.groups == 1 and scaled > _SURELY_REJECTED:
            return math.inf
        critical = self.critical(index)
        # Zero where every group has the same share of its values in each cell: then nothing is left to chance.
        return scaled / critical if critical != 0 else math.inf if scaled > 0 else 0.0

    def best_tail(self, widest: WindowFit) -> tuple[WindowFit, float] | None:
        """Tail inside an accepted one whose distance to a power law is smallest; it holds a good part of the values.

        And by how much its exponent differs from those of the tails that are accepted as well: the root of the mean
        squared difference.
        """
        fits, low = self.fits, self.counts.log_ends[0]
        high = self.counts.log_ends[1][widest.stop]
        inside = np.isfinite(fits.exponent) & (fits.stop == widest.stop) & (fits.start >= widest.start)
        inside &= (fits.n >= max(FEWEST, LEAST_OF_TAIL * widest.n)) & (high - low[fits.start] >= DECADE - 1e-9)
        index = np.flatnonzero(inside)
        if not index.size:
            return None
        below = np.concatenate([[0.0], np.cumsum(self.counts.pooled)])
        distance = [self._scaled(below, fits, int(at)) / fits.n[at] ** 0.5 for at in index]
        best = fits[int(index[int(np.argmin(distance))])]
        if best is None:
            return None
        others = [fits.exponent[at] - best.exponent for at in index if self._ratio(below, fits, int(at)) <= 1]
        return best, float(np.mean(np.square(others)) ** 0.5) if others else 0.0

    def nearest(self) -> WindowFit | None:
        """Window of a decade or more on which the distance to a power law is smallest; narrower ones if there is none.

        Where every window is rejected, it shows which exponent is nearest, not that it is a law.
        """
        fits, (low, high) = self.fits, self.counts.log_ends
        known = np.isfinite(fits.exponent) & (fits.n >= FEWEST)
        enough = known & (fits.n >= LEAST_RETAINED * self.counts.total)
        wide = high[fits.stop] - low[fits.start] >= DECADE - 1e-9
        below = np.concatenate([[0.0], np.cumsum(self.counts.pooled)])
        for group in (enough & wide, known & wide, known):
            index = np.flatnonzero(group)
            if index.size:
                distance = [self._scaled(below, fits, int(at)) / fits.n[at] ** 0.5 for at in index]
                return fits[int(index[int(np.argmin(distance))])]
        return None

    def _scaled(self, below: Float64[np.ndarray, " edge"], fits: WindowFits, index: int) -> float:
        """``sqrt(n)`` times the Kolmogorov-Smirnov distance on one window."""
        start, stop = int(fits.start[index]), int(fits.stop[index])
        model = cumulative_at_edges(self.counts, np.array([1 - fits.exponent[index]]), start, stop)[0]
        empirical = (below[start : stop + 1] - below[start]) / fits.n[index]
        return float(np.abs(empirical - model).max() * fits.n[index] ** 0.5)

    def selected(self) -> tuple[WindowFit, Selected] | None:
        """Selected window of the data themselves, on the scan's cells."""
        chosen = self.select(self.counts, self.fits)
        fit = None if chosen is None else self.fits[chosen.index]
        return None if chosen is None or fit is None else (fit, chosen)

    def stability_map(self) -> StabilityMap:
        """Exponents on all candidates, with their distances over the critical ones."""
        start, stop = self.ends
        below = np.concatenate([[0.0], np.cumsum(self.counts.pooled)])
        ratio = np.full(len(start), np.nan)
        for index in np.flatnonzero(np.isfinite(self.fits.exponent) & (self.fits.n >= FEWEST)):
            ratio[index] = self._scaled(below, self.fits, int(index)) / self.critical(int(index))
        edges = self.counts.edges
        return StabilityMap(edges[start], edges[stop], self.fits.exponent, self.fits.standard_error, ratio)
