"""Drift and fluctuation of every entry, gathered batch by batch in units that never underflow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients


@dataclass(frozen=True, eq=False)
class RunningMoments:
    """Moments of one variable's changes at unit rate over the samples so far.

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

    def merged(self, batch: EntryMoments, log_unit: float) -> "RunningMoments":
        """Moments with those of a further batch, in units at least as large as before."""
        shrunk = math.exp(self.log_unit - log_unit) if log_unit > self.log_unit else 1.0
        return RunningMoments(self.moments.merged(batch, shrunk=shrunk), max(log_unit, self.log_unit))


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
            log_unit = max(float(item.log_scale.max()), known.log_unit if known else -math.inf)
            # A batch without any error has no unit: all its changes are zero in any.
            weight = (item.log_scale - (log_unit if log_unit > -math.inf else 0.0)).exp()
            batch = item.grad_sample.moments(-weight)
            found[item.name] = known.merged(batch, log_unit) if known else RunningMoments(batch, log_unit)
        done += len(x)
    return found
