"""Pairs (x, t) of a data set: in batches, chosen, or all at once where the data set holds two tensors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line


def held_tensors(dataset: Dataset[Any]) -> tuple[Tensor, Tensor] | None:
    """All inputs and targets at once, of a `TensorDataset` of two that gives them as they are; None for any other.

    A subclass with methods of its own may change what it holds before it returns a sample.

    Raises
    ------
    InvalidInputError
        If a tensor is sparse.
    """
    if not isinstance(dataset, TensorDataset) or len(dataset.tensors) != 2:
        return None
    kind = type(dataset)
    asked = (kind.__getitem__, kind.__len__, getattr(kind, "__getitems__", None))
    plain = (TensorDataset.__getitem__, TensorDataset.__len__, getattr(TensorDataset, "__getitems__", None))
    if asked != plain:
        return None
    x, t = dataset.tensors
    check_dense(x)
    check_dense(t)
    return x, t


def in_type(value: Tensor, kind: torch.dtype) -> Tensor:
    """Inputs or targets in a floating-point type; classes and the like as they are."""
    return value.to(kind) if value.is_floating_point() else value


def check_dense(tensor: Tensor) -> None:
    """Refuse sparse tensors, of which torch takes no samples.

    Raises
    ------
    InvalidInputError
        If it is one.
    """
    if tensor.layout is not torch.strided:
        raise InvalidInputError(f"the data set must give dense tensors; got {tensor.layout}: use to_dense()")


def read_pairs(
    dataset: Dataset[Any], batch_size: int, *, shuffled_by: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a data set's pairs, in its order or in one drawn at random.

    Raises
    ------
    InvalidInputError
        If the data set gives anything but pairs that make tensors.
    """
    shuffle = shuffled_by is not None
    loader = DataLoader(dataset, batch_size, shuffle=shuffle, generator=shuffled_by, collate_fn=_collated)
    yield from loader


def chosen_pairs(dataset: Dataset[Any], numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Inputs and targets of the samples of the given numbers, in one batch.

    Raises
    ------
    InvalidInputError
        If the data set gives anything but pairs that make tensors.
    """
    return next(read_pairs(Subset(dataset, numbers), len(numbers)))


def _collated(samples: list[Any]) -> tuple[Tensor, Tensor]:
    """Samples joined to tensors of inputs and of targets."""
    for sample in samples:
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            number = f" of {len(sample)}" if isinstance(sample, tuple | list | dict) else ""
            raise InvalidInputError(
                f"the data set must give pairs (x, t); got {type(sample).__name__}{number}: wrap it in a Dataset whose "
                "__getitem__ returns x, t"
            )
    try:
        x, t = default_collate(samples)
    except (RuntimeError, TypeError) as problem:
        reason = first_line(problem)
        raise InvalidInputError(f"samples of the data set do not make one tensor: {reason}") from problem
    for part, what in ((x, "inputs"), (t, "targets")):
        if not isinstance(part, Tensor):
            raise InvalidInputError(f"{what} of the data set must be tensors or numbers; got {type(part).__name__}")
    return x, t
