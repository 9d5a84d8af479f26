"""The lognormal on the same window: it adds one term to the power law, and so tests for an exponent that drifts."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.stats
from jaxtyping import Float64

from critlearn.inference.grouped_counts import GroupedCounts, WindowFit

SIGNIFICANCE: Final = 0.01
"""p-value below which the lognormal is preferred."""

_NEWTON_STEPS: Final = 100


@dataclass(frozen=True)
class Lognormal:
    """Lognormal against power law on one window; nested, ``ln p(u) = theta u + psi u^2 + const``.

    Parameters
    ----------
    statistic
        Likelihood ratio ``2 (ln L_lognormal - ln L_power)``, divided by the design effect of the groups.
    p_value
        Of the power law against the lognormal; F distribution with 1 and groups - 1 degrees of freedom.
    drift
        Change of the local exponent from the lower to the upper end of the window, by the lognormal.
    design_effect
        Variance of the score over its variance if all fluctuations were independent.
    """

    statistic: float
    p_value: float
    drift: float
    design_effect: float

    @property
    def preferred(self) -> bool:
        """Whether the lognormal fits significantly better."""
        return self.p_value < SIGNIFICANCE

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {
            "statistic": self.statistic,
            "p_value": self.p_value,
            "drift": self.drift,
            "design_effect": self.design_effect,
            "preferred": self.preferred,
        }


def lognormal_test(counts: GroupedCounts, fit: WindowFit) -> Lognormal | None:
    """Test a power-law fit against the lognormal on its window; None if there are fewer than five bins."""
    if fit.bins < 5:
        return None
    inside = counts.counts[:, fit.start : fit.stop]
    total = inside.sum(axis=0)
    v = np.linspace(-1, 1, fit.bins)
    basis = np.stack([v, v**2 - (v**2).mean()])
    start = np.array([0.5 * fit.phi * (fit.bins - 1), 0.0])
    coefficients = _maximise(basis, total, start)
    statistic = max(0.0, 2 * (_log_likelihood(basis, total, coefficients) - _log_likelihood(basis, total, start)))
    effect = _design_effect(basis, inside, _probabilities(basis, start))
    corrected = statistic / effect
    if counts.groups > 1:
        p_value = float(scipy.stats.f(1, counts.groups - 1).sf(corrected))
    else:
        p_value = float(scipy.stats.chi2(1).sf(corrected))
    # d ln p/du changes by 4 psi over v = -1 .. 1, in units of half the window per unit of v; k falls as it rises.
    drift = -4 * float(coefficients[1]) / (0.5 * (fit.bins - 1) * counts.width)
    return Lognormal(corrected, p_value, drift, effect)


def _probabilities(basis: Float64[np.ndarray, "2 bin"], coefficients: Float64[np.ndarray, "2"]) -> Any:
    exponent = coefficients @ basis
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def _log_likelihood(
    basis: Float64[np.ndarray, "2 bin"], total: Float64[np.ndarray, " bin"], coefficients: Float64[np.ndarray, "2"]
) -> float:
    exponent = coefficients @ basis
    return float(total @ exponent - total.sum() * np.logaddexp.reduce(exponent))


def _maximise(
    basis: Float64[np.ndarray, "2 bin"], total: Float64[np.ndarray, " bin"], start: Float64[np.ndarray, "2"]
) -> Float64[np.ndarray, "2"]:
    """Newton's method with halved steps; the likelihood of an exponential family is concave."""
    share = total / total.sum()
    coefficients, value = start.copy(), _log_likelihood(basis, share, start)
    for _ in range(_NEWTON_STEPS):
        probabilities = _probabilities(basis, coefficients)
        mean = basis @ probabilities
        gradient = basis @ share - mean
        covariance = (basis * probabilities) @ basis.T - np.outer(mean, mean)
        step = np.linalg.lstsq(covariance, gradient, rcond=1e-14)[0]
        while (new := _log_likelihood(basis, share, coefficients + step)) < value and np.abs(step).max() > 1e-12:
            step = step / 2
        if new < value:
            break
        coefficients, gain, value = coefficients + step, new - value, new
        if gain <= 1e-15 * (1 + abs(value)):
            break
    return coefficients


def _design_effect(
    basis: Float64[np.ndarray, "2 bin"],
    inside: Float64[np.ndarray, "group bin"],
    probabilities: Float64[np.ndarray, " bin"],
) -> float:
    """Variance of the quadratic score, cleared of the linear one, between groups over that of independent values."""
    mean = basis @ probabilities
    covariance = (basis * probabilities) @ basis.T - np.outer(mean, mean)
    efficient = (basis[1] - mean[1]) - covariance[0, 1] / covariance[0, 0] * (basis[0] - mean[0])
    if len(inside) < 2:
        return 1.0
    count = inside.sum(axis=1)
    score = inside @ efficient
    score = score - count * score.sum() / count.sum()
    between = float((score**2).sum()) * len(inside) / (len(inside) - 1)
    independent = float(count.sum() * (probabilities @ efficient**2))
    return max(between / independent, 1e-12)
