"""Reading pairs (x, t) from a data set: in batches, by number, or all at once from a data set of two tensors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line


def held_tensors(dataset: Dataset[Any]) -> tuple[Tensor, Tensor] | None:
    """All inputs and targets of a plain `TensorDataset` of two tensors; None for any other data set.

    A subclass that overrides how samples are read may change them, so its tensors are not used directly.

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
    """Convert inputs or targets to a floating-point type; integers such as class indices are kept."""
    return value.to(kind) if value.is_floating_point() else value


def check_dense(tensor: Tensor) -> None:
    """Raise if a tensor is sparse, as torch cannot take single samples of it.

    Raises
    ------
    InvalidInputError
        If it is sparse.
    """
    if tensor.layout is not torch.strided:
        raise InvalidInputError(f"the data set must give dense tensors; got {tensor.layout}: use to_dense()")


def read_pairs(
    dataset: Dataset[Any], batch_size: int, *, shuffled_by: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read the pairs of a data set in batches, in its order or in a random one.

    Raises
    ------
    InvalidInputError
        If the data set gives anything but pairs that make tensors.
    """
    # A generator of its own where none is needed: a loader draws a seed, from torch's global state if it has no other.
    generator = torch.Generator() if shuffled_by is None else shuffled_by
    shuffle = shuffled_by is not None
    loader = DataLoader(dataset, batch_size, shuffle=shuffle, generator=generator, collate_fn=_collated)
    yield from loader


def chosen_pairs(dataset: Dataset[Any], numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Read the samples with these numbers as one batch of inputs and targets.

    Raises
    ------
    InvalidInputError
        If the data set gives anything but pairs that make tensors.
    """
    return next(read_pairs(Subset(dataset, numbers), len(numbers)))


def _collated(samples: list[Any]) -> tuple[Tensor, Tensor]:
    """Join samples to one tensor of inputs and one of targets."""
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
