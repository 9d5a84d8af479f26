"""Drift and fluctuation of every entry, gathered batch by batch in units that never underflow."""

import math
from dataclasses import dataclass

from torch import Tensor

from critlearn.fluctuations.contribution import Sums
from critlearn.fluctuations.per_sample import PerSampleGradients


@dataclass
class RunningMoments:
    """Mean and sum of squared deviations of one variable's changes at unit rate so far, in units of ``exp(unit)``."""

    mean: Tensor
    squares: Tensor
    moved: Tensor
    unit: float
    count: int

    def merge(self, other: Sums, unit: float, size: int) -> None:
        """Add a batch, as Chan, Golub and LeVeque (1983) merge means and sums of squares."""
        if unit > self.unit:
            shrink = math.exp(self.unit - unit)
            self.mean, self.squares, self.unit = shrink * self.mean, shrink**2 * self.squares, unit
        difference, total = other.mean - self.mean, self.count + size
        self.mean = self.mean + difference * (size / total)
        self.squares = self.squares + other.squares + difference**2 * (self.count * size / total)
        self.moved |= other.moved
        self.count = total


def running_moments(gradients: PerSampleGradients, batch_size: int) -> dict[str, RunningMoments]:
    """Moments of the changes ``-gradient`` over all samples, flat, by name of the variable.

    Mean and mean square of an outer product need two matrix products: no gradient of a large layer is written out.
    """
    found: dict[str, RunningMoments] = {}
    for x, t in gradients.system.boundary(batch_size):
        for item in gradients.batch(x, t):
            known = found.get(item.name)
            unit = max(float(item.log_scale.max()), known.unit if known else -math.inf)
            weight = (item.log_scale - (unit if unit > -math.inf else 0.0)).exp()
            sums, size = item.contribution.moments(-weight), item.contribution.samples
            if known is None:
                found[item.name] = RunningMoments(sums.mean, sums.squares, sums.moved, unit, size)
            else:
                known.merge(sums, unit, size)
    return found
