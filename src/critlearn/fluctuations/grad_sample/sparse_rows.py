"""Per-sample gradients of a table of which each sample touches a few rows, which alone are written out."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from critlearn.fluctuations.grad_sample.protocol import Sums, Values, divisor, logs_of, settled


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Gradients of a table of which each sample touches a few rows: an embedding.

    Parameters
    ----------
    values
        Gradients of the touched rows.
    sample, row
        Whose they are, and of which row; no pair twice.
    table
        Number of rows of the table.
    samples
        Number of samples.
    """

    values: Float[Tensor, "touched width"]
    sample: Int64[Tensor, " touched"]
    row: Int64[Tensor, " touched"]
    table: int
    samples: int

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type."""
        return self.values.dtype

    @property
    def in_range(self) -> bool:
        """Whether plain numbers tell all."""
        return True

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count the touched rows' changes one by one, and the others' zeros all at once."""
        Values(self.values).count(counter, scale[self.sample], sample[self.sample])
        touched = torch.bincount(self.sample, minlength=self.samples)
        counter.add_zeros((self.table - touched) * self.values.shape[1], sample)

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        full = self.values.new_zeros(self.samples, self.table, self.values.shape[1])
        full[self.sample, self.row] = self.values
        return full.flatten(1)

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        row, column = index // self.values.shape[1], index % self.values.shape[1]
        found = self.values.new_zeros(self.samples, len(index))
        touched, entry = (self.row[:, None] == row[None, :]).nonzero(as_tuple=True)
        found[self.sample[touched], entry] = self.values[touched, column[entry]]
        return found

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of some entries."""
        return logs_of(self.chosen(index))

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of all entries."""
        return logs_of(self.dense())

    def moments(self, weight: Tensor) -> Sums:
        """Mean and spread over the samples; samples that do not touch a row contribute their zeros."""
        weighted = self.values.double() * weight[self.sample][:, None]

        def by_row(part: Tensor) -> Tensor:
            return part.new_zeros(self.table, part.shape[1]).index_add_(0, self.row, part)

        zero = weighted.new_zeros(self.table, weighted.shape[1])
        peak = zero.scatter_reduce(0, self.row[:, None].expand_as(weighted), weighted.abs(), "amax")
        weighted = weighted / divisor(peak)[self.row]
        mean = by_row(weighted) / self.samples
        touched = by_row(torch.ones_like(weighted))
        squares = by_row((weighted - mean[self.row]) ** 2) + (self.samples - touched) * mean**2
        moved = by_row((self.values != 0).double()) > 0
        return Sums(mean.flatten(), squares.flatten(), peak.flatten(), moved.flatten())

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over the samples."""
        weighted = self.values.double() * weight[self.sample][:, None]
        return weighted.new_zeros(self.table, weighted.shape[1]).index_add_(0, self.row, weighted).flatten()

    def select(self, samples: Tensor) -> "SparseRows":
        """Gradients of some samples."""
        found, place = (self.sample[:, None] == samples[None, :]).nonzero(as_tuple=True)
        return SparseRows(self.values[found], place, self.row[found], self.table, len(samples))

    def averaged(self, weight: Tensor, size: int) -> "SparseRows":
        """Mean over each run of samples: rows that several of them touch are added up."""
        weighted = self.values * (weight / size).to(self.values.dtype)[self.sample][:, None]
        keys, place = (self.sample // size * self.table + self.row).unique(return_inverse=True)
        zero = weighted.new_zeros(len(keys), weighted.shape[1])
        sizes = zero.index_add(0, place, weighted.abs())
        values = settled(zero.index_add(0, place, weighted), sizes, self.precision)
        return SparseRows(values, keys // self.table, keys % self.table, self.table, self.samples // size)
