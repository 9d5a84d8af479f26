"""Per-sample gradients of a convolution: outer products of errors and inputs unfolded a few samples at a time.

Unfolded inputs are as many times larger than the inputs as the kernel has entries: written for a whole batch they leave
the processor's cache, and their memory is freed and allocated again with every batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import BUFFER_BYTES, OuterProducts
from critlearn.fluctuations.grad_sample.protocol import Entries, GradSample


@dataclass(frozen=True, eq=False)
class UnfoldedProducts(GradSample):
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
        """Floating-point type of the gradients."""
        return self.errors.dtype

    @property
    def in_range(self) -> bool:
        """True: logarithms are not known better than the numbers."""
        return True

    def combined(self, samples: Tensor, weight: Tensor) -> GradSample:
        """Linear combinations of samples, with the inputs of all terms unfolded if there are several."""
        if samples.shape[1] > 1:
            return self._unfolded().combined(samples, weight)
        rows = samples[:, 0]
        return UnfoldedProducts(self.errors[rows] * weight[:, :, None, None], self.inputs[rows], self.unfold)

    def entries(self, index: Tensor | None = None) -> Entries:
        """Gradients of some or all entries."""
        return Entries(lambda: torch.cat([part.entries(index).values for _, part in self._parts()]))

    def count(self, counter: Counter, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples."""
        for rows, part in self._parts():
            part.count(counter, scale[rows], sample[rows])

    def moments(self, weight: Tensor) -> EntryMoments:
        """Mean and spread over the samples."""
        return self.moments_of_entries(weight)

    def projected(self, direction: Tensor) -> Tensor:
        """Sum of gradient times direction over the entries, for each sample."""
        return torch.cat([part.projected(direction) for _, part in self._parts()])

    def inner_products(self, weight: Tensor) -> Tensor:
        """Gram matrix of the samples."""
        # Written out once: the inputs would be unfolded again for every run of entries.
        return Materialised(self.dense()).inner_products(weight)

    def units(self, number: int) -> Iterator[OuterProducts]:
        """Gradients of the weights of each output channel."""
        return self._unfolded().units(number)

    def _unfolded(self) -> OuterProducts:
        """Outer products with the inputs of all samples unfolded."""
        return OuterProducts(self.errors, self.unfold(self.inputs))

    def _parts(self) -> Iterator[tuple[slice, OuterProducts]]:
        """Runs of samples whose unfolded inputs stay in the processor's cache."""
        one = self.unfold(self.inputs[:1])
        run = max(1, BUFFER_BYTES // max(1, one.numel() * one.element_size()))
        for start in range(0, self.samples, run):
            rows = slice(start, start + run)
            yield rows, OuterProducts(self.errors[rows], self.unfold(self.inputs[rows]))
