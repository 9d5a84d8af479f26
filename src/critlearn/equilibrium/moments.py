"""Moments of the changes of every trainable variable over the data set: drift, fluctuation and size, in one pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.equilibrium.criteria import TOLERANCE
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import RunningMoments, running_moments
from critlearn.network import NeuralSystem
from critlearn.results import Result

_LEAST: Final = -600.0
"""Logarithm of the smallest unit of a variable, relative to the largest: exp(-600) = 1e-261 is far from underflow."""


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Result):
    """Drift ``D = mean(dq)``, fluctuation ``S = std(dq)`` and size ``mean|dq|`` of each variable at unit rate.

    All are in units of ``exp(log_unit)``, so that their ratios are exact even if the values would underflow. A
    variable whose changes are all below ``exp(-600)`` units is reported at that size, with its exact ratio ``D / S``.
    Source: theory, local learning equilibrium.

    Parameters
    ----------
    drift, fluctuation, size
        By name of the trainable variable, in its shape, double precision.
    movers
        Number of samples that move each entry: those whose change is not exactly zero.
    log_unit
        Logarithm of the unit.
    samples
        Number of samples.
    """

    drift: dict[str, Tensor]
    fluctuation: dict[str, Tensor]
    size: dict[str, Tensor]
    movers: dict[str, Tensor]
    log_unit: float
    samples: int

    @property
    def frozen(self) -> dict[str, Tensor]:
        """Mask of the entries that no sample moves, by name of the variable."""
        return {name: part == 0 for name, part in self.movers.items()}

    def flat(self) -> tuple[Tensor, Tensor, Tensor]:
        """Drift, fluctuation and frozen mask of all variables, one after the other."""
        return joined(self.drift), joined(self.fluctuation), joined(self.frozen)

    @property
    def frozen_count(self) -> int:
        """Number of variables that no sample moves."""
        return int(sum(int(mask.sum()) for mask in self.frozen.values()))

    def typical(self) -> dict[str, float]:
        """Root mean square fluctuation of the entries of each variable; 0 where it is no floating-point number."""
        unit = math.exp(max(self.log_unit, _LEAST))
        return {name: unit * float(part.square().mean().sqrt()) for name, part in self.fluctuation.items()}

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
            fluctuation, frozen = self.fluctuation[name], self.movers[name] == 0
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
    """Compute drift, fluctuation and size over all samples from the layers' inputs and errors.

    See `fluctuations.moments.running_moments`.
    """
    running = running_moments(
        PerSampleGradients(system, quiet=True, for_sums=True), system.boundary(batch_size)
    ).entries
    return common_unit(running, {name: value.shape for name, value in system.parameters.items()})


def common_unit(running: Mapping[str, RunningMoments], shapes: Mapping[str, torch.Size]) -> Moments:
    """Moments of all variables in one unit, in the variables' shapes."""
    log_unit = max(part.log_unit for part in running.values())
    drift, fluctuation, size, movers = {}, {}, {}, {}
    for name, shape in shapes.items():
        part = running[name]
        # If every error vanishes there is no unit, and all values are zero in any.
        factor = math.exp(max(part.log_unit - log_unit, _LEAST)) if log_unit > -math.inf else 1.0
        drift[name] = (part.drift * factor).reshape(shape)
        fluctuation[name] = (part.fluctuation * factor).reshape(shape)
        size[name] = (part.size * factor).reshape(shape)
        movers[name] = part.moments.movers.reshape(shape)
    samples = next(iter(running.values())).moments.samples
    return Moments(drift, fluctuation, size, movers, log_unit, samples)


def joined(part: Mapping[str, Tensor]) -> Tensor:
    """Values of all variables, flat, one after the other."""
    return torch.cat([value.flatten() for value in part.values()])
