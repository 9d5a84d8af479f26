"""Moments of the changes of every trainable variable over the data set: drift and fluctuation, in one pass."""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.equilibrium.criteria import TOLERANCE
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import running_moments
from critlearn.network import NeuralSystem
from critlearn.results import Result

_LEAST: Final = -600.0
"""Logarithm of the smallest unit of a variable, relative to the largest: exp(-600) = 1e-261 is far from underflow."""


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Result):
    """Drift ``D = mean(dq)`` and fluctuation ``S = std(dq)`` of each trainable variable over the samples, at unit rate.

    Both are in units of ``exp(log_unit)``, so that their ratios are exact even if the values would underflow. A
    variable whose changes are all below ``exp(-600)`` units is reported at that size, with its exact ratio ``D / S``.
    Source: theory, local learning equilibrium.

    Parameters
    ----------
    drift, fluctuation
        By name of the trainable variable, in its shape, double precision.
    frozen
        Mask of the entries whose changes are all exactly zero.
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
        """Share of variables with ``|D| <= tolerance * S`` among those that are not frozen; 0 if all are frozen.

        A variable whose drift and fluctuation have both underflowed to zero does not count as being at equilibrium.
        """
        drift, fluctuation, frozen = self.flat()
        within = (drift.abs() <= tolerance * fluctuation) & (fluctuation > 0)
        return float(within[~frozen].double().mean()) if not bool(frozen.all()) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Number, frozen ones, median and largest ``|D| / S`` of the others, by name of the trainable variable."""
        rows = {}
        for name, drift in self.drift.items():
            fluctuation, frozen = self.fluctuation[name], self.frozen[name]
            ratio = (drift.abs() / fluctuation)[~frozen & (fluctuation > 0)]
            median, highest = (None, None) if not ratio.numel() else (float(ratio.median()), float(ratio.max()))
            rows[name] = {
                "variables": drift.numel(),
                "frozen": int(frozen.sum()),
                "median_ratio": median,
                "largest_ratio": highest,
            }
        return rows

    def summary(self) -> str:
        """Share of variables that drift by at most a tenth of their fluctuation, in one line."""
        variables = sum(value.numel() for value in self.drift.values())
        share = self.fraction_at_equilibrium(TOLERANCE)
        others = f"{share:.1%} of the others have |drift| <= {TOLERANCE:g} S"
        return f"{variables} variables, {self.frozen_count} frozen; {others}"


def moments(system: NeuralSystem, *, batch_size: int = 256) -> Moments:
    """Compute drift and fluctuation over all samples from the layers' inputs and errors.

    See `fluctuations.moments.running_moments`.
    """
    running = running_moments(PerSampleGradients(system, quiet=True), system.boundary(batch_size))
    log_unit = max(part.log_unit for part in running.values())
    drift, fluctuation, frozen = {}, {}, {}
    for name, value in system.parameters.items():
        part = running[name]
        # If every error vanishes there is no unit, and all values are zero in any.
        factor = math.exp(max(part.log_unit - log_unit, _LEAST)) if log_unit > -math.inf else 1.0
        drift[name] = (part.drift * factor).reshape(value.shape)
        fluctuation[name] = (part.fluctuation * factor).reshape(value.shape)
        frozen[name] = ~part.moments.moved.reshape(value.shape)
    return Moments(drift, fluctuation, frozen, log_unit)
