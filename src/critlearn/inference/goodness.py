"""Goodness of fit: the Kolmogorov-Smirnov distance, with a p-value that knows of the fit and of the groups."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from critlearn.inference.cluster_bootstrap import group_weights
from critlearn.inference.grouped_counts import GroupedCounts, WindowFit
from critlearn.inference.power_law import cumulative, solve_phi


@dataclass(frozen=True)
class Goodness:
    """Distance, p-value and the Monte-Carlo error of the p-value."""

    ks: float
    p_value: float
    p_value_error: float


@dataclass(frozen=True, eq=False)
class KolmogorovSmirnov:
    """Test of truncated power laws on windows of one set of counts.

    The distance of each bootstrap replicate, re-fitted, is taken after subtracting the empirical process of the data:
    ``sup |F*_r - F - (G(theta*_r) - G(theta))|`` (Babu and Rao, Sankhya 66, 63, 2004), which makes the bootstrap valid
    for fitted parameters. Replicates draw whole groups; a single group is drawn from as if its members were
    independent.
    """

    counts: GroupedCounts
    replicates: int
    seed: int

    @cached_property
    def _drawn(self) -> Float64[np.ndarray, "replicate edge"]:
        """Counts below each edge in each replicate."""
        if self.counts.groups > 1:
            weights = group_weights(self.counts.groups, self.replicates, self.seed)
            return weights @ self.counts.running_count
        generator = np.random.default_rng(self.seed)
        probability = self.counts.counts[0] / self.counts.total
        drawn = generator.multinomial(int(self.counts.total), probability, size=self.replicates)
        return np.pad(np.cumsum(drawn, axis=1), ((0, 0), (1, 0))).astype(np.float64)

    def test(self, fit: WindowFit) -> Goodness:
        """Distance and p-value on the window of a fit."""
        window = slice(fit.start, fit.stop + 1)
        below = self.counts.running_count[:, window].sum(axis=0)
        empirical = (below - below[0]) / (below[-1] - below[0])
        model = cumulative(np.array(fit.phi), fit.bins)
        distance = float(np.abs(empirical - model).max())
        drawn = self._drawn[:, window]
        drawn = drawn - drawn[:, :1]
        drawn = drawn[drawn[:, -1] > 0]
        drawn = drawn / drawn[:, -1:]
        # Sum by parts: the mean index of a replicate from its distribution function.
        mean = fit.bins - drawn[:, 1:].sum(axis=1) - 0.5 * (fit.bins - 1)
        phi = np.clip(solve_phi(mean, fit.bins), -50, 50)
        process = (drawn - empirical) - (cumulative(phi, fit.bins) - model)
        replicated = np.abs(process).max(axis=1)
        exceeding = int((replicated >= distance).sum())
        p_value = (1 + exceeding) / (1 + len(replicated))
        return Goodness(distance, p_value, float(np.sqrt(p_value * (1 - p_value) / (1 + len(replicated)))))
