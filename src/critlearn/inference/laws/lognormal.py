"""The lognormal on the same window: it adds one term to the power law, and so tests for an exponent that drifts."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.special

from critlearn.inference.counts.cells import FAR
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST_CELLS, SIGNIFICANCE
from critlearn.inference.laws.exponential_family import Family, design_effect
from critlearn.inference.laws.window_fits import WindowFit
from critlearn.results import Result

MOST_CELLS: Final = 200
"""Cells on which alternatives are compared; coarser than those of the fit, as they need no finer ones."""


@dataclass(frozen=True, repr=False)
class Lognormal(Result):
    """Lognormal against power law on one window; nested, ``ln p(u) = theta u + psi u^2 + const``.

    Parameters
    ----------
    statistic
        Likelihood ratio ``2 (ln L_lognormal - ln L_power)``, divided by the design effect of the groups.
    p_value
        Of the power law against the lognormal: chi-squared with 1 degree of freedom, or F with 1 and groups - 1.
    drift, drift_error
        Change of the local exponent from the lower to the upper end of the window, by the lognormal, and its error.
    design_effect
        Variance of the score over its variance if all fluctuations were independent.
    """

    statistic: float
    p_value: float
    drift: float
    drift_error: float
    design_effect: float

    @property
    def largest_drift(self) -> float:
        """Drift, up or down, that the data do not exclude: the further end of its 95% interval."""
        return abs(self.drift) + 1.96 * self.drift_error

    @property
    def preferred(self) -> bool:
        """Whether the lognormal fits significantly better."""
        return self.p_value < SIGNIFICANCE

    def to_dict(self) -> dict[str, Any]:
        """Test and drift as plain values."""
        return {
            "statistic": self.statistic,
            "p_value": self.p_value,
            "drift": self.drift,
            "drift_stderr": self.drift_error,
            "design_effect": self.design_effect,
            "preferred": self.preferred,
        }

    def summary(self) -> str:
        """One line: which is preferred, and the drift of the exponent."""
        word = "lognormal preferred" if self.preferred else "lognormal not preferred"
        drift = f"drift of the exponent {self.drift:+.2f} +- {self.drift_error:.2g}"
        return f"{word} (p = {self.p_value:.2g}); {drift} over the window"


def window_family(counts: GroupedCounts, fit: WindowFit) -> tuple[Family, np.ndarray]:
    """Cells of a window, coarse enough, for likelihoods; and the groups' counts on them.

    At an end without a cut-off the cells reach far beyond the data: every law is normalised where the power law is.
    """
    part = counts.part(fit.start, fit.stop).joined(MOST_CELLS)
    far = part.cells.extended(FAR if part.open_below else 0.0, FAR if part.open_above else 0.0)
    first = int(np.searchsorted(far.edges, part.edges[0] - 1e-12))
    return Family(far, first, part.pooled), part.counts


def lognormal_test(counts: GroupedCounts, fit: WindowFit) -> Lognormal | None:
    """Test a power-law fit against the lognormal on its window; None if there are fewer than five cells.

    Where the law has no end, both are taken on the range of the data: a lognormal whose exponent falls has no norm
    beyond, and could show no such drift.
    """
    if fit.bins < FEWEST_CELLS:
        return None
    family, inside = window_family(replace(counts, open_below=False, open_above=False), fit)
    middle = 0.5 * (counts.edges[fit.start] + counts.edges[fit.stop])
    s = family.cells.nodes[0] - middle
    none = np.zeros_like(s)
    power = family.maximise(none, s[None], np.array([fit.theta]))
    basis = np.stack([s, s**2])
    start = np.array([power.coefficients[0], 0.0])
    null = family.evaluate(none, basis, start)
    best = family.maximise(none, basis, start)
    # Towards a law without a mean of u, or where all values lie in one cell, there is no information on any drift.
    if not np.isfinite(best.covariance).all() or not best.covariance[0, 0] > 0:
        return None
    effect = design_effect(inside, null)
    statistic = max(0.0, 2 * (best.log_likelihood - null.log_likelihood)) / effect
    # k(u) = 1 - theta - 2 psi (u - middle): across the window it changes by -2 psi times the width.
    scale = 2 * counts.width_of(fit.start, fit.stop)
    covariance = best.covariance
    # Information on psi with theta fitted as well: the variance of s^2 that s does not explain.
    information = max(float(covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]), 1e-300)
    return Lognormal(
        statistic=statistic,
        p_value=ratio_p_value(statistic, counts.groups),
        drift=-scale * float(best.coefficients[1]),
        drift_error=scale * (effect / (fit.n * information)) ** 0.5,
        design_effect=effect,
    )


def ratio_p_value(statistic: float, groups: int) -> float:
    """Probability that a likelihood ratio for one more parameter exceeds a value where the parameter is zero."""
    # The functions themselves: scipy.stats takes a millisecond to set up a distribution.
    if groups > 1:
        return float(scipy.special.fdtrc(1, groups - 1, statistic))
    return float(scipy.special.chdtrc(1, statistic))
