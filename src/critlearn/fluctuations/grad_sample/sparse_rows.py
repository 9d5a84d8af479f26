"""Per-sample gradients of a table of which each sample touches a few rows, which alone are written out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments, one_for_zero
from critlearn.fluctuations.grad_sample.float_limits import zero_if_cancelled
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.protocol import Entries, GradSample


@dataclass(frozen=True, eq=False)
class SparseRows(GradSample):
    """Gradients of a table of which each sample touches a few rows: an embedding.

    Parameters
    ----------
    values
        Gradients of the touched rows.
    sample, row
        Sample and row of the table that each belongs to; no pair twice.
    table
        Number of rows of the table.
    batch
        Number of samples.
    """

    values: Float[Tensor, "touched width"]
    sample: Int64[Tensor, " touched"]
    row: Int64[Tensor, " touched"]
    table: int
    batch: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.batch

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the gradients."""
        return self.values.dtype

    @property
    def in_range(self) -> bool:
        """True: logarithms are not known better than the numbers."""
        return True

    def combined(self, samples: Tensor, weight: Tensor) -> "SparseRows":
        """Linear combinations of samples: a row that several terms touch is added up."""
        # Every pair of a touched row and a term with its sample.
        found, place = (self.sample[:, None] == samples.flatten()[None, :]).nonzero(as_tuple=True)
        values, owner = self.values[found] * weight.flatten()[place][:, None], place // samples.shape[1]
        if samples.shape[1] == 1:
            return SparseRows(values, owner, self.row[found], self.table, len(samples))
        keys, at = (owner * self.table + self.row[found]).unique(return_inverse=True)
        zero = values.new_zeros(len(keys), values.shape[1])
        sizes = zero.index_add(0, at, values.abs())
        total = zero_if_cancelled(zero.index_add(0, at, values), sizes, values.dtype)
        return SparseRows(total, keys // self.table, keys % self.table, self.table, len(samples))

    def entries(self, index: Tensor | None = None) -> Entries:
        """Gradients of some or all entries, zero in rows that are not touched."""
        return Entries(self._written_out if index is None else lambda: self._some_written_out(index))

    def _written_out(self) -> Tensor:
        full = self.values.new_zeros(self.samples, self.table * self.values.shape[1])
        self.add_to(full)
        return full

    def add_to(self, gradients: Tensor) -> None:
        """Add the touched rows to gradients that are written out, shape (sample, variable)."""
        # No pair of a sample and a row stands here twice.
        gradients.unflatten(1, (self.table, -1))[self.sample, self.row] += self.values.to(gradients.dtype)

    def _some_written_out(self, index: Tensor) -> Tensor:
        width = self.values.shape[1]
        row, column = index // width, index % width
        chosen = self.values.new_zeros(self.samples, len(index))
        touched, entry = (self.row[:, None] == row[None, :]).nonzero(as_tuple=True)
        chosen[self.sample[touched], entry] = self.values[touched, column[entry]]
        return chosen

    def count(self, counter: Counter, scale: Tensor, sample: Tensor) -> None:
        """Count the touched rows' changes one by one, and the others' zeros all at once."""
        Materialised(self.values).count(counter, scale[self.sample], sample[self.sample])
        touched = torch.bincount(self.sample, minlength=self.samples)
        counter.add_zeros((self.table - touched) * self.values.shape[1], sample)

    def moments(self, weight: Tensor) -> EntryMoments:
        """Mean and spread over the samples; samples that do not touch a row contribute their zeros."""
        weighted = self.values.double() * weight[self.sample][:, None]

        def by_row(part: Tensor) -> Tensor:
            return part.new_zeros(self.table, part.shape[1]).index_add_(0, self.row, part)

        zero = weighted.new_zeros(self.table, weighted.shape[1])
        peak = zero.scatter_reduce(0, self.row[:, None].expand_as(weighted), weighted.abs(), "amax")
        weighted = weighted / one_for_zero(peak)[self.row]
        mean = by_row(weighted) / self.samples
        touched = by_row(torch.ones_like(weighted))
        # Where a row is not touched the gradient is zero, and its deviation the mean.
        squares = by_row((weighted - mean[self.row]) ** 2) + (self.samples - touched) * mean**2
        size = by_row(weighted.abs()) / self.samples
        movers = by_row((self.values != 0).double())
        mean, squares, size, peak, movers = (part.flatten() for part in (mean, squares, size, peak, movers))
        return EntryMoments(mean, squares, size, peak, movers, self.samples)

    def projected(self, direction: Tensor) -> Tensor:
        """Sum of gradient times direction over the entries, for each sample."""
        terms = (self.values.double() * direction.reshape(self.table, -1)[self.row]).sum(dim=1)
        return direction.new_zeros(self.batch).index_add_(0, self.sample, terms)

    def inner_products(self, weight: Tensor) -> Tensor:
        """Gram matrix of the samples, row by row of the table: only samples that touch a row have a product there."""
        total = weight.new_zeros(self.batch, self.batch)
        order = self.row.argsort()
        for at in order.split(self.row[order].unique_consecutive(return_counts=True)[1].tolist()):
            sample = self.sample[at]
            values = self.values[at].double() * weight[sample][:, None]
            total[sample[:, None], sample[None, :]] += values @ values.T
        return total

    def units(self, number: int) -> Iterator[Materialised]:
        """Gradients of the entries of each row of the table."""
        return Materialised(self.dense()).units(number)


def exact_zeros(variables: int, like: Tensor) -> tuple[SparseRows, Tensor]:
    """Gradients that are exact zeros for all samples, and the logarithms of their units; ``like`` is (sample,)."""
    none = torch.zeros(0, dtype=torch.int64, device=like.device)
    return SparseRows(like.new_zeros(0, 1), none, none, variables, len(like)), torch.full_like(like, -math.inf)
