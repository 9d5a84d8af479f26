"""Per-sample gradients of one trainable variable, in the form in which its layer has them: mostly not written out.

All forms answer the same questions: count yourself, write yourself out, give a few entries, give sums over samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from critlearn.numerics.log_sketch import BIN_WIDTH

BUFFER_BYTES: Final = 4 << 20
"""Size of the piece of written-out gradients that is held at a time: it should stay in the processor's cache."""

_WHOLE: Final = 1e-9
"""Part of a bin by which the logarithm of a whole number of bins may be off by rounding."""

WRITTEN_OUT: Final = 1 << 22
"""Gradients up to which a batch is written out to take its moments."""


_ROUNDING: Final = 16
"""Spacings of numbers, relative to the sum of the terms' sizes, within which a sum is not known."""


def settled(total: Tensor, sizes: Tensor, precision: torch.dtype) -> Tensor:
    """Sums, with zero for those that cancel to within rounding; ``sizes`` are sums of the terms' sizes."""
    return torch.where(total.abs() < _ROUNDING * torch.finfo(precision).eps * sizes, 0.0, total)


@dataclass(frozen=True, eq=False)
class Sums:
    """Moments of each entry over samples, shape (variable,) each.

    Parameters
    ----------
    mean, squares
        Mean, and sum of squared deviations from it, in units of ``peak`` and its square.
    peak
        Bound of the entry's size: squares of entries far smaller than others would underflow in a common unit.
    moved
        Which entries are ever not zero.
    """

    mean: Tensor
    squares: Tensor
    peak: Tensor
    moved: Tensor


def sums_of(values: Tensor, weight: Tensor) -> Sums:
    """Moments of written-out gradients; deviations are formed before they are squared."""
    weighted = values.double() * weight[:, None]
    peak = weighted.abs().amax(dim=0)
    variance, mean = torch.var_mean(weighted / divisor(peak), dim=0, correction=0)
    return Sums(mean, variance * len(values), peak, (values != 0).any(dim=0))


def divisor(peak: Tensor) -> Tensor:
    """The same with 1 for 0."""
    return torch.where(peak > 0, peak, 1.0)


@runtime_checkable
class Contribution(Protocol):
    """Gradients of one trainable variable for each sample of a batch, without the samples' scales."""

    @property
    def samples(self) -> int:
        """Number of samples."""
        ...

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the gradients."""
        ...

    @property
    def in_range(self) -> bool:
        """Whether plain numbers tell all gradients, and their products with weights not too small."""
        ...

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count ``-exp(scale) * gradient`` of all samples; ``scale`` and the samples' numbers have shape (sample,)."""
        ...

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        ...

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        ...

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` of some entries and whether they are positive, shape (sample, entry) each.

        Where logarithms are known better than the gradients, they are used.
        """
        ...

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` of all entries and whether they are positive, shape (sample, variable) each."""
        ...

    def moments(self, weight: Tensor) -> "Sums":
        """Mean and spread over the samples of ``weight * gradient``; ``weight`` has shape (sample,)."""
        ...

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum of ``weight * gradient`` over the samples, shape (variable,), in double precision."""
        ...

    def select(self, samples: Tensor) -> "Contribution":
        """Gradients of some samples, given by their numbers."""
        ...

    def averaged(self, weight: Tensor, size: int) -> "Contribution":
        """Mean of ``weight * gradient`` over each run of ``size`` samples; their number is a multiple of it.

        A mean that cancels to within rounding is an exact zero.
        """
        ...


def logs_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of sizes, in double precision, and which are positive."""
    return values.double().abs().log(), values > 0


def in_range(logs: Tensor, precision: torch.dtype) -> bool:
    """Whether none of some logarithms is near the lower end of the range."""
    return bool(((logs > math.log(torch.finfo(precision).tiny) / 2) | torch.isneginf(logs)).all())


def _onto_grid(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Scales rounded down to whole bins, and the factor that makes up for it: exactly 1 for those that are whole."""
    bins = torch.nan_to_num(scale, neginf=0.0) / BIN_WIDTH
    whole = torch.where((bins - bins.round()).abs() < _WHOLE, bins.round(), bins.floor()) * BIN_WIDTH
    factor = torch.nan_to_num((scale - whole).exp(), nan=0.0)
    return whole, torch.where((factor - 1).abs() < _WHOLE, 1.0, factor)


@dataclass(frozen=True, eq=False)
class Values:
    """Gradients written out, for variables with few entries.

    Parameters
    ----------
    values
        Gradients.
    log_size
        ``ln|gradient|`` where it is known better than the values, which may have underflowed.
    """

    values: Float[Tensor, "sample variable"]
    log_size: Float[Tensor, "sample variable"] | None = None

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.values)

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type."""
        return self.values.dtype

    @property
    def in_range(self) -> bool:
        """Whether plain numbers tell all."""
        return self.log_size is None or in_range(self.log_size, self.precision)

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples."""
        if self.log_size is not None:
            counter.add_logs(self.log_size, self.values > 0, scale, sample)
            return
        whole, factor = _onto_grid(scale)
        counter.add_values(self.values * -factor.to(self.values.dtype)[:, None], whole, sample)

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        return self.values

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        return self.values[:, index]

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of some entries."""
        chosen = self.values[:, index]
        return logs_of(chosen) if self.log_size is None else (self.log_size[:, index].double(), chosen > 0)

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of all entries."""
        return logs_of(self.values) if self.log_size is None else (self.log_size.double(), self.values > 0)

    def units(self, number: int) -> Iterator["Values"]:
        """Gradients of the entries of one first index after the other, of which there are so many."""
        logs = None if self.log_size is None else self.log_size.reshape(self.samples, number, -1)
        for unit, values in enumerate(self.values.reshape(self.samples, number, -1).unbind(dim=1)):
            yield Values(values, None if logs is None else logs[:, unit])

    def moments(self, weight: Tensor) -> Sums:
        """Mean and spread over the samples."""
        return sums_of(self.values, weight)

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over the samples."""
        return weight @ self.values.double()

    def select(self, samples: Tensor) -> "Values":
        """Gradients of some samples."""
        return Values(self.values[samples], None if self.log_size is None else self.log_size[samples])

    def averaged(self, weight: Tensor, size: int) -> "Values":
        """Mean over each run of samples."""
        weighted = self.values * weight.to(self.values.dtype)[:, None]
        terms = weighted.reshape(-1, size, weighted.shape[1])
        return Values(settled(terms.mean(dim=1), terms.abs().mean(dim=1), self.precision))


@dataclass(frozen=True, eq=False)
class OuterProducts:
    """Gradients ``sum over places of error x input``: of a dense layer, or of a convolution of unfolded inputs.

    A dense layer without sequence dimensions has one place. Blocks are the groups of a grouped convolution: entry
    ``(block, output, input)`` of the variable, flattened in this order.

    Parameters
    ----------
    errors, inputs
        Output errors and inputs; inputs may be of a coarser type.
    log_errors
        ``ln|error|`` where it is known better than the errors; only for one place.
    settling
        Whether sums that cancel to within rounding count as zeros.
    """

    errors: Float[Tensor, "sample block place output"]
    inputs: Float[Tensor, "sample block place input"]
    log_errors: Float[Tensor, "sample block place output"] | None = None
    settling: bool = False

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
        return self.log_errors is None or in_range(self.log_errors, self.precision)

    @property
    def _single(self) -> bool:
        return self.errors.shape[2] == 1

    def count(self, counter: Any, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples, unwritten where there is one place."""
        blocks = self.errors.shape[1]
        row_scale, row_sample = scale.repeat_interleave(blocks), sample.repeat_interleave(blocks)
        if self._single:
            errors, inputs = self.errors.flatten(0, 2), self.inputs.flatten(0, 2)
            # Biases share these logarithms, so that they mostly are at hand.
            log_errors = errors.double().abs().log_() if self.log_errors is None else self.log_errors.flatten(0, 2)
            counter.add_outer(log_errors, errors > 0, inputs, row_scale, row_sample)
            return
        whole, factor = _onto_grid(scale)
        common = float(factor[0])
        if bool((factor == common).all()):
            scaled = self
        else:
            scaled, common = replace(self, errors=self.errors * factor.to(self.errors.dtype)[:, None, None, None]), 1.0
        done = 0
        for piece in scaled._pieces(-common):
            rows = slice(done, done + len(piece))
            counter.add_values(piece.flatten(1), whole.repeat_interleave(blocks)[rows], row_sample[rows])
            done += len(piece)

    def _pieces(self, factor: float) -> Iterator[Tensor]:
        """Gradients times a factor written out, some (sample, block) rows at a time, into one buffer."""
        errors, inputs = self.errors.flatten(0, 1), self.inputs.flatten(0, 1).to(self.errors.dtype)
        outputs, width = errors.shape[2], inputs.shape[2]
        rows = max(1, BUFFER_BYTES // (outputs * width * errors.element_size()))
        buffer = errors.new_empty(min(rows, len(errors)), outputs, width)
        for start in range(0, len(errors), rows):
            part, piece = errors[start : start + rows], buffer[: len(errors) - start]
            second = inputs[start : start + rows]
            torch.baddbmm(piece, part.transpose(1, 2), second, beta=0, alpha=factor, out=piece)
            if self.settling:
                sizes = abs(factor) * (part.abs().transpose(1, 2) @ second.abs())
                piece.copy_(settled(piece, sizes, self.precision))
            yield piece

    def dense(self) -> Tensor:
        """Gradients written out, shape (sample, variable)."""
        return torch.cat(list(self._copies())).reshape(self.samples, -1)

    def _copies(self) -> Iterator[Tensor]:
        """The pieces, each in memory of its own."""
        return (piece.clone() for piece in self._pieces(1.0))

    def chosen(self, index: Tensor) -> Tensor:
        """Gradients of some entries, shape (sample, entry)."""
        block, output, entry = self._places(index)
        terms = self.errors[:, block, :, output] * self.inputs[:, block, :, entry]
        total = terms.sum(dim=2)
        return (settled(total, terms.abs().sum(dim=2), self.precision) if self.settling else total).transpose(0, 1)

    def chosen_logs(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of some entries: the logarithms of error and input added, for one place."""
        if self.log_errors is None:
            return logs_of(self.chosen(index))
        block, output, entry = self._places(index)
        errors, inputs = self.errors[:, block, 0, output], self.inputs[:, block, 0, entry]
        return self.log_errors[:, block, 0, output].double() + inputs.double().abs().log(), (errors > 0) ^ (inputs < 0)

    def log_dense(self) -> tuple[Tensor, Tensor]:
        """``ln|gradient|`` and sign of all entries."""
        if self.log_errors is None or not self._single:
            return logs_of(self.dense())
        errors, inputs = self.errors[:, :, 0, :, None], self.inputs[:, :, 0, None, :]
        logs = self.log_errors[:, :, 0, :, None].double() + inputs.double().abs().log()
        return logs.flatten(1), ((errors > 0) ^ (inputs < 0)).flatten(1)

    def _places(self, index: Tensor) -> tuple[Tensor, ...]:
        """Block, output and input of some entries."""
        return torch.unravel_index(index, (self.errors.shape[1], self.errors.shape[3], self.inputs.shape[3]))

    def moments(self, weight: Tensor) -> Sums:
        """Mean and spread over the samples: for one place from three matrix products, if writing out is too much.

        There the mean square less the squared mean is formed: its rounding error, 1e-16 of the squared mean, is of no
        account unless the drift is a million times the fluctuation.
        """
        samples, variables = self.samples, self.errors[0, :, 0].numel() * self.inputs.shape[3]
        if samples * variables <= WRITTEN_OUT:
            return sums_of(self.dense(), weight)
        errors, inputs = self.errors.double() * weight[:, None, None, None], self.inputs.double()
        error_peak, input_peak = errors.abs().amax(dim=(0, 2)), inputs.abs().amax(dim=(0, 2))
        errors = errors / divisor(error_peak)[None, :, None, :]
        inputs = inputs / divisor(input_peak)[None, :, None, :]
        peak = (error_peak[:, :, None] * input_peak[:, None, :]).flatten()
        mean = torch.einsum("sbpo,sbpi->boi", errors, inputs).flatten() / samples
        if self._single:
            squares = torch.einsum("sbpo,sbpi->boi", errors**2, inputs**2).flatten()
            moved = torch.einsum("sbpo,sbpi->boi", (self.errors != 0).double(), (inputs != 0).double()).flatten() > 0
            return Sums(mean, (squares - samples * mean**2).clamp_(min=0), peak, moved)
        squares, moved = torch.zeros_like(mean), torch.zeros_like(mean, dtype=torch.bool)
        for sample in range(samples):
            gradient = torch.einsum("bpo,bpi->boi", errors[sample], inputs[sample]).flatten()
            squares += (gradient - mean) ** 2
            moved |= gradient != 0
        return Sums(mean, squares, peak, moved)

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over the samples: one matrix product for each block."""
        errors, inputs = self.errors.double() * weight[:, None, None, None], self.inputs.double()
        errors, inputs = (part.transpose(0, 1).flatten(1, 2) for part in (errors, inputs))
        return (errors.transpose(1, 2) @ inputs).flatten()

    def select(self, samples: Tensor) -> "OuterProducts":
        """Gradients of some samples."""
        logs = None if self.log_errors is None else self.log_errors[samples]
        return OuterProducts(self.errors[samples], self.inputs[samples], logs, self.settling)

    def averaged(self, weight: Tensor, size: int) -> "OuterProducts":
        """Mean over each run of samples: a sum over more places."""
        errors = self.errors * (weight / size).to(self.errors.dtype)[:, None, None, None]

        def joined(part: Tensor) -> Tensor:
            return part.reshape(-1, size, *part.shape[1:]).transpose(1, 2).flatten(2, 3)

        return OuterProducts(joined(errors), joined(self.inputs), settling=True)

    def units(self) -> Iterator["OuterProducts"]:
        """Gradients of the weights of one output unit after the other."""
        for block in range(self.errors.shape[1]):
            for output in range(self.errors.shape[3]):
                at = (slice(None), slice(block, block + 1), slice(None), slice(output, output + 1))
                logs = None if self.log_errors is None else self.log_errors[at]
                yield OuterProducts(self.errors[at], self.inputs[:, block : block + 1], logs, self.settling)
