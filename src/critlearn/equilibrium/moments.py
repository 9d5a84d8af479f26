"""Drift and fluctuation of every trainable variable over the data set, in one streaming pass."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from critlearn.network import NeuralSystem, learning_pass


@dataclass(frozen=True, eq=False)
class Moments:
    """Drift ``D = mean(dq)`` and fluctuation ``S = std(dq)`` of each trainable variable over the samples, at unit rate.

    Both are in units of ``exp(log_unit)``, so that ratios are exact where the values themselves are tiny.

    Parameters
    ----------
    drift, fluctuation
        By name of the trainable variable, in its shape, double precision.
    frozen
        Where every change is exactly zero.
    log_unit
        Logarithm of the unit.
    """

    drift: dict[str, Tensor]
    fluctuation: dict[str, Tensor]
    frozen: dict[str, Tensor]
    log_unit: float

    def flat(self) -> tuple[Tensor, Tensor, Tensor]:
        """Drift, fluctuation and frozen mask of all variables, one after the other."""
        parts = (self.drift, self.fluctuation, self.frozen)
        return tuple(torch.cat([value.flatten() for value in part.values()]) for part in parts)  # type: ignore[return-value]

    @property
    def frozen_count(self) -> int:
        """Number of variables that no sample moves."""
        return int(sum(int(mask.sum()) for mask in self.frozen.values()))

    def fraction_at_equilibrium(self, tolerance: float) -> float:
        """Share of the variables that are not frozen with ``|D| <= tolerance * S``; 0 if all are frozen.

        A variable of which nothing but zeros is left after underflow is not taken to be at equilibrium.
        """
        drift, fluctuation, frozen = self.flat()
        within = (drift.abs() <= tolerance * fluctuation) & (fluctuation > 0)
        return float(within[~frozen].double().mean()) if not bool(frozen.all()) else 0.0


def moments(system: NeuralSystem, *, batch_size: int = 256) -> Moments:
    """Drift and fluctuation over all samples.

    Means and sums of squares of batches are merged as by Chan, Golub and LeVeque (1983). Each variable has a unit of
    its own, its largest change so far: those of early layers may be so small beside the output errors that their
    squares would underflow.
    """
    mean: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    peak: dict[str, Tensor] = {}
    moved: dict[str, Tensor] = {}
    unit, count = -math.inf, 0
    for x, t in system.boundary(batch_size):
        scaled = learning_pass(system, x, t)
        largest = max(unit, float(scaled.log_scale.max()))
        shrink = math.exp(unit - largest) if count and largest > -math.inf else 1.0
        weight = (scaled.log_scale - (largest if largest > -math.inf else 0.0)).exp()
        size = len(x)
        for name, gradient in scaled.gradients.items():
            change = -gradient.double() * weight.reshape(-1, *[1] * (gradient.dim() - 1))
            before = shrink * peak[name] if count else torch.zeros_like(change[0])
            peak[name] = torch.maximum(before, change.abs().amax(dim=0))
            safe = torch.where(peak[name] > 0, peak[name], 1.0)
            variance, batch_mean = torch.var_mean(change / safe, dim=0, correction=0)
            any_moved = (gradient != 0).any(dim=0)
            if count == 0:
                mean[name], squares[name], moved[name] = batch_mean, variance * size, any_moved
                continue
            rescale = before / safe
            difference = batch_mean - rescale * mean[name]
            mean[name] = rescale * mean[name] + difference * size / (count + size)
            merged = rescale**2 * squares[name] + variance * size
            squares[name] = merged + difference**2 * count * size / (count + size)
            moved[name] |= any_moved
        unit, count = largest, count + size
    return Moments(
        {name: value * peak[name] for name, value in mean.items()},
        {name: (value / count).sqrt() * peak[name] for name, value in squares.items()},
        {name: ~value for name, value in moved.items()},
        unit,
    )
