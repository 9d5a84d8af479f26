"""Serial dependence of values that come in an order: what makes a thousand values worth a hundred."""

from typing import Final

import numpy as np
import scipy.fft

_LOOKED_AT: Final = 1 << 17
"""Values from the first on that are looked at: an autocorrelation time of thousands shows in them."""

_FEWEST: Final = 100
"""Values from which on an autocorrelation is known to a tenth."""

_SIGNIFICANT: Final = 5.0
"""Standard errors of the autocorrelation of neighbours that make it one: one series in a million has it by chance."""

_NOTICEABLE: Final = 1.2
"""Autocorrelation time from which on errors change by a tenth; below it, values count as independent."""

_FEWEST_TURNS: Final = 0.1
"""Share of turning points below which values were sorted, whole or in pieces: of independent values two thirds are."""

BLOCK_TIMES: Final = 5.0
"""Length of blocks in autocorrelation times: their variance is then that of the series but for a tenth."""

FEWEST_BLOCKS: Final = 20
"""Blocks that errors are taken over at least: Student's t with fewer degrees of freedom is wide."""


def autocorrelation_time(values: np.ndarray) -> float | None:
    """Number of neighbours that are worth one independent value, ``1 + 2 sum rho(t)``; None without dependence.

    Of logarithms, so that single large values do not hide it. The sum ends with Geyer's first negative pair
    (Statistical Science 7, 473, 1992). Sorted values have no order in time, and none is found in them.
    """
    series = np.log(values[:_LOOKED_AT].astype(np.float64))
    if series.size < _FEWEST or np.ptp(series) == 0:
        return None
    steps = np.sign(np.diff(series))
    steps = steps[steps != 0]
    if (np.diff(steps) != 0).sum() < _FEWEST_TURNS * series.size:
        return None
    centred = series - series.mean()
    size = scipy.fft.next_fast_len(2 * series.size, real=True)
    spectrum = scipy.fft.rfft(centred, size)
    rho = scipy.fft.irfft(spectrum * spectrum.conj(), size)[: series.size // 2]
    rho = rho / rho[0]
    if rho[1] * series.size**0.5 < _SIGNIFICANT:
        return None
    pairs = rho[0 : len(rho) // 2 * 2 : 2] + rho[1 : len(rho) // 2 * 2 : 2]
    negative = np.flatnonzero(pairs <= 0)
    last = int(negative[0]) if negative.size else len(pairs)
    time = 2 * float(pairs[:last].sum()) - 1
    return time if time >= _NOTICEABLE else None


def block_length(time: float, size: int) -> int:
    """Length of the blocks over which errors are taken: several autocorrelation times, and twenty blocks at least."""
    return max(1, min(int(np.ceil(BLOCK_TIMES * time)), size // FEWEST_BLOCKS))
