"""Per-sample gradients of one trainable variable, in the form in which its layer has them: mostly not written out.

A form is a class with seven primitives (`GradSample.combined`, `entries`, `count`, `moments`, `projected`,
`inner_products`, `units`); all else that the engine asks for is derived from them here, once for all forms.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.network.batches.model_inputs import Inputs

WRITTEN_OUT: Final = 1 << 22
"""Gradients that are written out at a time (32 MiB) where a form has nothing cheaper: many enough that the time of a
call does not count, few enough that a layer of any width fits into memory."""

_SUMMED: Final = 64
"""Samples whose terms are joined at a time for a weighted sum: their unfolded inputs are held in double precision."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Gradients of some entries of a variable for all samples of a batch, written out when they are asked for.

    Parameters
    ----------
    written_out
        Gives the gradients.
    in_logarithms
        Gives ``ln|gradient|`` and whether the gradient is positive, where these are known better than the gradients.
    """

    written_out: Callable[[], Tensor]
    in_logarithms: Callable[[], tuple[Tensor, Tensor]] | None = None

    @property
    def values(self) -> Float[Tensor, "sample entry"]:
        """Gradients; those below the smallest number read as zero, or as the smallest number."""
        return self.written_out()

    def logs(self) -> tuple[Float64[Tensor, "sample entry"], Bool[Tensor, "sample entry"]]:
        """``ln|gradient|``, minus infinity for an exact zero, and whether a gradient that is not zero is positive."""
        if self.in_logarithms is not None:
            return self.in_logarithms()
        values = self.written_out()
        return values.double().abs().log(), values > 0


class GradSample(ABC):
    """Gradients of one trainable variable for each sample of a batch, in units of each sample's scale.

    Subclasses give three facts and seven primitives. `entries` would do for all of them, but for a dense layer 784-128
    and 256 samples it is slower by a factor of 190 to count (0.46 s and 0.0024 s), 200 to take moments, 48 to average
    32 samples, and 3 to count units apart.
    """

    @property
    @abstractmethod
    def samples(self) -> int:
        """Number of samples."""

    @property
    @abstractmethod
    def precision(self) -> torch.dtype:
        """Floating-point type of the gradients."""

    @property
    @abstractmethod
    def in_range(self) -> bool:
        """Whether all gradients, and their products with weights not too small, are normal floating-point numbers."""

    @abstractmethod
    def combined(self, samples: Int64[Tensor, "row term"], weight: Float[Tensor, "row term"]) -> "GradSample":
        """Linear combinations of samples: row r is the sum over j of ``weight[r, j]`` times sample ``samples[r, j]``.

        They have the finer floating-point type of gradients and weights. A sum of several terms that cancels to within
        rounding is an exact zero.
        """

    @abstractmethod
    def entries(self, index: Int64[Tensor, " entry"] | None = None) -> Entries:
        """Gradients of the entries with these flat indices, or of all entries, written out."""

    @abstractmethod
    def count(self, counter: Counter, scale: Float64[Tensor, " sample"], sample: Int64[Tensor, " sample"]) -> None:
        """Count ``-exp(scale) * gradient`` of all entries; ``sample`` are the numbers of the samples."""

    @abstractmethod
    def moments(self, weight: Float64[Tensor, " sample"]) -> EntryMoments:
        """Mean and spread over the samples of ``weight * gradient``."""

    @abstractmethod
    def projected(self, direction: Float64[Tensor, " variable"]) -> Float64[Tensor, " sample"]:
        """Sum over all entries of gradient times ``direction``, for each sample."""

    @abstractmethod
    def inner_products(self, weight: Float64[Tensor, " sample"]) -> Float64[Tensor, "sample sample"]:
        """Inner products of ``weight * gradient`` of every two samples: their Gram matrix."""

    @abstractmethod
    def units(self, number: int) -> Iterator["GradSample"]:
        """Gradients of the entries of each output unit, the first index of the variable, of which there are so many."""

    @final
    def select(self, samples: Int64[Tensor, " row"]) -> "GradSample":
        """Gradients of the samples with these positions in the batch."""
        return self.combined(samples[:, None], torch.ones_like(samples, dtype=self.precision)[:, None])

    @final
    def scaled(self, factor: Float64[Tensor, " sample"]) -> "GradSample":
        """Each sample's gradients times its factor."""
        every = torch.arange(self.samples, device=factor.device)
        return self.combined(every[:, None], factor.to(self.precision)[:, None])

    @final
    def averaged(self, weight: Float64[Tensor, " sample"], size: int) -> "GradSample":
        """Means of ``weight * gradient`` over successive runs of ``size`` samples."""
        every = torch.arange(self.samples, device=weight.device)
        return self.combined(every.reshape(-1, size), (weight / size).to(self.precision).reshape(-1, size))

    @final
    def weighted_sum(self, weight: Float64[Tensor, " sample"]) -> Float64[Tensor, " variable"]:
        """Sum of ``weight * gradient`` over all samples, in double precision."""
        every = torch.arange(self.samples, device=weight.device)
        # Weights in double precision: combinations have the finer of the two types.
        return torch.stack(
            [self.combined(rows[None], weight[rows][None]).dense()[0] for rows in every.split(_SUMMED)]
        ).sum(dim=0)

    @final
    def dense(self) -> Float[Tensor, "sample variable"]:
        """All gradients written out."""
        return self.entries().values

    @final
    def runs(self, most: int, device: torch.device, *, multiple: int = 1) -> Iterator[Int64[Tensor, " row"]]:
        """Positions of successive samples that have about ``most`` gradients together, a multiple of so many samples.

        At least that multiple, however many gradients these have.
        """
        every = torch.arange(self.samples, device=device)
        yield from every.split(max(1, most // (self._variables(device) * multiple)) * multiple)

    @final
    def moments_of_entries(self, weight: Float64[Tensor, " sample"]) -> EntryMoments:
        """Mean and spread over the samples from gradients written out: for forms that have no cheaper way."""
        parts = (
            EntryMoments.of(self.select(rows).dense(), weight[rows]) for rows in self.runs(WRITTEN_OUT, weight.device)
        )
        total = next(parts)
        for part in parts:
            total = total.merged(part)
        return total

    @final
    def projected_entries(self, direction: Float64[Tensor, " variable"]) -> Float64[Tensor, " sample"]:
        """Projections from gradients written out: for forms that have no cheaper way."""
        runs = self.runs(WRITTEN_OUT, direction.device)
        return torch.cat([self.select(rows).dense().double() @ direction for rows in runs])

    @final
    def inner_products_of_entries(self, weight: Float64[Tensor, " sample"]) -> Float64[Tensor, "sample sample"]:
        """Gram matrix from gradients written out, for some entries at a time and all samples."""
        total = torch.zeros(self.samples, self.samples, dtype=torch.float64, device=weight.device)
        every = torch.arange(self._variables(weight.device), device=weight.device)
        for index in every.split(max(1, WRITTEN_OUT // self.samples)):
            values = self.entries(index).values.double() * weight[:, None]
            total += values @ values.T
        return total

    @final
    def _variables(self, device: torch.device) -> int:
        """Number of entries of the variable."""
        return self.select(torch.zeros(1, dtype=torch.int64, device=device)).dense().shape[1]


@dataclass(frozen=True, eq=False)
class VariableGradients:
    """Gradients ``exp(log_scale) * grad_sample`` of one trainable variable for the samples of a batch.

    Parameters
    ----------
    name
        Name of the variable.
    grad_sample
        The gradients in units of each sample's scale.
    log_scale
        Logarithms of the units, shape (sample,).
    start
        Position of the first sample in the batch: written-out gradients come in pieces.
    positions
        Rows of gradients for each sample: its positions, where their contributions are told apart.
    """

    name: str
    grad_sample: GradSample
    log_scale: Tensor
    start: int = 0
    positions: int = 1


@runtime_checkable
class GradientSource(Protocol):
    """Source of the gradients of single samples, batch by batch: of all entries of each variable, or of some."""

    sizes: Mapping[str, int]
    """Number of entries of each variable."""

    def batch(self, x: Inputs, t: Tensor, *, first: int = 0) -> Iterator[VariableGradients]:
        """Gradients for a batch of boundary states, of which the first has this number."""
        ...
