"""Counts of the same changes with other sizes of the samples' errors: what a change would be, had that been so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from critlearn.fluctuations.counting.protocol import Counter
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch


@dataclass(frozen=True, eq=False)
class RescaledCounter:
    """Counter of changes and, beside them, of the same changes with each sample's multiplied by a factor of its own.

    A learning pass is linear in the output errors, and the logarithm of their size is kept apart: other sizes shift the
    bins in which the same gradients are counted, and take no pass.

    Parameters
    ----------
    changes
        Counter of the changes as they are.
    rescaled
        By name, counters of the rescaled ones.
    log_factors
        By name, the logarithm of each sample's factor; a sample without any error stays without.
    """

    changes: Counter
    rescaled: Mapping[str, Counter]
    log_factors: Mapping[str, Tensor]

    @property
    def groups(self) -> int:
        """Number of groups of samples."""
        return self.changes.groups

    def add_outer(self, errors: Tensor, negative: Tensor, inputs: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count products, as `Counter` says."""
        self._add(lambda counter, scale: counter.add_outer(errors, negative, inputs, scale, sample), scale, sample)

    def add_logs(self, logs: Tensor, negative: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given by logarithm and sign, as `Counter` says."""
        self._add(lambda counter, scale: counter.add_logs(logs, negative, scale, sample), scale, sample)

    def add_values(self, values: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given as plain numbers, as `Counter` says: factors are rounded to whole bins.

        A rescaled change is one bin off at most; right on the average, too, if the caller has dithered the factors.
        """
        self._add(lambda counter, scale: counter.add_values(values, scale, sample), scale, sample, whole=True)

    def add_zeros(self, number: Tensor, sample: Tensor) -> None:
        """Count exact zeros, which no factor changes."""
        for counter in (self.changes, *self.rescaled.values()):
            counter.add_zeros(number, sample)

    @property
    def size(self) -> int:
        """Number of counts in memory, of changes and rescaled ones."""
        return self.changes.size + sum(counter.size for counter in self.rescaled.values())

    def halve_groups(self) -> None:
        """Join groups, as `Counter` says."""
        for counter in (self.changes, *self.rescaled.values()):
            counter.halve_groups()

    def sketch(self) -> LogSketch:
        """Sketch of the changes as they are."""
        return self.changes.sketch()

    def _add(
        self, count: Callable[[Counter, Tensor], None], scale: Tensor, sample: Tensor, *, whole: bool = False
    ) -> None:
        """Count with the scales as they are and, beside, with each sample's factor added to them."""
        count(self.changes, scale)
        for name, counter in self.rescaled.items():
            factor = self.log_factors[name][sample]
            if whole:
                factor = (factor / BIN_WIDTH + 0.5).floor() * BIN_WIDTH
            count(counter, scale + factor)
