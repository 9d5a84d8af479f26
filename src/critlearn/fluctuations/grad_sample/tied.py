"""A variable that is used several times: its gradients are summed over the uses, before any absolute value."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from critlearn.fluctuations.grad_sample.protocol import Contribution, OuterProducts, Sums, Values, divisor, logs_of
from critlearn.fluctuations.grad_sample.sparse_rows import SparseRows
from critlearn.fluctuations.grad_sample.unfolded_products import UnfoldedProducts

_WRITTEN_OUT: Final = 32 << 20
"""Bytes of gradients that are written out at a time."""


def together(parts: list[tuple[Contribution, Tensor]]) -> tuple[Contribution, Tensor]:
    """Gradients summed over the uses, each given with its samples' units, and their common units."""
    if len(parts) == 1:
        return parts[0]
    unit = torch.stack([scale for _, scale in parts]).amax(dim=0)
    rescaled = [
        _rescaled(part, torch.nan_to_num((scale - unit).exp(), nan=0.0)) if not torch.equal(scale, unit) else part
        for part, scale in parts
    ]
    return _combined(rescaled), unit


def _rescaled(part: Contribution, factor: Tensor) -> Contribution:
    """A contribution with each sample's gradients multiplied by a factor."""
    if isinstance(part, OuterProducts):
        return replace(part, errors=part.errors * factor.to(part.errors.dtype)[:, None, None, None], log_errors=None)
    if isinstance(part, UnfoldedProducts):
        return replace(part, errors=part.errors * factor.to(part.errors.dtype)[:, None, None, None])
    if isinstance(part, SparseRows):
        return replace(part, values=part.values * factor.to(part.values.dtype)[part.sample][:, None])
    written = part.dense()
    return Values(written * factor.to(written.dtype)[:, None])


def _combined(uses: list[Contribution]) -> Contribution:
    """Gradients of a variable that is used several times."""
    if all(isinstance(use, OuterProducts) for use in uses):
        products = [use for use in uses if isinstance(use, OuterProducts)]
        return OuterProducts(
            torch.cat([use.errors for use in products], dim=2), torch.cat([use.inputs for use in products], dim=2)
        )
    return SumOfUses(tuple(uses))


@dataclass(frozen=True, eq=False)
class SumOfUses:
    """Gradients of a variable that layers of several kinds use, as a table of an embedding that is the output's weight.

    Written out for a whole batch they would be as many as its samples times the variables.

    Parameters
    ----------
    parts
        Gradients of each use, in common units.
    """

    parts: tuple[Contribution, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.parts[0].samples

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type, the coarsest of all uses."""
        return min((part.precision for part in self.parts), key=lambda precision: torch.finfo(precision).bits)

    @property
    def in_range(self) -> bool:
        """Whether plain numbers tell all."""
        return all(part.in_range for part in self.parts)

    def _pieces(self, device: torch.device) -> Iterator[tuple[Tensor, Values]]:
        """Numbers of samples, and their gradients written out."""
        every = torch.arange(self.samples, device=device)
        one = self.select(every[:1]).dense()
        run = max(1, _WRITTEN_OUT // max(1, one.numel() * one.element_size()))
        for rows in every.split(run):
            yield rows, Values(self.select(rows).dense())

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples."""
        for rows, piece in self._pieces(scale.device):
            piece.count(counter, scale[rows], sample[rows])

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        return sum((part.dense() for part in self.parts[1:]), self.parts[0].dense())

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        return sum((part.chosen(index) for part in self.parts[1:]), self.parts[0].chosen(index))

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of some entries."""
        return logs_of(self.chosen(index))

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of all entries."""
        return logs_of(self.dense())

    def moments(self, weight: Tensor) -> Sums:
        """Mean and spread over the samples, from sums over pieces: sizes, means and deviations one after the other."""
        first = next(self._pieces(weight.device))[1].values[0].double()
        peak, moved = torch.zeros_like(first), torch.zeros_like(first, dtype=torch.bool)
        for rows, piece in self._pieces(weight.device):
            peak = torch.maximum(peak, (piece.values.double() * weight[rows, None]).abs().amax(dim=0))
            moved |= (piece.values != 0).any(dim=0)
        mean, squares = torch.zeros_like(first), torch.zeros_like(first)
        for rows, piece in self._pieces(weight.device):
            mean += (piece.values.double() * weight[rows, None] / divisor(peak)).sum(dim=0) / self.samples
        for rows, piece in self._pieces(weight.device):
            squares += ((piece.values.double() * weight[rows, None] / divisor(peak) - mean) ** 2).sum(dim=0)
        return Sums(mean, squares, peak, moved)

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over the samples."""
        return torch.stack([part.weighted_sum(weight) for part in self.parts]).sum(dim=0)

    def select(self, samples: Tensor) -> "SumOfUses":
        """Gradients of some samples."""
        return SumOfUses(tuple(part.select(samples) for part in self.parts))

    def averaged(self, weight: Tensor, size: int) -> "SumOfUses":
        """Mean over each run of samples."""
        return SumOfUses(tuple(part.averaged(weight, size) for part in self.parts))
