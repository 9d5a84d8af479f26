"""Boundary states of a measurement, batch by batch: those of the system's data set, or of any loader."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.network.batches.model_inputs import Inputs, joined_states


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
