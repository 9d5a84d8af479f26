"""Find the window of a power law, by two criteria: practical equivalence, and significance."""

import math
from typing import Final

import numpy as np

from critlearn.inference.goodness import Goodness, KolmogorovSmirnov
from critlearn.inference.grouped_counts import GroupedCounts, WindowFit
from critlearn.inference.local_exponent import LENGTHS, SlidingFits

ACCEPTED: Final = 0.1
"""p-value from which a window is accepted (Deluca and Corral, Acta Geophysica 61, 1351, 2013)."""

FEWEST: Final = 50
"""Fluctuations without which nothing is said."""

LEAST_RETAINED: Final = 0.05
"""Share of the fluctuations that a window must hold: far enough out, anything passes for a power law."""

_SEARCH_BINS: Final = 400
_CANDIDATES: Final = 45
_NARROWEST: Final = 0.5 * math.log(10.0)


def equivalence_window(sliding: SlidingFits, tolerance: float) -> WindowFit | None:
    """Widest window on which the local exponent, with its simultaneous band, is within a tolerance of the fit.

    It does not depend on the number of fluctuations being small, as significance does: the more there are, the better
    the window is known.
    """
    cell = sliding.cell
    for length in range(sliding.cells, LENGTHS[0] - 1, -1):
        best: WindowFit | None = None
        for first in range(sliding.cells - length + 1):
            if not sliding.may_be_flat(first, first + length, tolerance):
                continue
            fit = sliding.counts.fit(first * cell, (first + length) * cell)
            if fit is not None and sliding.is_flat(fit, tolerance) and (best is None or fit.n > best.n):
                best = fit
        if best is not None:
            # The outermost cells may hold a part of a cut-off that is too small to show: leave them out.
            inner = sliding.counts.fit(best.start + cell, best.stop - cell)
            wide_enough = (length - 2) * cell * sliding.counts.width >= math.log(10.0)
            return inner if inner is not None and wide_enough else best
    return None


def significance_window(counts: GroupedCounts, replicates: int, seed: int) -> tuple[WindowFit, Goodness] | None:
    """Widest window, of half a decade at least, on which the Kolmogorov-Smirnov test does not reject a power law.

    Candidates are tried from the widest to the narrowest. The p-value is that of the window as if it had been given.
    """
    coarse = counts.coarsened(max(1, -(-counts.counts.shape[1] // _SEARCH_BINS)))
    test = KolmogorovSmirnov(coarse, replicates, seed)
    bins = coarse.counts.shape[1]
    share = np.cumsum(coarse.counts.sum(axis=0)) / coarse.total
    # The outermost thousandth on each side holds no window's end, but for the ends of the data themselves.
    low, high = (int(np.searchsorted(share, q)) for q in (0.001, 0.999))
    candidates = np.unique(np.concatenate([[0, bins], np.linspace(low, high + 1, _CANDIDATES).round()]).astype(int))
    pairs = [(int(a), int(b)) for a in candidates for b in candidates if (b - a) * coarse.width >= _NARROWEST]
    for start, stop in sorted(pairs, key=lambda pair: pair[0] - pair[1]):
        fit = coarse.fit(start, stop)
        if fit is None or fit.bins < 5 or fit.n < max(FEWEST, LEAST_RETAINED * coarse.total):
            continue
        goodness = test.test(fit)
        if goodness.p_value >= ACCEPTED:
            factor = round(coarse.width / counts.width)
            fine = counts.fit(start * factor, min(stop * factor, counts.counts.shape[1]))
            return (fine, goodness) if fine is not None else None
    return None
