"""Per-sample gradients of tied weights: summed over the uses of the variable, before any absolute value."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.fluctuations.grad_sample.materialised import Materialised, whole_bins
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import WRITTEN_OUT, Entries, GradSample
from critlearn.fluctuations.grad_sample.sparse_rows import SparseRows


def summed_over_uses(uses: list[tuple[GradSample, Tensor]]) -> tuple[GradSample, Tensor]:
    """Sum over the uses, each with its samples' log units, and the common log units of the sum."""
    if len(uses) == 1:
        return uses[0]
    # The largest unit of each sample: the others' gradients become smaller in it and cannot overflow.
    unit = torch.stack([scale for _, scale in uses]).amax(dim=0)
    parts = [
        part if torch.equal(scale, unit) else part.scaled(torch.nan_to_num((scale - unit).exp(), nan=0.0))
        for part, scale in uses
    ]
    products = [part for part in parts if isinstance(part, OuterProducts)]
    if len(products) < len(parts):
        # Rows of a table come last: they are added to what is written out already.
        return TiedGradSample(tuple(sorted(parts, key=lambda part: isinstance(part, SparseRows)))), unit
    # A sum of outer products is one form with the places of all of them.
    errors, inputs = ([getattr(part, name) for part in products] for name in ("errors", "inputs"))
    return OuterProducts(torch.cat(errors, dim=2), torch.cat(inputs, dim=2)), unit


@dataclass(frozen=True, eq=False)
class TiedGradSample(GradSample):
    """Gradients of a variable that layers of several kinds use, as a table of an embedding that is the output's weight.

    Written out for a whole batch they would be as many as its samples times the variables.

    Parameters
    ----------
    parts
        Gradients of each use, in common units.
    """

    parts: tuple[GradSample, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.parts[0].samples

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the gradients, the coarsest of all uses."""
        return min((part.precision for part in self.parts), key=lambda precision: torch.finfo(precision).bits)

    @property
    def in_range(self) -> bool:
        """Whether the gradients of all uses are normal numbers."""
        return all(part.in_range for part in self.parts)

    def combined(self, samples: Tensor, weight: Tensor) -> "TiedGradSample":
        """Linear combinations of samples."""
        return TiedGradSample(tuple(part.combined(samples, weight) for part in self.parts))

    def entries(self, index: Tensor | None = None) -> Entries:
        """Gradients of some or all entries."""
        parts = [part.entries(index) for part in self.parts]
        return Entries(lambda: sum((part.values for part in parts[1:]), parts[0].values))

    def count(self, counter: Counter, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples, some written out at a time."""
        whole, factor = whole_bins(scale)
        for rows in self.runs(WRITTEN_OUT, scale.device):
            # A change is minus the gradient.
            weight = -factor[rows].to(self.precision)[:, None]
            first, *others = (part.combined(rows[:, None], weight) for part in self.parts)
            total = first.dense()
            for part in others:
                if isinstance(part, SparseRows):
                    part.add_to(total)
                else:
                    total += part.dense()
            counter.add_values(total, whole[rows], sample[rows])

    def moments(self, weight: Tensor) -> EntryMoments:
        """Mean and spread over the samples."""
        return self.moments_of_entries(weight)

    def projected(self, direction: Tensor) -> Tensor:
        """Sum of gradient times direction over the entries, for each sample."""
        return torch.stack([part.projected(direction) for part in self.parts]).sum(dim=0)

    def inner_products(self, weight: Tensor) -> Tensor:
        """Gram matrix of the samples."""
        return self.inner_products_of_entries(weight)

    def units(self, number: int) -> Iterator[Materialised]:
        """Gradients of the entries of each output unit."""
        return Materialised(self.dense()).units(number)
