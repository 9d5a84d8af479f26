"""Goodness of fit: the Kolmogorov-Smirnov distance, with a p-value that knows of the fit and of the groups.

The p-values here ignore that the window may have been searched for; `selection_test` repeats the search.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws import power_law_uneven_cells as general_law
from critlearn.inference.laws.window_fits import WindowFit, cell_probabilities, cumulative_at_edges, theta_of_each_group

MOST_CELLS: Final = 400
"""Cells on which the distance is taken; narrower ones would add nothing but time."""

_LARGEST_MULTINOMIAL: Final = 2**53
"""Values that a replicate draws at most: above, counts are no longer exact as floats."""

_AT_ONCE: Final = 500
"""Replicates that are held in memory together."""

_NEAR: Final = np.cos(np.pi * (np.arange(6) + 0.5) / 6)
"""Six places between -1 and 1 at which a smooth function is taken to interpolate it."""

Progress = Callable[[int, int], None]
"""Called with the replicates that are done and all of them."""


@dataclass(frozen=True)
class Goodness:
    """Distance, p-value and the Monte-Carlo error of the p-value."""

    ks: float
    p_value: float
    p_value_error: float


def distance(counts: GroupedCounts, fit: WindowFit) -> float:
    """Kolmogorov-Smirnov distance between counts and fit on the window of the fit."""
    model = cumulative_at_edges(counts, np.array([fit.theta]), fit.start, fit.stop)[0]
    return float(np.abs(_empirical(counts, fit) - model).max())


def goodness_of_fit(
    counts: GroupedCounts, fit: WindowFit, replicates: int, seed: int, progress: Progress | None = None
) -> Goodness:
    """Test a fit on its window, as if the window had not been searched for.

    Independent observations (one group): parametric bootstrap, every replicate drawn from the fitted law and fitted
    again. Groups: bootstrap of the empirical process over groups (`GroupNull`).
    """
    observed = distance(counts, fit)
    if counts.groups > 1:
        null = GroupNull(counts, replicates, seed).distances(fit)
        if progress is not None:
            progress(replicates, replicates)
    else:
        null = _parametric(counts, fit, replicates, seed, progress)
    return Goodness(observed, *monte_carlo_p_value(int((null >= observed).sum()), len(null)))


def monte_carlo_p_value(exceeding: int, replicates: int) -> tuple[float, float]:
    """``(1 + exceeding) / (1 + replicates)`` and its Monte-Carlo standard error."""
    p_value = (1 + exceeding) / (1 + replicates)
    return p_value, float(np.sqrt(p_value * (1 - p_value) / (1 + replicates)))


@dataclass(frozen=True, eq=False)
class GroupNull:
    """Distances that groups of dependent observations would have from a law that holds.

    Each group's influence on the process ``F_n - F(theta_n)`` is its own empirical process, centred, less the part
    that fitting takes up: ``(c_g(x) - n_g F_n(x) - F'(x) s_g / I) / n`` with score ``s_g`` and information ``I``.
    Sums of the influences with multinomial weights over groups are the bootstrap of Babu and Rao (Sankhya 66, 63,
    2004), linear in the parameter, so that no replicate has to be fitted again.
    """

    counts: GroupedCounts
    replicates: int
    seed: int

    @cached_property
    def weights(self) -> Float64[np.ndarray, "replicate group"]:
        """Deviations from 1 of how often each group is drawn; widened, as drawing shrinks a variance."""
        groups = self.counts.groups
        generator = np.random.default_rng(self.seed)
        drawn = generator.multinomial(groups, np.full(groups, 1 / groups), size=self.replicates)
        return (drawn - 1) * (groups / (groups - 1)) ** 0.5

    def distances(self, fit: WindowFit) -> Float64[np.ndarray, " replicate"]:
        """Distances on the window of a fit under the law."""
        counts = self.counts
        below = counts.running_count[:, fit.start : fit.stop + 1]
        below = below - below[:, :1]
        empirical = below.sum(axis=0) / fit.n
        middle = counts.cells.centres[fit.start : fit.stop]
        masses = cell_probabilities(counts, fit.theta, fit.start, fit.stop)
        mean = float(masses @ middle)
        # Derivative of the distribution function by theta: the covariance of u with lying below an edge.
        slope = np.concatenate([[0.0], np.cumsum(masses * (middle - mean))])
        observed_mean = float(np.diff(empirical) @ middle)
        score = np.diff(below, axis=1) @ (middle - observed_mean)
        information = fit.n * float(masses @ (middle - mean) ** 2)
        influence = below - below[:, -1:] * empirical
        influence -= np.outer(score, slope) * (fit.n / information)
        return np.abs(self.weights @ influence).max(axis=1) / fit.n


def independent_null(
    counts: GroupedCounts, fit: WindowFit, normals: Float64[np.ndarray, "replicate cell"]
) -> Float64[np.ndarray, " replicate"]:
    """Distances of independent observations from a law that holds, by the limit of the empirical process.

    ``sqrt(n) (F_n - F(theta_n))`` tends to a Brownian bridge less its part along the score; `normals` are shared
    by all windows, so that their critical values are smooth in the window.
    """
    masses = cell_probabilities(counts, fit.theta, fit.start, fit.stop)
    middle = counts.cells.centres[fit.start : fit.stop]
    centred = middle - masses @ middle
    # A Brownian bridge at the edges: independent increments of variance p, less p times their sum.
    noise = normals[:, : len(masses)] * np.sqrt(masses)
    noise = noise - np.outer(noise.sum(axis=1), masses)
    along = (noise @ centred) / max(float(masses @ centred**2), 1e-300)
    process = np.cumsum(noise - np.outer(along, masses * centred), axis=1)
    return np.abs(process).max(axis=1) / fit.n**0.5


def _empirical(counts: GroupedCounts, fit: WindowFit) -> Float64[np.ndarray, " edge"]:
    below = np.concatenate([[0.0], np.cumsum(counts.pooled[fit.start : fit.stop])])
    return below / below[-1]


def _parametric(
    counts: GroupedCounts, fit: WindowFit, replicates: int, seed: int, progress: Progress | None
) -> np.ndarray:
    """Distances of replicates drawn from the fitted law and fitted again, some at a time to spare memory."""
    part = counts.part(fit.start, fit.stop)
    generator = np.random.default_rng(seed)
    masses = cell_probabilities(counts, fit.theta, fit.start, fit.stop)
    n, distances = min(round(fit.n), _LARGEST_MULTINOMIAL), []
    for at in range(0, replicates, _AT_ONCE):
        size = min(_AT_ONCE, replicates - at)
        drawn = generator.multinomial(n, masses / masses.sum(), size=size)
        theta = _fit_rows(part, drawn.astype(np.float64), fit.theta)
        kept = np.isfinite(theta)
        empirical = np.pad(np.cumsum(drawn[kept], axis=1), ((0, 0), (1, 0))) / drawn[kept].sum(axis=1, keepdims=True)
        distances.append(np.abs(empirical - _laws_near(part, theta[kept], fit)).max(axis=1))
        if progress is not None:
            progress(at + size, replicates)
    return np.concatenate(distances)


def _laws_near(part: GroupedCounts, theta: Float64[np.ndarray, " row"], fit: WindowFit) -> np.ndarray:
    """Distribution functions at parameters near that of a fit, shape (row, edge).

    Sums over nodes for each would take most of the time of a test; they are interpolated by polynomials in the
    parameter instead, which is exact to a thousandth of a distance.
    """
    if part.cells.width is not None or len(theta) <= _NEAR.size:
        return cumulative_at_edges(part, theta, 0, fit.bins)
    centre = 0.5 * float(theta.max() + theta.min())
    half = max(0.5 * float(np.ptp(theta)), 1e-9)
    known = cumulative_at_edges(part, centre + half * _NEAR, 0, fit.bins)
    x = (theta - centre) / half
    # Lagrange's polynomials at the nodes of Chebyshev.
    weights = [
        np.prod((x[:, None] - np.delete(_NEAR, i)) / (_NEAR[i] - np.delete(_NEAR, i)), axis=1)
        for i in range(_NEAR.size)
    ]
    return np.stack(weights, axis=1) @ known


def _fit_rows(part: GroupedCounts, rows: Float64[np.ndarray, "row cell"], theta: float) -> np.ndarray:
    """Parameter fitted to each row of counts that were drawn at the parameter `theta`; NaN where there is none."""
    if part.cells.width is not None:
        return theta_of_each_group(part.with_counts(rows))
    # One step of scoring from the true parameter is as good as the maximum, up to one part in n.
    below, above = part.is_open(0, len(part.cells))
    means, mean, information = general_law.moments(part.cells, theta, below=below, above=above)
    return theta + (rows @ (means - mean)) / (rows.sum(axis=1) * information)
