"""Sums of gradients that may be far below the smallest number: means of mini-batches, and gradients without their mean.

A sum that cancels to within its rounding error is not known: it counts as an exact zero.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import Contribution, Values, in_range, settled

Piece = tuple[int, Contribution, Tensor]
"""Number of the first sample or mini-batch, gradients, and their scales."""

_HELD: Final = 1 << 18
"""Gradients that are written out at a time: what is made of them should stay in the processor's cache."""

_NOT_CLAMPED: Final = math.log(torch.finfo(torch.float64).tiny)


def mini_batch_means(contribution: Contribution, scale: Tensor, size: int) -> Iterator[Piece]:
    """Mean gradients of successive samples, so many at a time: in logarithms where numbers do not hold all terms."""
    # Each mini-batch has the largest of its samples' units.
    unit = scale.reshape(-1, size).amax(dim=1)
    log_weight = scale - torch.where(torch.isneginf(unit), 0.0, unit).repeat_interleave(size)
    if contribution.in_range and in_range(log_weight, contribution.precision):
        yield 0, contribution.averaged(log_weight.exp(), size), unit
        return
    for rows in _runs(contribution, size, scale.device):
        logs, positive = contribution.select(rows).log_dense()
        logs = (logs + log_weight[rows, None]).unflatten(0, (-1, size))
        peak = logs.amax(dim=1)
        peak = torch.where(torch.isneginf(peak), 0.0, peak)
        terms = (logs - peak[:, None]).exp()
        total = torch.where(positive.unflatten(0, (-1, size)), terms, -terms).sum(dim=1) / size
        start, stop = int(rows[0]) // size, (int(rows[-1]) + 1) // size
        total = settled(total, terms.sum(dim=1) / size, contribution.precision)
        yield start, _from_logs(total, peak), unit[start:stop]


def _runs(contribution: Contribution, size: int, device: torch.device) -> Iterator[Tensor]:
    """Numbers of samples whose gradients are written out together, whole mini-batches each time."""
    every = torch.arange(contribution.samples, device=device)
    variables = contribution.select(every[:1]).dense().shape[1]
    yield from every.split(max(1, _HELD // (variables * size)) * size)


def _from_logs(total: Tensor, unit: Tensor) -> Values:
    """Gradients ``total * exp(unit)``, whose numbers stay at least the smallest."""
    logs = total.abs().log() + unit
    return Values(total.sign() * logs.clamp(min=_NOT_CLAMPED).exp(), logs)


@dataclass
class LogMean:
    """Mean of one variable's gradients over samples, each entry in units of its own largest size.

    Parameters
    ----------
    peak
        ``ln`` of the unit.
    total, sizes
        Sum of the gradients, and of their sizes.
    count
        Number of samples.
    precision
        Floating-point type of what was added, the coarsest one.
    """

    peak: Float64[Tensor, " variable"]
    total: Float64[Tensor, " variable"]
    sizes: Float64[Tensor, " variable"]
    count: int = 0
    precision: torch.dtype = torch.float64

    @classmethod
    def of_none(cls, variables: int, device: torch.device) -> "LogMean":
        """Before any sample is added."""
        zero = torch.zeros(variables, dtype=torch.float64, device=device)
        return cls(zero - math.inf, zero, zero)

    def add(self, contribution: Contribution, scale: Tensor) -> None:
        """Add the gradients of some samples."""
        if contribution.precision == torch.float32:
            self.precision = torch.float32
        for rows in _runs(contribution, 1, scale.device):
            logs, positive = contribution.select(rows).log_dense()
            logs = logs + scale[rows, None]
            peak = torch.maximum(self.peak, logs.amax(dim=0))
            unit = torch.where(torch.isneginf(peak), 0.0, peak)
            terms, before = (logs - unit).exp(), (self.peak - unit).exp()
            self.total = self.total * before + torch.where(positive, terms, -terms).sum(dim=0)
            self.sizes = self.sizes * before + terms.sum(dim=0)
            self.peak = peak
        self.count += contribution.samples

    def removed(self, contribution: Contribution, scale: Tensor, log_rate: float) -> Iterator[Piece]:
        """Gradients without the mean, which is at unit rate; ``scale`` is at the given one."""
        for rows in _runs(contribution, 1, scale.device):
            logs, positive = contribution.select(rows).log_dense()
            logs, mean = logs + scale[rows, None], self.peak + log_rate
            unit = torch.maximum(logs, mean)
            unit = torch.where(torch.isneginf(unit), 0.0, unit)
            own, common = (logs - unit).exp(), (mean - unit).exp() / self.count
            value = torch.where(positive, own, -own) - self.total * common
            value = settled(value, own + self.sizes * common, self.precision)
            yield int(rows[0]), _from_logs(value, unit), torch.zeros_like(scale[rows])


def log_means(gradients: PerSampleGradients, batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, LogMean]:
    """Mean gradients over all samples, flat, by name of the variable."""
    found: dict[str, LogMean] = {}
    done = 0
    for x, t in batches:
        for item in gradients.batch(x, t, first=done):
            if item.name not in found:
                variables = gradients.system.parameters[item.name].numel()
                found[item.name] = LogMean.of_none(variables, item.log_scale.device)
            found[item.name].add(item.contribution, item.log_scale)
        done += len(x)
    return found
