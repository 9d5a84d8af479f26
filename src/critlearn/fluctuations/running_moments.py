"""Drift and fluctuation of every entry, gathered batch by batch in units that never underflow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import Sums


@dataclass
class RunningMoments:
    """Moments of one variable's changes at unit rate so far, in units of ``exp(unit)``.

    Mean and sum of squared deviations are in units of each entry's ``peak``, its largest size so far.
    """

    sums: Sums
    unit: float
    count: int

    @property
    def drift(self) -> Tensor:
        """Mean change of each entry."""
        return self.sums.mean * self.sums.peak

    @property
    def fluctuation(self) -> Tensor:
        """Standard deviation of each entry."""
        return (self.sums.squares / self.count).sqrt() * self.sums.peak

    def merge(self, other: Sums, unit: float, size: int) -> None:
        """Add a batch, as Chan, Golub and LeVeque (1983) merge means and sums of squares."""
        before = self.sums.peak * (math.exp(self.unit - unit) if unit > self.unit else 1.0)
        peak = torch.maximum(before, other.peak)
        divisor = torch.where(peak > 0, peak, 1.0)
        mine, theirs = before / divisor, other.peak / divisor
        total = self.count + size
        mean = mine * self.sums.mean
        difference = theirs * other.mean - mean
        squares = mine**2 * self.sums.squares + theirs**2 * other.squares
        squares = squares + difference**2 * (self.count * size / total)
        self.sums = Sums(mean + difference * (size / total), squares, peak, self.sums.moved | other.moved)
        self.unit, self.count = max(unit, self.unit), total


def running_moments(
    gradients: PerSampleGradients, batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, RunningMoments]:
    """Moments of the changes ``-gradient`` over all samples, flat, by name of the variable.

    Mean and mean square of an outer product need two matrix products: no gradient of a large layer is written out.
    """
    found: dict[str, RunningMoments] = {}
    done = 0
    for x, t in batches:
        for item in gradients.batch(x, t, first=done):
            known = found.get(item.name)
            unit = max(float(item.log_scale.max()), known.unit if known else -math.inf)
            weight = (item.log_scale - (unit if unit > -math.inf else 0.0)).exp()
            sums, size = item.contribution.moments(-weight), item.contribution.samples
            if known is None:
                found[item.name] = RunningMoments(sums, unit, size)
            else:
                known.merge(sums, unit, size)
        done += len(x)
    return found
