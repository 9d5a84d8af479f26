"""Bandwidth of a kernel density estimate, chosen from the data without assuming a shape."""

import math
from typing import Final

import numpy as np
import scipy.fft
import scipy.optimize
from jaxtyping import Float64

_BINS: Final = 4096
"""Number of bins of the cosine transform: ten per finest bandwidth."""

_LEFT_OUT: Final = 0.0025
"""Share of the data at each end that is left out of the grid, because outliers would make it coarse."""

_FINEST: Final = 400
"""Largest ratio of the range of the data to the bandwidth: finer structure, such as ties, is not resolved."""

_STAGES: Final = 7
"""Number of derivatives whose roughness is estimated recursively (Botev's choice); more change nothing."""

_TRIED: Final = np.geomspace(1e-11, 0.1, 300)
"""Squared bandwidths, in units of the squared range, between which the fixed point is bracketed."""


def bandwidth_of(values: Float64[np.ndarray, " n"]) -> float:
    """Choose the bandwidth for the slope of a density from sorted values.

    The bandwidth of the improved Sheather-Jones rule (Botev, Grotowski and Kroese, Kernel density estimation via
    diffusion, 2010), which assumes no shape, is multiplied by the ratio of the best bandwidth for the slope of a
    Gaussian density, ``(4/5)^(1/7) s n^(-1/7)``, to that for the density itself, ``(4/3)^(1/5) s n^(-1/5)`` (Wand and
    Jones, Kernel Smoothing, 1995). Upper bound: the former with the robust spread s, so that several groups, or a pile
    at an end of the range, are not smoothed over. Lower bound: 1/400 of the range, so that ties are not resolved.
    """
    n = values.size
    lower, upper = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std()), float(upper - lower) / 1.349 or math.inf)
    widest = (4 / 5) ** (1 / 7) * spread * n ** (-1 / 7)
    for_density = improved_sheather_jones(values)
    if for_density is None:
        return widest
    ratio = (4 / 5) ** (1 / 7) * n ** (-1 / 7) / ((4 / 3) ** (1 / 5) * n ** (-1 / 5))
    low, high = np.quantile(values, [_LEFT_OUT, 1 - _LEFT_OUT])
    return min(widest, max(ratio * for_density, float(high - low) / _FINEST))


def improved_sheather_jones(values: Float64[np.ndarray, " n"]) -> float | None:
    """Bandwidth for a density of sorted values by the fixed point of the diffusion estimator; None if it has none.

    >>> normal = np.sort(np.random.default_rng(0).normal(size=20_000))
    >>> bool(abs(improved_sheather_jones(normal) / (1.06 * 20_000**-0.2) - 1) < 0.1)
    True
    """
    low, high = (float(end) for end in np.quantile(values, [_LEFT_OUT, 1 - _LEFT_OUT]))
    wide = 0.1 * (high - low)
    # The grid ends at the ends of the data, where cosines reflect them as the kernel estimate does.
    low, high = max(low - wide, float(values[0])), min(high + wide, float(values[-1]))
    reach = high - low
    if not reach > 0:
        return None
    counts, _ = np.histogram(values, _BINS, (low, high))
    seen = int(counts.sum())
    squares = np.arange(1, _BINS, dtype=np.float64) ** 2
    energies = (scipy.fft.dct(counts / seen)[1:] / 2) ** 2

    def roughness(order: int, time: float) -> np.float64:
        """Squared norm of the derivative of this order of the density, smoothed by diffusion for some time."""
        damped = squares**order * energies * np.exp(-squares * math.pi**2 * time)
        return np.float64(2 * math.pi ** (2 * order) * damped.sum())

    def excess(time: float) -> float:
        found = roughness(_STAGES, time)
        for order in range(_STAGES - 1, 1, -1):
            odd = math.prod(range(1, 2 * order, 2)) / math.sqrt(2 * math.pi)
            factor = (1 + 0.5 ** (order + 0.5)) / 3
            found = roughness(order, (2 * factor * odd / (seen * found)) ** (2 / (3 + 2 * order)))
        # The second term is infinite if no roughness is left, as for evenly spaced values.
        return time - float((2 * seen * math.sqrt(math.pi) * found) ** -0.4)

    with np.errstate(all="ignore"):
        above = np.array([excess(time) for time in _TRIED]) > 0
    rises = np.flatnonzero(above[1:] & ~above[:-1])
    if not rises.size:
        return None
    time = scipy.optimize.brentq(excess, _TRIED[rises[0]], _TRIED[rises[0] + 1])
    return math.sqrt(time) * reach
