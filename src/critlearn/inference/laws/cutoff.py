"""Power law with an exponential cut-off, ``p(delta) ~ delta^-k exp(-delta / scale)``: from a lower end to infinity.

A window with a sharp upper end takes the start of a smooth cut-off for a part of the law, and its exponent is too
large. Where the law ends smoothly, exponent and scale are fitted together, and nothing is cut off.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.cells import FAR, Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import ACCEPTED, CUT_OFF_SIGNIFICANCE, FEWEST, FEWEST_CELLS, NEARLY_AS_GOOD
from critlearn.inference.laws.alternatives import CUT_OFF, LAWS, best_of_law, fit_law
from critlearn.inference.laws.exponential_family import Family, Maximum, design_effect
from critlearn.inference.laws.lognormal import MOST_CELLS, ratio_p_value
from critlearn.inference.laws.window_fits import cell_probabilities, fit_window, window_log_likelihood
from critlearn.results import Result

_LEAST_RATE: Final = 1e-12
"""Rate, in units of the mean fluctuation, below which there is no cut-off: it would lie beyond all values."""


@dataclass(frozen=True, repr=False)
class Cutoff(Result):
    """Exponent and scale of ``p(delta) ~ delta^-exponent exp(-delta / scale)`` with their standard errors.

    The scale has the unit of the data.
    """

    exponent: float
    exponent_error: float
    scale: float
    scale_error: float

    def to_dict(self) -> dict[str, Any]:
        """Values by the names that other programs read."""
        return {
            "scale": self.scale,
            "scale_stderr": self.scale_error,
            "exponent": self.exponent,
            "exponent_stderr": self.exponent_error,
        }

    def widened(self, exponent_change: float, log_scale_change: float) -> "Cutoff":
        """Errors with what the choice of the lower end changed, added in quadrature."""
        return Cutoff(
            self.exponent,
            math.hypot(self.exponent_error, exponent_change),
            self.scale,
            math.hypot(self.scale_error, self.scale * log_scale_change),
        )

    def summary(self) -> str:
        """One line: exponent and scale."""
        return (
            f"delta^-{self.exponent:.3g} exp(-delta / scale), scale {self.scale:.4g} +- {self.scale_error:.2g}, "
            f"exponent +- {self.exponent_error:.2g}"
        )


@dataclass(frozen=True, eq=False)
class CutoffFit:
    """Law with cut-off from one lower end on.

    Parameters
    ----------
    start
        First cell of the counts that were fitted.
    n
        Values from there on.
    maximum, family
        Coefficients and moments, and the cells on which they were taken, those beyond the data included.
    reference
        Logarithm of the unit of the cut-off's rate.
    covariance
        Of the coefficients, with the dependence inside groups.
    effect
        Design effect of the groups on the score of the rate.
    gain_over_open
        Log-likelihood less that of a power law to infinity.
    part
        Counts from the lower end on.
    """

    start: int
    n: float
    maximum: Maximum
    family: Family
    reference: float
    covariance: Float64[np.ndarray, "2 2"]
    effect: float
    gain_over_open: float
    part: GroupedCounts

    @property
    def exponent(self) -> float:
        """``k``."""
        return 1 - float(self.maximum.coefficients[0])

    @property
    def standard_error(self) -> float:
        """Standard error of the exponent."""
        return float(max(self.covariance[0, 0], 0.0) ** 0.5)

    @property
    def naive_standard_error(self) -> float:
        """Standard error of the exponent as if all values were independent."""
        return float((np.linalg.pinv(self.maximum.covariance, hermitian=True)[0, 0] / self.n) ** 0.5)

    @property
    def log_scale(self) -> float:
        """``ln`` of the scale of the cut-off; infinite without one."""
        rate = float(self.maximum.coefficients[1])
        return self.reference - math.log(rate) if rate > _LEAST_RATE else math.inf

    @property
    def p_value(self) -> float:
        """Of a power law to infinity, by the likelihood ratio; the rate cannot be negative, which halves it."""
        statistic = max(0.0, 2 * self.gain_over_open) / self.effect
        return 0.5 * ratio_p_value(statistic, self.part.groups)

    @cached_property
    def form_p_value(self) -> float:
        """Of an end ``exp(-x / scale)`` against ``exp(-(x / scale)^g)``, by the score of ``g`` at 1.

        The end holds few of the values, and a distance of all of them notices its form late.
        """
        s = self.family.cells.nodes[0] - self.reference
        offset, basis = CUT_OFF.terms(s, 0.0)
        rate = float(self.maximum.coefficients[1])
        basis = np.concatenate([basis, rate * basis[1:] * (s + math.log(rate))])
        null = self.family.evaluate(offset, basis, np.append(self.maximum.coefficients, 0.0))
        if not np.isfinite(null.covariance).all():
            return 1.0
        # The other scores are zero at the maximum; the information is what they leave of it.
        score = float((null.means[2] - null.mean[2]) @ self.family.pooled)
        explained = np.linalg.pinv(null.covariance[:2, :2], hermitian=True) @ null.covariance[:2, 2]
        information = self.n * float(null.covariance[2, 2] - explained @ null.covariance[:2, 2])
        effect = design_effect(self.part.counts, null)
        return ratio_p_value(score**2 / max(information, 1e-300) / effect, self.part.groups)

    @cached_property
    def gain_over_bounded(self) -> float:
        """Log-likelihood less that of a power law that ends with the largest value."""
        return self.maximum.log_likelihood - _sharp_likelihood(replace(self.part, open_above=False))

    @property
    def ends_smoothly(self) -> bool:
        """Whether a cut-off is needed, and an exponential one is better than an end at the largest value."""
        return math.isfinite(self.log_scale) and self.p_value < CUT_OFF_SIGNIFICANCE and self.gain_over_bounded > 0

    def cutoff(self) -> Cutoff:
        """Exponent and scale, the latter in the unit of the data."""
        rate = float(self.maximum.coefficients[1])
        scale = math.exp(min(self.log_scale, 709.0))
        return Cutoff(
            self.exponent, self.standard_error, scale, scale * float(max(self.covariance[1, 1], 0.0) ** 0.5) / rate
        )

    def as_good(self) -> tuple[str, ...]:
        """Names of the laws with as many parameters that describe the same values, to infinity, as well."""
        nodes = self.family.cells.nodes[0] - self.reference
        edges = self.family.cells.edges[: len(self.family.pooled) + 1] - self.reference
        power = self.family.maximise(0 * nodes, nodes[None], self.maximum.coefficients[:1])
        least = self.maximum.log_likelihood - NEARLY_AS_GOOD * self.effect
        laws = (law for law in LAWS if law.name in ("lognormal", "stretched exponential"))
        return tuple(
            law.name for law in laws if best_of_law(law, self.family, nodes, power, edges).log_likelihood >= least
        )

    def distance(self) -> float:
        """Kolmogorov-Smirnov distance between data and law."""
        empirical = np.cumsum(self.family.pooled) / self.n
        return float(np.abs(empirical - np.cumsum(self._data_masses())).max())

    def _data_masses(self) -> Float64[np.ndarray, " cell"]:
        """Probabilities of the cells with data."""
        return np.exp(self.maximum.log_masses)

    def null_distances(self, normals: Float64[np.ndarray, "replicate cell"]) -> Float64[np.ndarray, " replicate"]:
        """Distances that the law itself would have, by the limit of the empirical process with fitted parameters.

        A Brownian bridge less its projection on the two scores; what lies beyond the data is one more cell. Groups of
        dependent values are as many independent ones as the design effect says.
        """
        masses = self._data_masses()
        masses = np.append(masses, max(1 - float(masses.sum()), 0.0))
        scores = self.maximum.means - self.maximum.mean[:, None]
        beyond = -(scores @ masses[:-1]) / max(float(masses[-1]), 1e-300)
        scores = np.concatenate([scores, np.where(masses[-1] > 0, beyond, 0.0)[:, None]], axis=1)
        noise = normals[:, : len(masses)] * np.sqrt(masses)
        noise = noise - np.outer(noise.sum(axis=1), masses)
        information = (scores * masses) @ scores.T
        weights = np.linalg.lstsq(information, scores @ noise.T, rcond=1e-12)[0]
        process = np.cumsum(noise - (weights.T @ scores) * masses, axis=1)[:, :-1]
        return np.abs(process).max(axis=1) * (self.effect / self.n) ** 0.5

    def accepted_ratio(self, normals: Float64[np.ndarray, "replicate cell"], level: float = ACCEPTED) -> float:
        """Distance over the one that is exceeded with this probability where the law holds."""
        return self.distance() / float(np.quantile(self.null_distances(normals), 1 - level))


def fit_cutoff(counts: GroupedCounts, start: int) -> CutoffFit | None:
    """Fit the law with cut-off to all cells from one on; None where there are too few values or cells."""
    part = replace(counts.part(start, len(counts.cells)), open_below=False, open_above=True).joined(MOST_CELLS)
    n = float(part.pooled.sum())
    if n < FEWEST or int((part.pooled > 0).sum()) < FEWEST_CELLS:
        return None
    power = fit_window(part, 0, len(part.cells))
    if power is None:
        return None
    filled = part.pooled > 0
    logs = part.cells.centres[filled] + np.log(part.pooled[filled])
    reference = float(np.logaddexp.reduce(logs) - np.log(n))
    family = Family(part.cells.extended(0.0, FAR), 0, part.pooled)
    nodes = family.cells.nodes[0] - reference
    open_law = family.maximise(0 * nodes, nodes[None], np.array([power.theta]))
    best = fit_law(CUT_OFF, family, nodes, open_law)
    scores = part.counts @ (best.means - best.mean[:, None]).T
    inverse = np.linalg.pinv(best.covariance, hermitian=True) / n
    covariance = inverse
    if part.groups > 1:
        covariance = inverse @ (scores.T @ scores) @ inverse * part.groups / (part.groups - 1)
    return CutoffFit(
        start=start,
        n=n,
        maximum=best,
        family=family,
        reference=reference,
        covariance=covariance,
        effect=design_effect(part.counts, best),
        gain_over_open=best.log_likelihood - open_law.log_likelihood,
        part=part,
    )


def cutoff_exponent_on(
    edges: Float64[np.ndarray, " edge"], weights: Float64[np.ndarray, " bin"], log_start: float
) -> float | None:
    """Exponent to which the fit with cut-off converges for a binned density, such as a predicted one.

    Parameters
    ----------
    edges
        Equally spaced edges in ``ln|delta|``.
    weights
        Probability of each bin.
    log_start
        Lower end of the fit in ``ln|delta|``. Between it and the first edge there is nothing.

    Returns
    -------
    float or None
        None if too few bins beyond the lower end have weight.

    >>> edges = np.linspace(-12.0, 5.0, 1701)
    >>> centres = 0.5 * (edges[1:] + edges[:-1])
    >>> round(cutoff_exponent_on(edges, np.exp(-0.5 * centres - np.exp(centres)), -9.0), 3)
    1.5
    """
    filled = np.flatnonzero(weights > 0)
    if not filled.size:
        return None
    at = slice(int(filled[0]), int(filled[-1]) + 1)
    edges, weights = edges[at.start : at.stop + 1], weights[at]
    width = float(edges[1] - edges[0])
    empty = max(0, math.floor((edges[0] - log_start) / width + 1e-6))
    edges = np.concatenate([edges[0] - width * np.arange(empty, 0, -1), edges])
    # So many values that none of the rules on few of them applies; the estimate does not depend on their number.
    values = np.concatenate([np.zeros(empty), weights / weights.sum() * 1e9])
    start = int(np.searchsorted(edges, log_start - 1e-9))
    if start >= values.size:
        return None
    counts = GroupedCounts(Cells(edges), values[None])
    fit = fit_cutoff(counts, start)
    return None if fit is None else fit.exponent


def _sharp_likelihood(counts: GroupedCounts) -> float:
    """Log-likelihood ``sum n_j ln P(cell j)`` of the power law that ends somewhere in the last cell.

    All cells but the last hold a law that ends with them; the last holds as many as there are, at most what the law
    would have in the whole of it.
    """
    last = len(counts.cells) - 1
    fit = fit_window(counts, 0, last) if last > 1 else None
    if fit is None:
        return -np.inf
    measure = counts.cells.measure[:last]
    inside = window_log_likelihood(counts, fit) + float(counts.pooled[:last] @ np.log(measure))
    n, beyond = float(counts.pooled.sum()), float(counts.pooled[last])
    whole = float(cell_probabilities(counts, fit.theta, 0, last + 1)[last])
    share = max(min(beyond / n, whole), 1e-300)
    return inside + (n - beyond) * math.log1p(-share) + (beyond * math.log(share) if beyond else 0.0)
