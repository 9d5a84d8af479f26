"""Truncated power law on a window, fitted to binned logarithms by exact maximum likelihood.

In ``u = ln delta`` a power law on a window is a truncated exponential with parameter ``theta = 1 - k``; on equal bins
it is a truncated geometric law of the bin's index ``j = 0 .. B - 1`` with parameter ``phi = theta * bin width``.
Binning thus costs no bias, every real exponent is allowed, and ``k = 1`` is no special case.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Float64, Num

from critlearn.errors import InvalidInputError
from critlearn.numerics.window import Window

_SERIES: Final = 1e-3
"""Scale of ``B phi / sqrt(B)`` below which series are used: differences of nearly equal numbers lose more there."""

_NEWTON_STEPS: Final = 60
"""Steps at most: as many as halving alone needs for all digits."""

_SLACK: Final = 1e-6
"""Part of a bin's width by which an edge may lie beyond the end of a window and still be in it: rounding."""

Values = Float64[np.ndarray, "..."]


def _near_uniform(phi: Values, bins: Values) -> np.ndarray:
    """Whether the series is more accurate than differences of nearly equal numbers."""
    # Up to B phi = 0.02 the terms that the series leave out are below 4e-10 of the mean and of the variance.
    return np.asarray(np.abs(bins * phi) < np.minimum(_SERIES * bins**0.5, 0.02))


def mean_index(phi: Values, bins: Values | int) -> Values:
    """Mean of ``j - (B - 1)/2`` under ``P(j) ~ exp(phi j)``: ``(B coth(B phi/2) - coth(phi/2)) / 2``."""
    bins = np.asarray(bins, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = 0.5 * (bins / np.tanh(0.5 * bins * phi) - 1 / np.tanh(0.5 * phi))
    series = phi * (bins**2 - 1) / 12 - phi**3 * (bins**4 - 1) / 720
    return np.where(_near_uniform(phi, bins), series, exact)


def variance_index(phi: Values, bins: Values | int) -> Values:
    """Variance of ``j`` under ``P(j) ~ exp(phi j)``: the Fisher information of ``phi`` in one observation.

    It is ``(1 / sinh(phi/2)^2 - B^2 / sinh(B phi/2)^2) / 4``, the derivative of `mean_index`.
    """
    bins = np.asarray(bins, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = 0.25 * (np.sinh(0.5 * phi) ** -2 - bins**2 * np.sinh(0.5 * bins * phi) ** -2)
    series = (bins**2 - 1) / 12 - phi**2 * (bins**4 - 1) / 240
    return np.where(_near_uniform(phi, bins), series, exact)


def solve_phi(mean: Values, bins: Values | int) -> Values:
    """Parameter at which the mean of ``j - (B - 1)/2`` takes given values; infinite where they are at the very end.

    Newton's method from Cohen's approximation of the inverse Langevin function (Rheologica Acta 30, 270, 1991), kept
    inside a bracket that shrinks.
    """
    bins = np.asarray(bins, dtype=np.float64)
    half = 0.5 * (bins - 1)
    scaled = np.clip(mean / half, -1, 1)
    inside = np.abs(scaled) < 1
    s = np.where(inside, scaled, 0.0)
    phi = 2 / bins * s * (3 - s**2) / (1 - s**2)
    low, high = np.where(s < 0, -np.inf, 0.0), np.where(s > 0, np.inf, 0.0)
    for _ in range(_NEWTON_STEPS):
        difference = mean_index(phi, bins) - s * half
        low, high = np.where(difference < 0, phi, low), np.where(difference > 0, phi, high)
        step = difference / np.maximum(variance_index(phi, bins), 1e-300)
        proposal = phi - step
        # Where Newton leaves the bracket, halve towards its finite end.
        outside = (proposal <= low) | (proposal >= high)
        middle = np.where(np.isinf(high), 2 * phi, np.where(np.isinf(low), 2 * phi, 0.5 * (low + high)))
        new = np.where(difference == 0, phi, np.where(outside, middle, proposal))
        done = np.abs(new - phi) <= 1e-13 * np.maximum(np.abs(new), 1 / bins)
        phi = new
        if np.all(done):
            break
    return np.where(inside, phi, np.copysign(np.inf, scaled))


def cumulative(phi: Values, bins: int, edge: np.ndarray | None = None) -> Float64[np.ndarray, "... edge"]:
    """Distribution function at edges of the ``B`` bins (all by default), ``expm1(phi j) / expm1(phi B)``."""
    phi = np.asarray(phi)[..., None]
    edge = np.arange(bins + 1) if edge is None else edge
    size = np.where(phi == 0, 1.0, np.abs(phi))
    # In terms of exp(-|phi| ...), which cannot overflow; rising densities are mirrored.
    falling = np.expm1(-size * edge) / np.expm1(-size * bins)
    rising = np.exp(-size * (bins - edge)) * np.expm1(-size * edge) / np.expm1(-size * bins)
    return np.where(phi == 0, edge / bins, np.where(phi > 0, rising, falling))


def log_normaliser(phi: Values, bins: Values | int) -> Values:
    """``ln sum_j exp(phi (j - (B - 1)/2)) = ln(sinh(B phi/2) / sinh(phi/2))``.

    >>> round(float(log_normaliser(np.array(0.0), 8) - np.log(8)), 12)
    0.0
    """
    bins = np.asarray(bins, dtype=np.float64)
    # The law is symmetric in phi; in terms of exp(-2 half) nothing overflows, as sinh would.
    half = 0.5 * np.abs(phi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = (bins - 1) * half + np.log(np.expm1(-2 * bins * half) / np.expm1(-2 * half))
    series = np.log(bins) + half**2 * (bins**2 - 1) / 6 - half**4 * (bins**4 - 1) / 180
    return np.where(_near_uniform(2 * half, bins), series, exact)


def exponent_on(
    edges: Float64[np.ndarray, " edge"], weights: Float64[np.ndarray, " bin"], window: Window
) -> float | None:
    """Exponent to which the fit converges for a binned density, such as a predicted one.

    It is the power law nearest to the density on the window in the sense of Kullback and Leibler.

    Parameters
    ----------
    edges
        Equally spaced edges in ``ln|delta|``.
    weights
        Probability, or fractional count, of each bin.
    window
        Where to fit. Where it reaches beyond the edges there is nothing, which counts as much as any other stretch.

    Returns
    -------
    float or None
        None if the window holds no weight, or all of it in one end bin.

    >>> edges = np.linspace(0.0, 5.0, 501)
    >>> round(exponent_on(edges, np.exp(-0.5 * edges[:-1]), Window.from_logs(1.0, 4.0)), 6)
    1.5
    """
    inside = weights_on(edges, weights, window)
    exponent = float(exponents(inside[None], float(edges[1] - edges[0]))[0])
    return exponent if np.isfinite(exponent) else None


def exponents(weights: Float64[np.ndarray, "density bin"], width: float) -> Float64[np.ndarray, " density"]:
    """Exponents of binned densities on the whole of their bins, as by `exponent_on`; NaN where there is none.

    Parameters
    ----------
    weights
        Probability, or fractional count, of each bin.
    width
        Width of a bin in ``ln|delta|``.
    """
    bins = weights.shape[-1]
    centred = np.arange(bins) - 0.5 * (bins - 1)
    total = weights.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = solve_phi(np.where(total > 0, weights @ centred / total, np.inf), bins)
    return np.asarray(np.where(np.isfinite(phi), 1 - phi / width, np.nan))


def weights_on(
    edges: Float64[np.ndarray, " edge"], weights: Num[np.ndarray, "*row bin"], window: Window
) -> Num[np.ndarray, "*row inside"]:
    """Weights of the bins that lie wholly in a window, and zeros for those in which nothing is.

    Parameters
    ----------
    edges
        Equally spaced edges in ``ln|delta|``.
    weights
        Weight of each bin, of one density or of several.
    window
        Part of the axis, which may reach beyond the edges.

    Raises
    ------
    InvalidInputError
        If the window holds fewer than three bins.

    >>> weights_on(np.arange(4.0), np.array([1.0, 2.0, 3.0]), Window.from_logs(0.5, 5.0)).tolist()
    [2.0, 3.0, 0.0, 0.0]
    """
    width = float(edges[-1] - edges[0]) / (len(edges) - 1)
    # An edge that is the window's end but for rounding belongs to the window.
    start = math.ceil((window.log_lo - edges[0]) / width - _SLACK)
    stop = math.floor((window.log_hi - edges[0]) / width + _SLACK)
    if stop - start < 3:
        raise InvalidInputError(f"window {window.summary()} holds fewer than three bins of the data")
    first, last = min(max(start, 0), stop), max(min(stop, weights.shape[-1]), start)
    found = np.zeros((*weights.shape[:-1], stop - start), dtype=weights.dtype)
    if last > first:
        found[..., first - start : last - start] = weights[..., first:last]
    return found


def bins_inside(edges: Float64[np.ndarray, " edge"], window: Window) -> slice:
    """Bins that lie wholly in a window.

    Raises
    ------
    InvalidInputError
        If fewer than three do.
    """
    # An edge that is the window's end but for rounding belongs to the window.
    slack = _SLACK * np.diff(edges).min()
    start = int(np.searchsorted(edges, window.log_lo - slack))
    stop = int(np.searchsorted(edges, window.log_hi + slack, side="right")) - 1
    if stop - start < 3:
        raise InvalidInputError(f"window {window.summary()} holds fewer than three bins of the data")
    return slice(start, stop)
