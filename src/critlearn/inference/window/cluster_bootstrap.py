"""Errors of an exponent: over groups of dependent samples by bootstrap, for independent ones by likelihood."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.cells import FAR
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws import power_law_uneven_cells as general_law
from critlearn.inference.laws.window_fits import WindowFit, resampled_theta
from critlearn.numerics import truncated_power_law as power_law

_LEVEL: Final = float(scipy.stats.chi2(1).ppf(0.95))
"""Twice the loss of log-likelihood at the ends of a 95% interval."""

_NEWTON_STEPS: Final = 12
"""Steps of Newton's method, which doubles the digits in each: the curve is almost a straight line."""


def group_weights(groups: int, replicates: int, seed: int) -> Float64[np.ndarray, "replicates group"]:
    """Number of times that each group is drawn in each replicate: multinomial with equal probabilities.

    Raises
    ------
    InvalidInputError
        If there are fewer than 10 replicates.
    """
    if replicates < 10:
        raise InvalidInputError(f"a bootstrap needs at least 10 replicates; got {replicates}")
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=replicates).astype(np.float64)


_EXACT: Final = 1e-7
"""Error of an interval's end, in standard errors, that ends the search for it."""


@dataclass(frozen=True)
class Interval:
    """Standard error of an exponent and its 95% interval."""

    standard_error: float
    ci95: tuple[float, float]

    def widened(self, error: float, quantile: float) -> "Interval":
        """Interval with one more, independent error, of which `quantile` standard errors are added in quadrature."""
        low, high = self.ci95
        half = 0.5 * (high - low)
        more = float(np.hypot(half, quantile * error)) - half
        return Interval(float(np.hypot(self.standard_error, error)), (low - more, high + more))


def exponent_interval(counts: GroupedCounts, fit: WindowFit, replicates: int, seed: int) -> Interval:
    """Interval from re-fitting to groups drawn with replacement; from the profile likelihood if there is one group.

    The former is the exponent plus and minus a quantile of Student's t, with one degree of freedom less than groups,
    times the standard deviation of the replicates.
    """
    if counts.groups == 1:
        return Interval(fit.naive_standard_error, likelihood_interval(counts, fit))
    error = fit.standard_error
    if counts.cells.width is not None:
        weights = group_weights(counts.groups, replicates, seed)
        theta = resampled_theta(counts, weights, fit.start, fit.stop)
        # Drawing with replacement shrinks the variance of a mean over few groups.
        error = float(theta[np.isfinite(theta)].std()) * (counts.groups / (counts.groups - 1)) ** 0.5
    # Not quantiles of the replicates: with few groups these are too narrow, Student's t allows for it.
    half = counts.t_quantile(0.975) * error
    return Interval(error, (fit.exponent - half, fit.exponent + half))


def likelihood_interval(counts: GroupedCounts, fit: WindowFit) -> tuple[float, float]:
    """Exponents whose log-likelihood is within 1.92 of the largest, as if observations were independent."""
    if counts.cells.width is None:
        return _general_interval(counts, fit)
    below, above = counts.is_open(fit.start, fit.stop)
    width = counts.cells.width
    bins = np.array([float(fit.bins + round(FAR / width) * (below + above))])
    low, high = likelihood_bounds(np.array([fit.theta * width]), bins, np.array([fit.n]))
    return 1 - float(high[0]) / width, 1 - float(low[0]) / width


def likelihood_bounds(
    phi: Float64[np.ndarray, " fit"], bins: Float64[np.ndarray, "#fit"], n: Float64[np.ndarray, "#fit"]
) -> tuple[Float64[np.ndarray, " fit"], Float64[np.ndarray, " fit"]]:
    """Lower and upper end of the 95% likelihood interval of the parameter per bin.

    Newton's method on the signed root of twice the loss of log-likelihood, which is almost a straight line.
    """
    mean = power_law.mean_index(phi, bins)
    top = phi * mean - power_law.log_normaliser(phi, bins)
    error = (n * power_law.variance_index(phi, bins)) ** -0.5
    ends = []
    for sign in (-1.0, 1.0):
        end = phi + sign * _LEVEL**0.5 * error
        for _ in range(_NEWTON_STEPS):
            loss = 2 * n * (top - end * mean + power_law.log_normaliser(end, bins))
            # Near the maximum rounding may make the loss negative.
            root = np.sqrt(np.maximum(loss, 1e-12))
            slope = n * np.abs(power_law.mean_index(end, bins) - mean) / root
            end = end - sign * (root - _LEVEL**0.5) / np.maximum(slope, 1e-300)
        ends.append(end)
    return ends[0], ends[1]


def _general_interval(counts: GroupedCounts, fit: WindowFit) -> tuple[float, float]:
    """Likelihood interval by the secant method on the signed root of the loss, which is almost a straight line."""
    below, above = counts.is_open(fit.start, fit.stop)
    cells, pooled = counts.cells.part(fit.start, fit.stop), counts.pooled[fit.start : fit.stop]
    top = general_law.log_likelihood(cells, pooled, fit.theta, below=below, above=above)

    def root(step: float) -> float:
        """Root of twice the loss at this many standard errors from the maximum."""
        theta = fit.theta + step * fit.naive_standard_error
        loss = 2 * (top - general_law.log_likelihood(cells, pooled, theta, below=below, above=above))
        return max(loss, 0.0) ** 0.5

    ends = []
    for sign in (-1, 1):
        known, step = (0.0, 0.0), sign * _LEVEL**0.5
        for _ in range(_NEWTON_STEPS):
            value = root(step)
            if abs(value - _LEVEL**0.5) < _EXACT or value <= known[1]:
                break
            slope = (value - known[1]) / (step - known[0])
            known, step = (step, value), step + (_LEVEL**0.5 - value) / slope
        ends.append(fit.theta + step * fit.naive_standard_error)
    return 1 - ends[1], 1 - ends[0]
