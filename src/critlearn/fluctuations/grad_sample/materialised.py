"""Per-sample gradients written out, for variables with few entries and for layers without a cheaper form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.fluctuations.grad_sample.entry_moments import EntryMoments
from critlearn.fluctuations.grad_sample.float_limits import in_range, never_zero, zero_if_cancelled
from critlearn.fluctuations.grad_sample.protocol import Entries, GradSample
from critlearn.numerics.log_sketch import BIN_WIDTH

_WHOLE: Final = 1e-9
"""Part of a bin by which the logarithm of a whole number of bins may be off by rounding."""


@dataclass(frozen=True, eq=False)
class Materialised(GradSample):
    """Gradients written out.

    Parameters
    ----------
    values
        Gradients. One that is too small for its type is the smallest normal number with its sign where its logarithm
        is known: only an exact zero is zero.
    log_size
        ``ln|gradient|`` where it is known better than the values.
    """

    values: Float[Tensor, "sample variable"]
    log_size: Float[Tensor, "sample variable"] | None = None

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.values)

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the gradients."""
        return self.values.dtype

    @property
    def in_range(self) -> bool:
        """Whether the values are all normal numbers."""
        return self.log_size is None or in_range(self.log_size, self.precision)

    def combined(self, samples: Tensor, weight: Tensor) -> "Materialised":
        """Linear combinations of samples."""
        terms = self.values[samples] * weight[:, :, None]
        if samples.shape[1] > 1:
            total = terms.sum(dim=1)
            return Materialised(zero_if_cancelled(total, terms.abs().sum(dim=1), total.dtype))
        values, rows = terms[:, 0], samples[:, 0]
        if self.log_size is None:
            return Materialised(values)
        logs = self.log_size[rows].double() + weight.double().abs().log()
        return Materialised(never_zero(values, logs, self.values[rows].sign() * weight.sign()), logs)

    def entries(self, index: Tensor | None = None) -> Entries:
        """Gradients of some or all entries."""
        values = self.values if index is None else self.values[:, index]
        if self.log_size is None:
            return Entries(lambda: values)
        logs = self.log_size if index is None else self.log_size[:, index]
        return Entries(lambda: values, lambda: (logs.double(), values > 0))

    def count(self, counter: Counter, scale: Tensor, sample: Tensor) -> None:
        """Count the changes of all samples, by their logarithms where these are known."""
        if self.log_size is not None:
            counter.add_logs(self.log_size, self.values > 0, scale, sample)
            return
        whole, factor = whole_bins(scale)
        # A change is minus the gradient.
        counter.add_values(self.values * -factor.to(self.values.dtype)[:, None], whole, sample)

    def moments(self, weight: Tensor) -> EntryMoments:
        """Mean and spread over the samples."""
        return EntryMoments.of(self.values, weight)

    def projected(self, direction: Tensor) -> Tensor:
        """Sum of gradient times direction over the entries, for each sample."""
        return self.values.double() @ direction

    def inner_products(self, weight: Tensor) -> Tensor:
        """Gram matrix of the samples."""
        return self.inner_products_of_entries(weight)

    def units(self, number: int) -> Iterator["Materialised"]:
        """Gradients of the entries of each output unit."""
        logs = None if self.log_size is None else self.log_size.unflatten(1, (number, -1))
        for unit, values in enumerate(self.values.unflatten(1, (number, -1)).unbind(dim=1)):
            yield Materialised(values, None if logs is None else logs[:, unit])


def whole_bins(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Scales rounded down to whole bins, and the factor that makes up for it: exactly 1 for those that are whole."""
    bins = torch.nan_to_num(scale, neginf=0.0) / BIN_WIDTH
    whole = torch.where((bins - bins.round()).abs() < _WHOLE, bins.round(), bins.floor()) * BIN_WIDTH
    factor = torch.nan_to_num((scale - whole).exp(), nan=0.0)
    return whole, torch.where((factor - 1).abs() < _WHOLE, 1.0, factor)
