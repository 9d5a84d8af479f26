"""Maximum likelihood of ``ln p(u) = offset(u) + sum_i c_i T_i(u) + const`` on cells, and its score over groups."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.cells import Cells

_STEPS: Final = 100
"""Steps of scoring at most: a bound against cycles, as the gain ends the search before."""

_ENOUGH: Final = 1e-13
"""Gain of log-likelihood, over its size, that ends the search: rounding would hide a smaller one."""


@dataclass(frozen=True, eq=False)
class Maximum:
    """Maximum of the likelihood.

    Parameters
    ----------
    coefficients
        ``c``.
    log_masses
        Logarithms of the probabilities of the cells with data.
    means, mean, covariance
        Of the statistics: in each cell with data, over all cells, and between cells.
    log_likelihood
        ``sum n_j ln P(cell j)``.
    """

    coefficients: Float64[np.ndarray, " term"]
    log_masses: Float64[np.ndarray, " cell"]
    means: Float64[np.ndarray, "term cell"]
    mean: Float64[np.ndarray, " term"]
    covariance: Float64[np.ndarray, "term term"]
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class Family:
    """Statistics at the nodes of cells, of which some, from `first` on, hold data.

    Parameters
    ----------
    cells
        Where laws are normalised.
    first
        Index of the first cell with data.
    pooled
        Counts of the cells with data.
    """

    cells: Cells
    first: int
    pooled: Float64[np.ndarray, " cell"]

    def evaluate(self, offset: np.ndarray, basis: np.ndarray, coefficients: np.ndarray) -> Maximum:
        """Likelihood and moments at these coefficients; offset (cell, node), basis (term, cell, node)."""
        log_weights = self.cells.nodes[1]
        with np.errstate(invalid="ignore", over="ignore"):
            parts = log_weights + offset + sum(c * term for c, term in zip(coefficients, basis, strict=True))
            # Each cell in units of its largest node: exponents of many decades neither overflow nor vanish.
            top = parts.max(axis=1, keepdims=True)
            shares = np.exp(parts - top)
            sums = shares.sum(axis=1)
            masses = top[:, 0] + np.log(sums)
            # By hand: a reduction of `logaddexp` takes ten times as long.
            highest = masses.max()
            normaliser = highest + np.log(np.exp(masses - highest).sum())
            log_masses = masses - normaliser
            means = (basis * (shares / sums[:, None])).sum(axis=2)
            probability = np.exp(log_masses)
            # Cells without probability may hold statistics without bound.
            means = np.where(probability > 0, means, 0.0)
            mean = means @ probability
            covariance = (means * probability) @ means.T - np.outer(mean, mean)
        at = slice(self.first, self.first + len(self.pooled))
        filled = self.pooled > 0
        # Far outside the region of the maximum a cell may have no probability at all.
        with np.errstate(invalid="ignore", over="ignore"):
            likelihood = float(self.pooled[filled] @ log_masses[at][filled])
        if not np.isfinite(likelihood):
            likelihood = -np.inf
        return Maximum(coefficients, log_masses[at], means[:, at], mean, covariance, likelihood)

    def maximise(self, offset: np.ndarray, basis: np.ndarray, start: np.ndarray) -> Maximum:
        """Fisher's scoring with halved steps from a start; never below the likelihood of the start."""
        n = float(self.pooled.sum())
        best = self.evaluate(offset, basis, start)
        for _ in range(_STEPS):
            if not np.isfinite(best.covariance).all():
                break
            gradient = best.means @ self.pooled / n - best.mean
            # In units of their standard deviations: the statistics may differ by many powers of ten.
            scale = np.sqrt(np.maximum(np.diag(best.covariance), 1e-300))
            step = np.linalg.lstsq(best.covariance / np.outer(scale, scale), gradient / scale, rcond=1e-13)[0] / scale
            # What the step would gain is known beforehand, to second order: rounding would hide less.
            if 0.5 * n * float(gradient @ step) <= _ENOUGH * (n + abs(best.log_likelihood)):
                break
            new = self.evaluate(offset, basis, best.coefficients + step)
            halvings = 0
            # After 40 halvings a step is 1e-12 of itself, and its gain is rounding.
            while new.log_likelihood < best.log_likelihood and halvings < 40:
                step, halvings = step / 2, halvings + 1
                new = self.evaluate(offset, basis, best.coefficients + step)
            gain = new.log_likelihood - best.log_likelihood
            if not gain >= 0:
                break
            best = new
            if gain <= _ENOUGH * (n + abs(best.log_likelihood)):
                break
        return best


def design_effect(inside: Float64[np.ndarray, "group cell"], null: Maximum) -> float:
    """Variance of a score between groups over its variance for independent values.

    The score is that of the last statistic, less its regression on the others.

    Likelihood ratios of dependent observations are divided by it.
    """
    if len(inside) < 2:
        return 1.0
    if not np.isfinite(null.covariance).all():
        # Moments that do not exist, such as the mean of a heavy tail: count groups as if each were one value.
        return float(inside.sum() / len(inside))
    others = slice(0, len(null.mean) - 1)
    centred = null.means - null.mean[:, None]
    slope = np.linalg.lstsq(null.covariance[others, others], null.covariance[others, -1], rcond=1e-13)[0]
    efficient = centred[-1] - slope @ centred[others]
    count = inside.sum(axis=1)
    score = inside @ efficient
    score = score - count * score.sum() / count.sum()
    between = float((score**2).sum()) * len(inside) / (len(inside) - 1)
    independent = float(inside.sum(axis=0) @ (efficient - inside.sum(axis=0) @ efficient / count.sum()) ** 2)
    return max(between / max(independent, 1e-300), 1e-12)
