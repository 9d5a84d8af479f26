"""Serial dependence of values that come in an order: what makes a thousand values worth a hundred."""

from typing import Final

import numpy as np
import scipy.fft

from critlearn.inference.criteria import BLOCK_TIMES, DEPENDENCE_SIGNIFICANCE, FEWEST_BLOCKS, NOTICEABLE_TIME

_LOOKED_AT: Final = 1 << 17
"""Values from the first on that are looked at: an autocorrelation time of thousands shows in them."""

_PIECES: Final = 20
_SHORTEST_PIECE: Final = 50
"""Pieces in which correlations are taken, and the least length of one. The median over pieces is that of the series; a
step in level, as where two samples were put one after the other, is in one piece only.
"""

_MOST_LAGS: Final = 100
"""Lags of the test at most: dependence that begins later, in periods or panels, shows in its echoes before."""

_SIGNIFICANT_LAG: Final = 4.0
"""Standard errors of a correlation from which on it is added to the time."""

_MOST_TURNS: Final = 0.002
"""Share of turning points up to which values are sorted; of independent values two thirds are."""

_MEDIAN: Final = 1.57
"""Variance of a median over that of a mean, ``pi / 2``."""


def autocorrelation_time(values: np.ndarray) -> float | None:
    """Number of neighbours that are worth one independent value, ``1 + 2 sum rho(t)``; None without dependence.

    Of logarithms, so that single large values do not hide it. Correlations ``rho(t)`` are medians over pieces, each
    about its own mean; only significant ones are added, at any lag, so that periods and panels are noticed too. The
    test is a portmanteau one, of the sum of their squares. Sorted values have no order in time, and none is found in
    them.
    """
    series = np.log(values[:_LOOKED_AT].astype(np.float64))
    pieces = min(_PIECES, series.size // _SHORTEST_PIECE)
    if pieces < 4 or np.ptp(series) == 0 or _is_sorted(series):
        return None
    length = series.size // pieces
    rho = _correlations(series[: pieces * length].reshape(pieces, length))
    variance = _MEDIAN / (pieces * length)
    lags = min(_MOST_LAGS, length // 4)
    excess = (float((rho[1 : lags + 1] ** 2).sum()) / variance - lags) / (2 * lags) ** 0.5
    if excess < DEPENDENCE_SIGNIFICANCE:
        return None
    # Taken about the mean of a piece, correlations add up to minus one half: the negative ones are mostly that.
    significant = rho[1 : length // 4]
    time = 1 + 2 * float(significant[significant > _SIGNIFICANT_LAG * variance**0.5].sum())
    return time if time >= NOTICEABLE_TIME else None


def _is_sorted(series: np.ndarray) -> bool:
    """Whether the values rise or fall with hardly a turn: sorted, whole or in a few long stretches."""
    steps = np.sign(np.diff(series))
    steps = steps[steps != 0]
    return int((np.diff(steps) != 0).sum()) <= max(3.0, _MOST_TURNS * series.size)


def _correlations(pieces: np.ndarray) -> np.ndarray:
    """Median over pieces, shape (piece, value), of their autocorrelations by lag."""
    centred = pieces - pieces.mean(axis=1, keepdims=True)
    length = pieces.shape[1]
    size = scipy.fft.next_fast_len(2 * length, real=True)
    spectrum = scipy.fft.rfft(centred, size, axis=1)
    covariance = scipy.fft.irfft(spectrum * spectrum.conj(), size, axis=1)[:, :length]
    kept = covariance[:, 0] > 0
    # Divided by as many products as there are at a lag, or long lags would look uncorrelated.
    number = np.arange(length, 0, -1) / length
    return np.median(covariance[kept] / covariance[kept, :1] / number, axis=0)


def block_length(time: float, size: int) -> int:
    """Length of the blocks over which errors are taken: several autocorrelation times, and twenty blocks at least."""
    return max(1, min(int(np.ceil(BLOCK_TIMES * time)), size // FEWEST_BLOCKS))
