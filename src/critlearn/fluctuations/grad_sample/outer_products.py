"""Per-sample gradients that are outer products of output errors and inputs: of dense layers, also over sequences."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments, one_for_zero
from critlearn.fluctuations.grad_sample.float_limits import in_range, never_zero, zero_if_cancelled
from critlearn.fluctuations.grad_sample.materialised import whole_bins
from critlearn.fluctuations.grad_sample.protocol import WRITTEN_OUT, Entries, GradSample

BUFFER_BYTES: Final = 4 << 20
"""Size of the piece of written-out gradients that is held at a time: it should stay in the processor's cache."""

_TERMS: Final = 1 << 17
"""Terms of sums over places that are formed at a time: half a megabyte stays in the processor's cache."""

_WORTH_ALL: Final = 64
"""Variables for each chosen entry up to which all are formed and some of them taken: a product of matrices takes
a sixtieth of the time, for each entry, of sums of terms that are gathered from all over (2 to 130 measured)."""

_SMALLEST_SQUARES: Final = 1e-28
"""Sum of squares that single precision knows: a million terms below its smallest normal number, which may be lost, are
a ten-thousandth of it."""


@dataclass(frozen=True, eq=False)
class OuterProducts(GradSample):
    """Gradients ``sum over places of error x input``: of a dense layer, or of a convolution of unfolded inputs.

    A dense layer without sequence dimensions has one place. Blocks are the groups of a grouped convolution: entry
    ``(block, output, input)`` of the variable, flattened in this order.

    Parameters
    ----------
    errors, inputs
        Output errors and inputs; inputs may be of a coarser type.
    log_errors
        ``ln|error|`` where it is known better than the errors; only for one place.
    over_samples
        Whether places are those of several samples: a sum over them that cancels to within rounding is an exact zero.
    """

    errors: Float[Tensor, "sample block place output"]
    inputs: Float[Tensor, "sample block place input"]
    log_errors: Float[Tensor, "sample block place output"] | None = None
    over_samples: bool = False

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
        """Whether the errors are all normal numbers."""
        return self.log_errors is None or in_range(self.log_errors, self.precision)

    @property
    def _one_place(self) -> bool:
        return self.errors.shape[2] == 1

    def combined(self, samples: Tensor, weight: Tensor) -> "OuterProducts":
        """Linear combinations of samples: sums over the places of all their terms."""

        def joined(part: Tensor) -> Tensor:
            return part.transpose(1, 2).flatten(2, 3)

        errors, inputs = self.errors[samples] * weight[:, :, None, None, None], self.inputs[samples]
        if samples.shape[1] > 1:
            return OuterProducts(joined(errors), joined(inputs), over_samples=True)
        if self.log_errors is None:
            return OuterProducts(errors[:, 0], inputs[:, 0], None, self.over_samples)
        rows, factor = samples[:, 0], weight[:, :, None, None]
        logs = self.log_errors[rows].double() + factor.double().abs().log()
        errors = never_zero(errors[:, 0], logs, self.errors[rows].sign() * factor.sign())
        return OuterProducts(errors, inputs[:, 0], logs, self.over_samples)

    def entries(self, index: Tensor | None = None) -> Entries:
        """Gradients of some or all entries; in logarithms those of error and input are added."""
        if index is None:
            return Entries(self._written_out, None if self.log_errors is None else self._in_logarithms)
        shape = (self.errors.shape[1], self.errors.shape[3], self.inputs.shape[3])
        block, output, entry = torch.unravel_index(index, shape)

        def written_out() -> Tensor:
            variables, places = math.prod(shape), self.errors.shape[2]
            every = torch.arange(self.samples, device=index.device)
            if places > 1 and variables <= _WORTH_ALL * len(index):
                runs = every.split(max(1, WRITTEN_OUT // variables))
                return torch.cat([self.select(run).dense().index_select(1, index) for run in runs])
            runs = every.split(max(1, _TERMS // (places * max(1, len(index)))))
            return torch.cat([self._some(run, block, output, entry) for run in runs])

        if self.log_errors is None:
            return Entries(written_out)
        factors = (self.errors[:, block, 0, output], self.inputs[:, block, 0, entry])
        log_errors = self.log_errors[:, block, 0, output]
        return Entries(written_out, lambda: _product_logs(*factors, log_errors))

    def _some(self, rows: Tensor, block: Tensor, output: Tensor, entry: Tensor) -> Tensor:
        """Gradients of some entries for successive samples."""
        run = slice(int(rows[0]), int(rows[-1]) + 1)
        # One row for each place, in the order of the memory: gathering along rows takes a sixth of the time of
        # gathering in three dimensions.
        errors, inputs = (
            part[run].transpose(1, 2).flatten(0, 1).flatten(1).index_select(1, block * part.shape[3] + at)
            for part, at in ((self.errors, output), (self.inputs, entry))
        )
        terms = (errors * inputs).unflatten(0, (len(rows), -1))
        total = terms.sum(dim=1)
        if self.over_samples:
            total = zero_if_cancelled(total, terms.abs().sum(dim=1), self.precision)
        return total

    def _written_out(self) -> Tensor:
        if self.over_samples:
            return torch.cat([piece.clone() for piece in self._pieces(1.0)]).reshape(self.samples, -1)
        errors, inputs = self.errors.flatten(0, 1), self.inputs.flatten(0, 1).to(self.errors.dtype)
        return (errors.transpose(1, 2) @ inputs).reshape(self.samples, -1)

    def _in_logarithms(self) -> tuple[Tensor, Tensor]:
        assert self.log_errors is not None
        # An axis is inserted, not two exchanged, so that the sums come out in the order of the entries.
        errors, log_errors = self.errors[:, :, 0, :, None], self.log_errors[:, :, 0, :, None]
        logs, positive = _product_logs(errors, self.inputs, log_errors)
        return logs.flatten(1), positive.flatten(1)

    def count(self, counter: Counter, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples: from the factors' logarithms alone where there is one place."""
        blocks = self.errors.shape[1]
        row_scale, row_sample = scale.repeat_interleave(blocks), sample.repeat_interleave(blocks)
        if self._one_place:
            errors, inputs = self.errors.flatten(0, 2), self.inputs.flatten(0, 2)
            # Known already where the layer has a bias, which is counted from the same logarithms.
            log_errors = errors.double().abs().log_() if self.log_errors is None else self.log_errors.flatten(0, 2)
            # A change is minus the gradient: negative where the error is positive.
            counter.add_outer(log_errors, errors > 0, inputs, row_scale, row_sample)
            return
        whole, factor = whole_bins(scale)
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
            if self.over_samples:
                sizes = abs(factor) * (part.abs().transpose(1, 2) @ second.abs())
                piece.copy_(zero_if_cancelled(piece, sizes, self.precision))
            yield piece

    def units(self, number: int) -> Iterator["OuterProducts"]:
        """Gradients of the weights of each output unit."""
        for block in range(self.errors.shape[1]):
            for output in range(self.errors.shape[3]):
                unit = (slice(None), slice(block, block + 1), slice(None), slice(output, output + 1))
                logs = None if self.log_errors is None else self.log_errors[unit]
                yield OuterProducts(self.errors[unit], self.inputs[:, block : block + 1], logs, self.over_samples)

    def moments(self, weight: Tensor) -> EntryMoments:
        """Mean and spread over the samples: for one place from four matrix products, if writing out is too much.

        There the mean square less the squared mean is formed: its rounding error, 1e-7 of the squared mean, is of no
        account unless the drift is a thousand times the fluctuation.
        """
        if not self._one_place:
            return self.moments_of_entries(weight)
        if self.precision == torch.float32:
            found = self._moments_in_single(weight)
            if found is not None:
                return found
        variables = self.errors[0, :, 0].numel() * self.inputs.shape[3]
        if self.samples * variables <= WRITTEN_OUT:
            return self.moments_of_entries(weight)
        errors, inputs = self.errors[:, :, 0].double() * weight[:, None, None], self.inputs[:, :, 0].double()
        error_peak, input_peak = errors.abs().amax(dim=0), inputs.abs().amax(dim=0)
        # Each factor in units of its largest value: squares of small gradients would underflow otherwise.
        errors, inputs = errors / one_for_zero(error_peak), inputs / one_for_zero(input_peak)
        peak = (error_peak[:, :, None] * input_peak[:, None, :]).flatten()
        return _moments_of_products(errors, inputs, peak, _movers(errors, inputs))

    def _moments_in_single(self, weight: Tensor) -> EntryMoments | None:
        """Moments of gradients that are known in single precision; None if it does not hold the squares of all.

        All are in one unit, a power of 1024 so that the next batch is likely to have the same.
        """
        largest = float(self.inputs.abs().amax())
        unit = 1024.0 ** math.ceil(math.log(largest, 1024)) if 0 < largest < math.inf else 1.0
        inputs = (self.inputs[:, :, 0] / unit).float()
        errors = self.errors[:, :, 0] * weight[:, None, None].float()
        movers = _movers(self.errors[:, :, 0], inputs)
        peak = torch.full_like(movers, unit)
        found = _moments_of_products(errors, inputs, peak, movers)
        squares = found.squares + self.samples * found.mean**2
        return found if bool(((squares >= _SMALLEST_SQUARES) | (movers == 0)).all()) else None

    def projected(self, direction: Tensor) -> Tensor:
        """Sum of gradient times direction over the entries, for each sample: errors times the inputs' images."""
        weights = direction.reshape(self.errors.shape[1], self.errors.shape[3], self.inputs.shape[3])
        kind = self.precision if self._one_place else torch.float64
        through = torch.einsum("sbpi,boi->sbpo", self.inputs.to(kind), weights.to(kind))
        return (self.errors.double() * through).sum(dim=(1, 2, 3))

    def inner_products(self, weight: Tensor) -> Tensor:
        """Gram matrix of the samples: with one place the product of those of errors and inputs."""
        if not self._one_place:
            return self.inner_products_of_entries(weight)
        errors, inputs = (part[:, :, 0].double().transpose(0, 1) for part in (self.errors, self.inputs))
        errors = errors * weight[:, None]
        return ((errors @ errors.mT) * (inputs @ inputs.mT)).sum(dim=0)


def _moments_of_products(errors: Tensor, inputs: Tensor, peak: Tensor, movers: Tensor) -> EntryMoments:
    """Moments of the products of errors and inputs (sample, block, entry), from sums in the type of these."""
    samples = len(errors)
    mean = _summed(errors, inputs) / samples
    squares = _summed(errors**2, inputs**2).addcmul_(mean, mean, value=-samples)
    size = _summed(errors.abs(), inputs.abs()).div_(samples)
    return EntryMoments(mean, squares.clamp_(min=0), size, peak, movers, samples)


def _movers(errors: Tensor, inputs: Tensor) -> Tensor:
    """Number of samples for which an error and an input are both not zero."""
    moving, moved = errors != 0, inputs != 0
    # Where one of the two is never zero the other's count does: products take as long as those of the numbers.
    if bool(moving.all()) or bool(moved.all()):
        counts = torch.minimum(moving.sum(dim=0)[:, :, None], moved.sum(dim=0)[:, None, :])
        return counts.flatten().double()
    return _summed(moving.float(), moved.float())


def _summed(left: Tensor, right: Tensor) -> Tensor:
    """Sum of the samples' outer products, flat, in double precision."""
    return (left.permute(1, 2, 0) @ right.transpose(0, 1)).flatten().double()


def _product_logs(errors: Tensor, inputs: Tensor, log_errors: Tensor) -> tuple[Tensor, Tensor]:
    """``ln|error x input|``, and whether the product is positive: of no meaning where it is zero."""
    return log_errors.double() + inputs.double().abs().log(), (errors > 0) ^ (inputs < 0)
