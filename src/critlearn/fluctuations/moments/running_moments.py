"""Drift and fluctuation of every entry, gathered batch by batch in units that never underflow."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float64
from torch import Tensor

from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.network.batches.model_inputs import Inputs


@dataclass(frozen=True, eq=False)
class RunningMoments:
    """Moments of the changes at unit rate, of one variable or along one direction, over the samples so far.

    Parameters
    ----------
    moments
        Moments of the changes in units of ``exp(log_unit)``.
    log_unit
        Logarithm of the unit: of the largest scale of all samples.
    """

    moments: EntryMoments
    log_unit: float

    @property
    def drift(self) -> Tensor:
        """Mean change of each entry, in units of ``exp(log_unit)``."""
        return self.moments.mean * self.moments.peak

    @property
    def fluctuation(self) -> Tensor:
        """Standard deviation of the change of each entry, in units of ``exp(log_unit)``."""
        return (self.moments.squares / self.moments.samples).sqrt() * self.moments.peak

    @property
    def size(self) -> Tensor:
        """Mean absolute change of each entry, in units of ``exp(log_unit)``."""
        return self.moments.size * self.moments.peak

    def merged(self, batch: EntryMoments, log_unit: float) -> "RunningMoments":
        """Moments with those of a further batch, in units at least as large as before."""
        shrunk = math.exp(self.log_unit - log_unit) if log_unit > self.log_unit else 1.0
        return RunningMoments(self.moments.merged(batch, shrunk=shrunk), max(log_unit, self.log_unit))


@dataclass(frozen=True, eq=False)
class GatheredMoments:
    """Moments of all trainable variables, flat, and along given directions, by name of the variable.

    Parameters
    ----------
    entries
        Moments of every entry of a variable.
    along
        Moments of a variable's changes along its direction: one entry.
    """

    entries: dict[str, RunningMoments] = field(default_factory=dict)
    along: dict[str, RunningMoments] = field(default_factory=dict)

    def add(self, item: VariableGradients, direction: Float64[Tensor, " variable"] | None) -> None:
        """Add the gradients of some samples."""
        known = self.entries.get(item.name)
        log_unit = max(float(item.log_scale.max()), known.log_unit if known else -math.inf)
        # A batch without any error has no unit: all its changes are zero in any.
        weight = -(item.log_scale - (log_unit if log_unit > -math.inf else 0.0)).exp()
        _merge(self.entries, item.name, item.grad_sample.moments(weight), log_unit)
        if direction is not None:
            projected = EntryMoments.of(item.grad_sample.projected(direction)[:, None], weight)
            _merge(self.along, item.name, projected, log_unit)


def running_moments(
    gradients: PerSampleGradients,
    batches: Iterable[tuple[Inputs, Tensor]],
    along: Mapping[str, Float64[Tensor, " variable"]] | None = None,
) -> GatheredMoments:
    """Moments of the changes ``-gradient`` over all samples, of each entry and along a direction of each variable.

    Mean and mean square of an outer product need a few matrix products: no gradient of a large layer is written out.
    """
    gathered, directions = GatheredMoments(), along or {}
    done = 0
    for x, t in batches:
        for item in gradients.batch(x, t, first=done):
            gathered.add(item, directions.get(item.name))
        done += len(x)
    return gathered


def _merge(found: dict[str, RunningMoments], name: str, batch: EntryMoments, log_unit: float) -> None:
    found[name] = found[name].merged(batch, log_unit) if name in found else RunningMoments(batch, log_unit)
