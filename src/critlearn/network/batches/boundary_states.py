"""Boundary states of a system: where its samples come from, by number or as a stream."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset

from critlearn.errors import InvalidInputError
from critlearn.network.batches.collation import collated
from critlearn.network.batches.held_tensors import held_tensors
from critlearn.network.batches.model_inputs import Inputs, joined_states
from critlearn.network.batches.reading import BatchReader

_STREAMED_AT_ONCE = 64
"""Samples joined to a raw batch where a stream gives single ones: torch's own loaders leave the number to the user."""


class BoundaryStates(ABC):
    """Samples of a system, read as inputs of its network and targets of its loss."""

    by_number = True
    """Whether a sample can be had by its number without reading all before it."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def batches(self, size: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Samples in order from number ``start`` on, so many at a time or fewer."""

    @abstractmethod
    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """All samples in a random order."""

    @abstractmethod
    def chosen(self, numbers: list[int]) -> tuple[Inputs, Tensor]:
        """Samples with these numbers as one batch."""

    def held(self) -> tuple[Inputs, Tensor] | None:
        """All samples as one batch, if they are in memory; otherwise None."""
        return None

    def first(self, most: int) -> tuple[Inputs, Tensor] | None:
        """The first samples; None if there are none."""
        return next(self.batches(most), None)


@final
class HeldStates(BoundaryStates):
    """Samples in memory.

    Parameters
    ----------
    x, t
        All of them.
    """

    def __init__(self, x: Inputs, t: Tensor) -> None:
        self.x, self.t = x, t

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.t)

    def batches(self, size: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Samples in order."""
        # Not `split`, which makes views of all batches at once: a million of them where two samples are wanted.
        for at in range(start, len(self), size):
            yield self.x[at : at + size], self.t[at : at + size]

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """All samples in a random order."""
        for rows in torch.randperm(len(self), generator=generator).to(self.t.device).split(size):
            yield self.x[rows], self.t[rows]

    def chosen(self, numbers: list[int]) -> tuple[Inputs, Tensor]:
        """Samples with these numbers."""
        return self.x[numbers], self.t[numbers]

    def held(self) -> tuple[Inputs, Tensor]:
        """All samples."""
        return self.x, self.t


@final
class NumberedStates(BoundaryStates):
    """Samples of a map-style data set, asked for by number.

    Parameters
    ----------
    dataset
        The data set.
    reader
        Reads a raw batch.
    collate
        Joins samples to a raw batch.
    """

    def __init__(self, dataset: Any, reader: BatchReader, collate: Callable[[list[Any]], Any] = collated) -> None:
        self._dataset, self._reader, self._collate = dataset, reader, collate

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def batches(self, size: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Samples in order."""
        rest = Subset(self._dataset, range(start, len(self))) if start else self._dataset
        return self._read(rest, size, None)

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """All samples in a random order."""
        return self._read(self._dataset, size, generator)

    def chosen(self, numbers: list[int]) -> tuple[Inputs, Tensor]:
        """Samples with these numbers."""
        return next(self._read(Subset(self._dataset, numbers), len(numbers), None))

    def _read(self, dataset: Any, size: int, shuffled_by: torch.Generator | None) -> Iterator[tuple[Inputs, Tensor]]:
        # A generator of its own where none is needed: a loader draws a seed, from torch's global state otherwise.
        generator = torch.Generator() if shuffled_by is None else shuffled_by
        shuffle = shuffled_by is not None
        loader = DataLoader(dataset, size, shuffle=shuffle, generator=generator, collate_fn=self._collate)
        return map(self._reader, loader)


@final
class StreamedStates(BoundaryStates):
    """Samples of whatever gives raw batches anew each time it is iterated over: nothing is kept of them.

    Parameters
    ----------
    raw_batches
        Gives raw batches of any size.
    reader
        Reads them.
    """

    by_number = False

    def __init__(self, raw_batches: Iterable[Any], reader: BatchReader) -> None:
        self._raw_batches, self._reader = raw_batches, reader

    @cached_property
    def _length(self) -> int:
        return sum(len(t) for _, t in self._batches())

    def __len__(self) -> int:
        """Number of samples, counted in a pass over all when it is first asked for."""
        return self._length

    def _batches(self) -> Iterator[tuple[Inputs, Tensor]]:
        return map(self._reader, self._raw_batches)

    def batches(self, size: int, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Samples in the order of the stream."""
        for x, t in self._batches():
            for at in range(start, len(t), size):
                yield x[at : at + size], t[at : at + size]
            start = max(0, start - len(t))

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """All samples in the order of the stream: it alone can give another one."""
        return self.batches(size)

    def chosen(self, numbers: list[int]) -> tuple[Inputs, Tensor]:
        """Samples with these numbers, picked out in a pass over all up to the last."""
        order, last = {number: place for place, number in enumerate(sorted(set(numbers)))}, max(numbers)
        parts, done = [], 0
        for x, t in self._batches():
            rows = [number - done for number in order if done <= number < done + len(t)]
            if rows:
                parts.append((x[rows], t[rows]))
            done += len(t)
            if done > last:
                break
        place = [order[number] for number in numbers]
        x, t = joined_states(parts)
        return x[place], t[place]


class _SampleBatches:
    """Raw batches of a stream of single samples."""

    def __init__(self, samples: Iterable[Any]) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[Any]:
        waiting: list[Any] = []
        for sample in self._samples:
            waiting.append(sample)
            if len(waiting) == _STREAMED_AT_ONCE:
                yield collated(waiting)
                waiting = []
        if waiting:
            yield collated(waiting)


def boundary_states(data: Any, reader: BatchReader) -> BoundaryStates:
    """Boundary states of a data set, of a loader, or of a stream.

    A loader of a map-style data set is its data set with its ``collate_fn``, so that samples have numbers; of samplers
    that leave out or repeat samples, those that it draws first are taken.

    Raises
    ------
    InvalidInputError
        If it is none of these, or can be read only once.
    """
    if isinstance(data, Mapping):
        raise InvalidInputError(
            f"the data set must have samples by number; got {type(data).__name__}: give TensorDataset(x, t), or a list "
            "of dictionaries, one for each sample"
        )
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset) and data.batch_size is not None:
        sampler = data.sampler
        whole = isinstance(sampler, SequentialSampler) or (
            isinstance(sampler, RandomSampler)
            and not sampler.replacement
            and sampler.num_samples == len(sampler.data_source)
        )
        dataset: Any = data.dataset if whole else Subset(data.dataset, list(sampler))
        return NumberedStates(dataset, reader, data.collate_fn)
    batched = isinstance(data, DataLoader) and isinstance(data.batch_sampler, Iterable)
    if batched and not isinstance(data.dataset, IterableDataset):
        # A sampler of batches, such as one that puts sequences of like lengths together.
        return NumberedStates(Subset(data.dataset, list(chain(*data.batch_sampler))), reader, data.collate_fn)
    if isinstance(data, IterableDataset):
        return StreamedStates(_SampleBatches(data), reader)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        held = held_tensors(data) if reader.function is None else None
        return NumberedStates(data, reader) if held is None or reader.shifted else HeldStates(*held)
    if not hasattr(data, "__iter__"):
        raise InvalidInputError(
            "the data set must be map-style, with a length and entries (x, t), or give batches when it is iterated "
            f"over; got {type(data).__name__}"
        )
    if iter(data) is data:
        raise InvalidInputError(
            f"the data set must start anew each time, as a DataLoader or a list does; got {type(data).__name__}, which "
            "gives its samples once"
        )
    return StreamedStates(data, reader)
