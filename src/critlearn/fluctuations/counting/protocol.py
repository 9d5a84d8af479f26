"""Counters of fluctuations: one interface, two implementations, and the choice of the one that fits a device."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from critlearn.fluctuations.counting.cpu import CpuCounter
from critlearn.fluctuations.counting.torch import TensorCounter
from critlearn.numerics.log_sketch import LogSketch


@runtime_checkable
class Counter(Protocol):
    """Counts of ``ln|delta|`` by group and sign that grow as fluctuations come in.

    Rows are samples, or blocks of samples. ``scale`` (row,) is a logarithm that is added to every entry of a row;
    ``sample`` (row,) is the number of its sample, which belongs to group ``sample mod groups``.
    """

    @property
    def groups(self) -> int:
        """Number of groups of samples."""
        ...

    def add_outer(self, errors: Tensor, negative: Tensor, inputs: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count the products of ``exp(errors)`` (row, output), with signs, and ``inputs`` (row, input)."""
        ...

    def add_logs(self, logs: Tensor, negative: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given by ``ln|delta|`` and sign, shape (row, entry)."""
        ...

    def add_values(self, values: Tensor, scale: Tensor, sample: Tensor) -> None:
        """Count entries given as plain numbers, shape (row, entry); scales must be multiples of a bin's width."""
        ...

    def add_zeros(self, number: Tensor, sample: Tensor) -> None:
        """Count exact zeros: how many in each row, shape (row,)."""
        ...

    @property
    def size(self) -> int:
        """Number of counts in memory, of all groups, bins and signs."""
        ...

    def halve_groups(self) -> None:
        """Join group ``g`` and group ``g + groups / 2``, where the number of groups is even."""
        ...

    def sketch(self) -> LogSketch:
        """Sketch of what has been counted so far."""
        ...


def counter_for(device: torch.device, groups: int, *, exact: bool) -> Counter:
    """Counter for tensors on a device."""
    return CpuCounter(groups, exact=exact) if device.type == "cpu" else TensorCounter(groups, device)
