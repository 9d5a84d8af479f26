"""Logarithms as rivals of small exponents: what products of factors that are finite at zero look like.

The density of a product of ``m + 1`` independent factors, each finite and not zero at zero, goes as
``ln(scale / delta)^m`` towards zero. Its local exponent ``m / ln(scale / delta)`` changes so slowly that a decade or
two pass for a small power. Where the factors are themselves power laws with one exponent ``k``, their product goes as
``delta^-k ln(scale / delta)``.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import AS_GOOD_LOGARITHM, FEWEST_CELLS, SCALE_BEYOND, TOLERANCE, WHOLE
from critlearn.inference.laws.alternatives import CUT_OFF, exponent_range, fit_law
from critlearn.inference.laws.exponential_family import Family
from critlearn.inference.laws.lognormal import MOST_CELLS
from critlearn.inference.laws.window_fits import WindowFit

_GAPS: Final = 30
_LEAST_GAP: Final = 0.05
"""Number of scales that are tried, and the smallest distance of one from the window's upper end, in ``ln delta``."""

_MOST_FACTORS: Final = 5
"""Factors of a product whose logarithm is tried: a product of more is a lognormal sooner than a logarithm."""

_LEAST: Final = 0.02
"""Exponent below which no logarithm is looked for: the density is flat."""


def logarithm_rival(counts: GroupedCounts, fit: WindowFit, exponent: float, *, cutoff: bool = False) -> str | None:
    """Name of a logarithm that describes all values below the window's upper end as well as the power law its own.

    Only for exponents between 0 and 1, where a density that is finite at zero but for a logarithm can be confused with
    a power. None where there is none, or where its own local exponent is constant within the tolerance on all that it
    describes: it is a power law there.
    """
    if not _LEAST < exponent < 1:
        return None
    part = counts.part(0, fit.stop).joined(MOST_CELLS)
    start = int(np.abs(part.edges - counts.edges[fit.start]).argmin())
    if len(part.cells) - start < FEWEST_CELLS:
        return None
    effect = fit.design_effect
    upper = float(part.edges[-1])
    low = float(part.edges[np.flatnonzero(part.pooled)[0]])
    everything = Family(part.cells, 0, part.pooled)
    window = Family(part.cells.part(start, len(part.cells)), 0, part.pooled[start:])
    # A law of its own window pays for having chosen it, a law of all values does not.
    held = float(window.pooled.sum()) / float(everything.pooled.sum())
    penalty = 0.0 if held >= WHOLE else 0.5 * np.log(max(fit.n / effect, 1.0))
    s = window.cells.nodes[0] - upper
    law = window.maximise(0 * s, s[None], np.array([fit.theta]))
    power = (fit_law(CUT_OFF, window, s, law) if cutoff else law).log_likelihood / effect
    # The scale, where the logarithm vanishes, lies about where the values end.
    reach = float(counts.edges[np.flatnonzero(counts.pooled)[-1] + 1]) - upper + SCALE_BEYOND
    gaps = np.geomspace(_LEAST_GAP, reach, _GAPS)
    least = power - AS_GOOD_LOGARITHM - 2 * penalty
    for factors in range(2, _MOST_FACTORS + 1):
        for gap, gain in zip(gaps, _products(everything, window, upper, factors, gaps), strict=True):
            if gain / effect >= least and _varies(0.0, factors - 1, gap, low - upper):
                return "logarithm"
    for gap in gaps[::3].tolist():
        gain, exponent = _power_with_logarithm(everything, window, upper, gap)
        if gain / effect >= least and _varies(exponent, 1, gap, low - upper):
            return "power law with logarithm"
    return None


def _varies(exponent: float, power: int, gap: float, reach: float) -> bool:
    """Whether the local exponent of ``delta^-k ln(scale / delta)^m`` is not constant within the tolerance."""

    def log_density(s: np.ndarray) -> np.ndarray:
        return (1 - exponent) * s + power * np.log(gap - s)

    return exponent_range(log_density, reach, 0.0) > 2 * TOLERANCE


def _products(
    everything: Family, window: Family, upper: float, factors: int, gaps: Float64[np.ndarray, " gap"]
) -> Float64[np.ndarray, " gap"]:
    """Likelihoods on the window of ``ln(scale / delta)^m``, for the scales that fit everything about as well as any.

    Minus infinity for the others.
    """
    likelihoods = np.array([_product_likelihood(everything, upper, factors, gap) for gap in gaps])
    near = likelihoods >= likelihoods.max() - AS_GOOD_LOGARITHM
    on_window = [
        _product_likelihood(window, upper, factors, gap) if ok else -np.inf for gap, ok in zip(gaps, near, strict=True)
    ]
    return np.array(on_window)


def _product_likelihood(family: Family, upper: float, factors: int, gap: float) -> float:
    """Log-likelihood of ``ln(scale / delta)^(factors - 1)`` on the cells of a family."""
    nodes, weights = family.cells.nodes
    s = nodes - upper
    masses = np.logaddexp.reduce(weights + s + (factors - 1) * np.log(gap - s), axis=1)
    return float(family.pooled @ (masses - np.logaddexp.reduce(masses)))


def _power_with_logarithm(everything: Family, window: Family, upper: float, gap: float) -> tuple[float, float]:
    """Likelihood on the window, and exponent, of ``delta^-k ln(scale / delta)`` fitted to everything."""
    s = everything.cells.nodes[0] - upper
    theta = everything.maximise(np.log(gap - s), s[None], np.array([0.5])).coefficients
    inner = window.cells.nodes[0] - upper
    there = window.evaluate(np.log(gap - inner), inner[None], theta)
    return there.log_likelihood, 1 - float(theta[0])
