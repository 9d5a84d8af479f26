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

from critlearn.fluctuations.grad_sample.float_limits import in_range, zero_if_cancelled
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import GradientSource, GradSample
from critlearn.network.batches.model_inputs import Inputs

Piece = tuple[int, GradSample, Tensor]
"""Number of the first sample or mini-batch, gradients, and their scales."""

_HELD: Final = 1 << 18
"""Gradients that are written out at a time: what is made of them should stay in the processor's cache."""

_NOT_CLAMPED: Final = math.log(torch.finfo(torch.float64).tiny)
"""Logarithm of the smallest normal number, which stands for all that are smaller."""


def mini_batch_means(grad_sample: GradSample, scale: Tensor, size: int) -> Iterator[Piece]:
    """Mean gradients of successive samples, so many at a time: in logarithms where numbers do not hold all terms."""
    # Each mini-batch has the largest of its samples' units.
    unit = scale.reshape(-1, size).amax(dim=1)
    log_weight = scale - torch.where(torch.isneginf(unit), 0.0, unit).repeat_interleave(size)
    if grad_sample.in_range and in_range(log_weight, grad_sample.precision):
        yield 0, grad_sample.averaged(log_weight.exp(), size), unit
        return
    for rows in grad_sample.runs(_HELD, scale.device, multiple=size):
        logs, positive = grad_sample.select(rows).entries().logs()
        logs = (logs + log_weight[rows, None]).unflatten(0, (-1, size))
        peak = logs.amax(dim=1)
        peak = torch.where(torch.isneginf(peak), 0.0, peak)
        terms = (logs - peak[:, None]).exp()
        total = torch.where(positive.unflatten(0, (-1, size)), terms, -terms).sum(dim=1) / size
        start, stop = int(rows[0]) // size, (int(rows[-1]) + 1) // size
        total = zero_if_cancelled(total, terms.sum(dim=1) / size, grad_sample.precision)
        yield start, _from_logs(total, peak), unit[start:stop]


def _from_logs(total: Tensor, unit: Tensor) -> Materialised:
    """Gradients ``total * exp(unit)``, with exact logarithms; values below the smallest normal number read as that."""
    logs = total.abs().log() + unit
    return Materialised(total.sign() * logs.clamp(min=_NOT_CLAMPED).exp(), logs)


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
        """Mean over no samples, to which samples are added."""
        zero = torch.zeros(variables, dtype=torch.float64, device=device)
        return cls(zero - math.inf, zero, zero)

    def add(self, grad_sample: GradSample, scale: Tensor) -> None:
        """Add the gradients of some samples."""
        if grad_sample.precision == torch.float32:
            self.precision = torch.float32
        for rows in grad_sample.runs(_HELD, scale.device):
            logs, positive = grad_sample.select(rows).entries().logs()
            logs = logs + scale[rows, None]
            peak = torch.maximum(self.peak, logs.amax(dim=0))
            unit = torch.where(torch.isneginf(peak), 0.0, peak)
            # The sums so far are taken to the new unit, which is never smaller: neither factor overflows.
            terms, before = (logs - unit).exp(), (self.peak - unit).exp()
            self.total = self.total * before + torch.where(positive, terms, -terms).sum(dim=0)
            self.sizes = self.sizes * before + terms.sum(dim=0)
            self.peak = peak
        self.count += grad_sample.samples

    def removed(self, grad_sample: GradSample, scale: Tensor, log_rate: float) -> Iterator[Piece]:
        """Gradients without the mean; ``scale`` includes the learning rate, the mean does not."""
        for rows in grad_sample.runs(_HELD, scale.device):
            logs, positive = grad_sample.select(rows).entries().logs()
            logs, mean = logs + scale[rows, None], self.peak + log_rate
            unit = torch.maximum(logs, mean)
            unit = torch.where(torch.isneginf(unit), 0.0, unit)
            # In units of the larger of the two, so that the difference keeps what either has.
            own, common = (logs - unit).exp(), (mean - unit).exp() / self.count
            value = torch.where(positive, own, -own) - self.total * common
            value = zero_if_cancelled(value, own + self.sizes * common, self.precision)
            yield int(rows[0]), _from_logs(value, unit), torch.zeros_like(scale[rows])


def log_means(gradients: GradientSource, batches: Iterable[tuple[Inputs, Tensor]]) -> Mapping[str, LogMean]:
    """Mean gradients over all samples, flat, by name of the variable."""
    found: dict[str, LogMean] = {}
    done = 0
    for x, t in batches:
        for item in gradients.batch(x, t, first=done):
            if item.name not in found:
                found[item.name] = LogMean.of_none(gradients.sizes[item.name], item.log_scale.device)
            found[item.name].add(item.grad_sample, item.log_scale)
        done += len(x)
    return found
