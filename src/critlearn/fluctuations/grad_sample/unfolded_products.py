"""Per-sample gradients of a convolution: outer products of errors and inputs unfolded a few samples at a time.

Unfolded inputs are as many times larger than the inputs as the kernel has entries: written for a whole batch they leave
the processor's cache, and are given back to the system and asked for again with every batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from critlearn.fluctuations.grad_sample.protocol import BUFFER_BYTES, OuterProducts, Sums, logs_of


@dataclass(frozen=True, eq=False)
class UnfoldedProducts:
    """Gradients ``sum over places of error x unfolded input`` of a convolution.

    Parameters
    ----------
    errors
        Output errors.
    inputs
        Inputs of the layer, shape (sample, channel, *space).
    unfold
        From inputs to what the kernel covers, shape (sample, block, place, input).
    """

    errors: Float[Tensor, "sample block place output"]
    inputs: Tensor
    unfold: Callable[[Tensor], Tensor]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.errors)

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type."""
        return self.errors.dtype

    @property
    def in_range(self) -> bool:
        """Whether plain numbers tell all."""
        return True

    def whole(self) -> OuterProducts:
        """The same with the inputs of all samples unfolded."""
        return OuterProducts(self.errors, self.unfold(self.inputs))

    def _parts(self) -> Iterator[tuple[slice, OuterProducts]]:
        """Runs of samples whose unfolded inputs stay in the processor's cache."""
        one = self.unfold(self.inputs[:1])
        run = max(1, BUFFER_BYTES // max(1, one.numel() * one.element_size()))
        for start in range(0, self.samples, run):
            rows = slice(start, start + run)
            yield rows, OuterProducts(self.errors[rows], self.unfold(self.inputs[rows]))

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples."""
        for rows, part in self._parts():
            part.count(counter, scale[rows], sample[rows])

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        return torch.cat([part.dense() for _, part in self._parts()])

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        return torch.cat([part.chosen(index) for _, part in self._parts()])

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of some entries."""
        logs, positive = zip(*(part.chosen_logs(index) for _, part in self._parts()), strict=True)
        return torch.cat(logs), torch.cat(positive)

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of all entries."""
        return logs_of(self.dense())

    def moments(self, weight: Tensor) -> Sums:
        """Mean and spread over the samples."""
        return self.whole().moments(weight)

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over the samples."""
        return torch.stack([part.weighted_sum(weight[rows]) for rows, part in self._parts()]).sum(dim=0)

    def select(self, samples: Tensor) -> "UnfoldedProducts":
        """Gradients of some samples."""
        return UnfoldedProducts(self.errors[samples], self.inputs[samples], self.unfold)

    def averaged(self, weight: Tensor, size: int) -> OuterProducts:
        """Mean over each run of samples."""
        return self.whole().averaged(weight, size)
