"""Distribution of a product of independent factors, by convolution of the distributions of their logarithms."""

from dataclasses import replace
from typing import Final

import numpy as np
import scipy.ndimage
import scipy.signal
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.prediction.criteria import REACH
from critlearn.prediction.push_forward.push_forward import PushForward

_SMOOTHING: Final = 0.15
"""Width, in ln|delta|, of the Gaussian kernel that smooths a binned density for its slope."""


def convolve(distribution: PushForward, factor: LogSketch) -> PushForward:
    """Convolve a distribution of ``ln|delta|`` with that of an independent factor (theory, products).

    The sum of two values spread over their bins is spread over two bins, half in each, so there is no bias of half a
    bin. A Gaussian kernel leaves the slope of an exponential density of the logarithm unchanged, so smoothing does not
    bias the exponent of a power law.

    Raises
    ------
    InvalidInputError
        If every value of the factor is zero.
    """
    if factor.log_range is None:
        raise InvalidInputError("the activities are all zero: so are the fluctuations of the weights on them")
    distribution = distribution.even()
    step = float(distribution.edges[1] - distribution.edges[0])
    first, weights = _on_grid(factor, step)
    mass = scipy.signal.fftconvolve(distribution.mass, weights)
    # The fast Fourier transform leaves rounding errors of either sign, below 1e-13, where there is no probability.
    mass = np.where(mass > 1e-13, mass, 0.0)
    mass = 0.5 * (np.append(mass, 0.0) + np.insert(mass, 0, 0.0))
    kept = np.flatnonzero(mass > REACH * 1e-3)
    at = slice(kept[0], kept[-1] + 1)
    start = round(distribution.edges[0] / step) + first
    edges = (start + np.arange(mass.size + 1)) * step
    # A product is zero where a factor is: what is left of the probability lies in the bins.
    there = 1 - factor.zeros / factor.count
    zeros = 1 - (1 - distribution.zeros) * there
    return PushForward(
        edges[kept[0] : kept[-1] + 2], mass[at] * there, _local_exponent(mass, step)[at], (), zeros=zeros
    )


def shifted(distribution: PushForward, by: float) -> PushForward:
    """Distribution of ``ln|delta|`` plus a number: of fluctuations that are all multiplied by one factor."""
    if by == 0:
        return distribution
    return replace(
        distribution,
        edges=distribution.edges + by,
        caustics=tuple(replace(caustic, log_delta=caustic.log_delta + by) for caustic in distribution.caustics),
        # Routes are those of the channels, which know nothing of the factor.
        routes=(),
    )


def _on_grid(factor: LogSketch, step: float) -> tuple[int, Float64[np.ndarray, " bin"]]:
    """Index of the first bin on a grid of this step, and the share of each bin."""
    ratio = round(step / BIN_WIDTH)
    index = (factor.first_bin + np.arange(factor.bins)) // ratio
    first = int(index[0])
    counts = np.bincount(index - first, weights=factor.counts)
    return first, counts / counts.sum()


def _local_exponent(mass: Float64[np.ndarray, " bin"], step: float) -> Float64[np.ndarray, " bin"]:
    """``1 - d ln p / d ln|delta|`` of a binned density, by a Gaussian kernel and its derivative."""
    width = max(_SMOOTHING / step, 1.0)
    level = scipy.ndimage.gaussian_filter1d(mass, width, mode="constant")
    slope = scipy.ndimage.gaussian_filter1d(mass, width, order=1, mode="constant") / step
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mass > 0, 1 - slope / level, np.nan)
