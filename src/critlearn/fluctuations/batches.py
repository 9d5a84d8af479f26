"""Boundary states of a measurement, batch by batch: those of the system's data set, or of any loader."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.network.batches.model_inputs import Inputs, joined_states

_PART: Final = 0.1
"""Share of the memory that is advised for the least that a batch needs: errors, logarithms and counts come on top."""


class Batches:
    """Batches of whole mini-batches, in the order of the data set or of the loader.

    Parameters
    ----------
    system
        Network, loss and data set.
    loader
        Loader of batches of pairs ``(x, t)``, of any size, also of data without a length; None for the data set of the
        system.
    batch_size
        Samples in a batch, where there is no loader to decide.
    mini_batch
        Each batch has a multiple of so many samples; those left over at the end are not used.

    Raises
    ------
    InvalidInputError
        If there is no whole mini-batch.
    """

    def __init__(self, system: NeuralSystem, loader: DataLoader[Any] | None, batch_size: int, mini_batch: int) -> None:
        self._system, self._loader, self._mini_batch = system, loader, mini_batch
        self.batch_size = -(-batch_size // mini_batch) * mini_batch
        self.samples = self._usable_samples()
        self._gave_samples = False
        if self.samples == 0:
            what = "the data set" if loader is None else "the loader"
            raise InvalidInputError(f"{what} is empty, or does not fill one mini-batch of {mini_batch}")
        if loader is None and self.samples is not None:
            check_memory(system, min(self.batch_size, self.samples))

    @property
    def in_order(self) -> bool:
        """Whether every pass gives the same samples in the same order."""
        if self._loader is None:
            return True
        # A loader that was made with a sampler of batches has a sequential sampler as well, which it does not use.
        batches = self._loader.batch_sampler
        if batches is not None and type(batches) is not BatchSampler:
            return False
        sampler = self._loader.sampler if batches is None else batches.sampler
        return isinstance(sampler, SequentialSampler)

    def _usable_samples(self) -> int | None:
        """Number of samples in whole mini-batches; None for a loader of unknown length."""
        if self._loader is None:
            if not self._system.states.by_number:
                return None
            return len(self._system) // self._mini_batch * self._mini_batch
        try:
            batches, samples = len(self._loader), len(self._loader.sampler)  # type: ignore[arg-type]
        except TypeError:
            return None
        if self._loader.batch_size is None:
            # A sampler of batches decides how many samples each has.
            return None if batches else 0
        # The loader itself drops an incomplete last batch.
        if self._loader.drop_last:
            samples = batches * self._loader.batch_size
        return samples // self._mini_batch * self._mini_batch

    def first(self) -> tuple[Inputs, Tensor]:
        """The first batch."""
        return next(self.start_from(0))

    def start_from(self, start: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Batches from sample number ``start`` on.

        Raises
        ------
        InvalidInputError
            If a loader gives anything but pairs of tensors of the same length, or nothing at all.
        """
        if self._loader is None:
            pairs = self._system.boundary(self.batch_size, start=start)
        else:
            pairs = _after(self._pairs(self._loader), start)
        # A loader's batches need not be whole mini-batches: what is left of one goes before the next.
        left: tuple[Inputs, Tensor] | None = None
        found = False
        for pair in pairs:
            x, t = pair if left is None else joined_states([left, pair])
            kept = len(t) // self._mini_batch * self._mini_batch
            left = (x[kept:], t[kept:]) if kept < len(t) else None
            if kept:
                found = self._gave_samples = True
                yield x[:kept], t[:kept]
        if not found and not start and self._gave_samples:
            raise InvalidInputError(
                "the loader gave its samples in a first pass and none in a second, which removing the drift takes: "
                "give one that starts anew each time"
            )
        if not found and not start:
            raise InvalidInputError(f"the loader is empty, or does not fill one mini-batch of {self._mini_batch}")

    def _pairs(self, loader: DataLoader[Any]) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs and targets of a loader, on the network's device and in its precision."""
        for batch in loader:
            yield self._system.read(batch)


def _after(pairs: Iterator[tuple[Inputs, Tensor]], start: int) -> Iterator[tuple[Inputs, Tensor]]:
    """Pairs without the first ``start`` samples."""
    for x, t in pairs:
        if start < len(t):
            yield x[start:], t[start:]
        start = max(0, start - len(t))


def bytes_of_sample(system: NeuralSystem) -> int:
    """Bytes that a learning pass holds for each sample, at the least: output, and what a backward pass needs.

    Two samples are passed; 0 for a stream, which would not give them again.
    """
    if not system.states.by_number or not len(system):
        return 0
    x, t = system.chosen(system.scattered(2))
    weights = {value.untyped_storage().data_ptr() for value in (*system.model.parameters(), *system.model.buffers())}
    held: dict[int, int] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            # Views of one storage are held once.
            held[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        y, _ = system.forward(x, t)
        note(y)
    return sum(held.values()) // len(t)


def check_memory(system: NeuralSystem, batch_size: int) -> None:
    """Raise if a batch of so many samples needs more memory than there is.

    Raises
    ------
    InvalidInputError
        If it does: an operating system would end the process without a word.
    """
    needed, there = bytes_of_sample(system), memory_of(next(iter(system.parameters.values())).device)
    if needed * batch_size > there:
        raise InvalidInputError(
            f"a batch of {batch_size} samples takes at least {needed * batch_size / 2**30:.3g} GiB, and there are "
            f"{there / 2**30:.3g}: take batch_size={max(1, int(_PART * there / needed))} or less"
        )


def check_series(entries: int, samples: int) -> None:
    """Raise if exact series take more memory than there is: logarithms and signs in double, and again when joined."""
    needed, there = 32 * entries * samples, memory_of(torch.device("cpu"))
    if needed > there:
        raise InvalidInputError(
            f"series of {entries:,} entries over {samples:,} samples take {needed / 2**30:.3g} GiB, and there are "
            f"{there / 2**30:.3g}: keep fewer, by series=NUMBER"
        )


def memory_of(device: torch.device) -> float:
    """Bytes of memory of a device, or of this machine as far as the process may use it; infinite if unknown."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    limits = [math.inf]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    # A container is allowed less than its machine has; the file says "max" where there is no limit.
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limit for limit in limits if limit > 0)
