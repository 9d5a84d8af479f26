"""Data sets that hold two tensors, of which batches are slices."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from critlearn.errors import InvalidInputError


def held_tensors(dataset: Any) -> tuple[Tensor, Tensor] | None:
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


def check_dense(tensor: Tensor) -> None:
    """Raise if a tensor is sparse, as torch cannot take single samples of it.

    Raises
    ------
    InvalidInputError
        If it is sparse.
    """
    if tensor.layout is not torch.strided:
        raise InvalidInputError(f"the data set must give dense tensors; got {tensor.layout}: use to_dense()")
