"""Maximum likelihood of ``ln p(u) = offset(u) + sum_i c_i T_i(u) + const`` on cells, and its score over groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.cells import Cells

_STEPS: Final = 100
"""Steps of scoring at most: a bound against cycles, as the gain ends the search before."""

_ENOUGH: Final = 1e-13
"""Gain of log-likelihood, over its size, that ends the search: rounding would hide a smaller one."""

_LEAST_VARIANCE: Final = 1e-13
"""Variance of a sum or difference of two standardised statistics that may be rounding."""

ROUGH: Final = 1e-2
"""Gain of log-likelihood that ends a search among many laws, of which only the best is needed to all digits."""


_FINER: Final = 9
"""Shapes between the neighbours of the best one that are tried next: a parabola through three of them is then good to
a hundredth of their step.
"""

_REFINEMENTS: Final = 3
_CLOSER: Final = 0.05
"""Rounds by which the best shape is found, and the ratio of steps from one to the next: in the end it is known to a few
parts in 1e5, less than its error for 1e8 values.
"""


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
class _Maxima:
    """What `Maximum` holds, of many laws with as many terms each: one more axis in front."""

    coefficients: Float64[np.ndarray, "law term"]
    log_masses: Float64[np.ndarray, "law cell"]
    means: Float64[np.ndarray, "law term cell"]
    mean: Float64[np.ndarray, "law term"]
    covariance: Float64[np.ndarray, "law term term"]
    log_likelihood: Float64[np.ndarray, " law"]

    def __getitem__(self, at: int) -> Maximum:
        """One of them."""
        return Maximum(
            coefficients=self.coefficients[at],
            log_masses=self.log_masses[at],
            means=self.means[at],
            mean=self.mean[at],
            covariance=self.covariance[at],
            log_likelihood=float(self.log_likelihood[at]),
        )

    def replace_at(self, at: np.ndarray, others: "_Maxima") -> None:
        """Overwrite some, in place."""
        for name in vars(self):
            getattr(self, name)[at] = getattr(others, name)


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
        return self._evaluate_each(offset[None], basis[None], coefficients[None])[0]

    def _evaluate_each(
        self,
        offsets: Float64[np.ndarray, "law cell node"],
        bases: Float64[np.ndarray, "law term cell node"],
        coefficients: Float64[np.ndarray, "law term"],
    ) -> _Maxima:
        """Likelihoods and moments of many laws at once."""
        log_weights = self.cells.nodes[1]
        with np.errstate(invalid="ignore", over="ignore"):
            terms = range(coefficients.shape[1])
            parts = log_weights + offsets + sum(coefficients[:, i, None, None] * bases[:, i] for i in terms)
            # Each cell in units of its largest node: exponents of many decades neither overflow nor vanish.
            top = parts.max(axis=2, keepdims=True)
            shares = np.exp(parts - top)
            sums = shares.sum(axis=2)
            masses = top[:, :, 0] + np.log(sums)
            # By hand: a reduction of `logaddexp` takes ten times as long.
            highest = masses.max(axis=1, keepdims=True)
            normaliser = highest + np.log(np.exp(masses - highest).sum(axis=1, keepdims=True))
            log_masses = masses - normaliser
            shares /= sums[:, :, None]
            means = np.stack([(bases[:, i] * shares).sum(axis=2) for i in terms], axis=1)
            probability = np.exp(log_masses)[:, None]
            # Cells without probability may hold statistics without bound; data in them count in the score all the same.
            means = np.where(np.isfinite(means), means, 0.0)
            held = np.where(probability > 0, means, 0.0)
            mean = (held * probability).sum(axis=2)
            covariance = (held * probability) @ held.swapaxes(1, 2) - mean[:, :, None] * mean[:, None]
        at = slice(self.first, self.first + len(self.pooled))
        filled = self.pooled > 0
        # Far outside the region of the maximum a cell may have no probability at all.
        with np.errstate(invalid="ignore", over="ignore"):
            likelihood = log_masses[:, at][:, filled] @ self.pooled[filled]
        likelihood = np.where(np.isfinite(likelihood), likelihood, -np.inf)
        return _Maxima(coefficients.copy(), log_masses[:, at], means[:, :, at], mean, covariance, likelihood)

    def maximise(self, offset: np.ndarray, basis: np.ndarray, start: np.ndarray) -> Maximum:
        """Fisher's scoring with halved steps from a start; never below the likelihood of the start."""
        return self.maximise_each(offset[None], basis[None], start[None])[0]

    def maximise_each(
        self,
        offsets: Float64[np.ndarray, "law cell node"],
        bases: Float64[np.ndarray, "law term cell node"],
        starts: Float64[np.ndarray, "law term"],
        enough: float = 0.0,
    ) -> list[Maximum]:
        """Maxima of laws of as many terms each: together, as each of the many small arrays would cost its call.

        A search ends where a step would gain less than `enough`, or than rounding.
        """
        n = float(self.pooled.sum())
        best = self._evaluate_each(offsets, bases, starts)
        active = np.arange(len(starts))
        for _ in range(_STEPS):
            active = active[np.isfinite(best.covariance[active]).all(axis=(1, 2))]
            steps, gains = _scoring_steps(best, active, self.pooled / n)
            # What the step would gain is known beforehand, to second order: rounding would hide less.
            least = np.maximum(enough, _ENOUGH * (n + np.abs(best.log_likelihood[active])))
            worth = n * gains > least
            active, steps, gains, least = active[worth], steps[worth], gains[worth], least[worth]
            if not active.size:
                break
            # Without a copy of everything where all are still on their way.
            at = active if active.size < len(starts) else slice(None)
            new = self._evaluate_each(offsets[at], bases[at], best.coefficients[at] + steps)
            lower = np.flatnonzero(new.log_likelihood < best.log_likelihood[active])
            halvings = 0
            # After 40 halvings a step is 1e-12 of itself, and its gain is rounding.
            while lower.size and halvings < 40:
                halvings += 1
                steps[lower] /= 2
                at = active[lower]
                halved = self._evaluate_each(offsets[at], bases[at], best.coefficients[at] + steps[lower])
                new.replace_at(lower, halved)
                lower = lower[halved.log_likelihood < best.log_likelihood[at]]
                # A concave function gains no more than its slope says.
                lower = lower[n * gains[lower] * 0.5**halvings > least[lower]]
            with np.errstate(invalid="ignore"):
                gain = new.log_likelihood - best.log_likelihood[active]
            better = gain >= 0
            best.replace_at(active[better], _Maxima(*(column[better] for column in vars(new).values())))
            active = active[gain > least]
        return [best[at] for at in range(len(starts))]


def _scoring_steps(
    best: _Maxima, active: np.ndarray, share: Float64[np.ndarray, " cell"]
) -> tuple[Float64[np.ndarray, "law term"], Float64[np.ndarray, " law"]]:
    """Steps of Fisher's scoring, and half of what each gains per value to first order."""
    gradient = best.means[active] @ share - best.mean[active]
    covariance = best.covariance[active]
    # In units of their standard deviations: the statistics may differ by many powers of ten.
    variance = np.einsum("ltt->lt", covariance)
    scale = np.sqrt(np.maximum(variance, 1e-300))
    reduced = np.where(variance > 0, gradient / scale, 0.0)
    if reduced.shape[1] == 2:
        # By hand, as there are thousands: along and across the diagonal, where a correlation matrix has its axes.
        correlation = covariance[:, 0, 1] / (scale[:, 0] * scale[:, 1])
        along, across = (
            0.5 * _quotient(reduced[:, 0] + sign * reduced[:, 1], 1 + sign * correlation) for sign in (1, -1)
        )
        reduced = np.stack([along + across, along - across], axis=1)
    steps = reduced / scale
    return steps, 0.5 * (gradient * steps).sum(axis=1)


def _quotient(gradient: Float64[np.ndarray, " law"], variance: Float64[np.ndarray, " law"]) -> np.ndarray:
    """Gradient over variance; zero where rounding has left no information."""
    known = variance > _LEAST_VARIANCE
    return np.where(known, gradient / np.where(known, variance, 1.0), 0.0)


def best_shape(
    maxima: Callable[[np.ndarray, np.ndarray | None, float], list[Maximum]], shapes: Float64[np.ndarray, " shape"]
) -> tuple[Maximum, float]:
    """Maximum over a shape, by maxima at many shapes at once: on a grid, a finer one, and by parabolas.

    Parameters
    ----------
    maxima
        From shapes, coefficients to start from and the gain that ends a search to the maxima over the coefficients.
    shapes
        The grid, ascending.
    """
    tried = dict(zip(shapes.tolist(), maxima(shapes, None, ROUGH), strict=True))
    step = 0.0
    for refinement in range(_REFINEMENTS):
        known = sorted(tried)
        likelihood = np.array([tried[shape].log_likelihood for shape in known])
        top = int(np.argmax(likelihood))
        around = known[max(top - 1, 0) : top + 2]
        if refinement == 0:
            further = np.linspace(around[0], around[-1], _FINER + 2)[1:-1]
            step = float(further[1] - further[0])
        else:
            vertex = _vertex(np.array(around), likelihood[max(top - 1, 0) : top + 2])
            # Its own error is the square of the last step, relative to the shape: three points enclose it.
            step *= _CLOSER
            further = np.clip(vertex + step * np.array([-1.0, 0.0, 1.0]), shapes[0], shapes[-1])
        further = np.setdiff1d(further, known)
        if further.size:
            tried |= zip(further.tolist(), maxima(further, tried[known[top]].coefficients, 0.0), strict=True)
    return max(((maximum, shape) for shape, maximum in tried.items()), key=lambda item: item[0].log_likelihood)


def _vertex(x: np.ndarray, y: np.ndarray) -> float:
    """Place of the maximum of a parabola through three points; the highest of them where there is none between."""
    if len(x) == 3 and np.isfinite(y).all():
        second, first, _ = np.polyfit(x - x[1], y - y[1], 2)
        if second < 0:
            return float(np.clip(x[1] - 0.5 * first / second, x[0], x[-1]))
    return float(x[int(np.argmax(y))])


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
