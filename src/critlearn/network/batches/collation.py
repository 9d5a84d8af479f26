"""Samples joined to a batch: tensors, numbers and lists of numbers, in tuples and dictionaries."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from critlearn.errors import RAISED_BY_USER_CODE, InvalidInputError, first_line
from critlearn.network.batches.model_inputs import IGNORED, LABELS, joined_tensors


def collated(samples: list[Any]) -> Any:
    """Join samples as torch's loaders do, and lists of numbers, as tokenisers give them, as if they were tensors.

    Entries of dictionaries that differ in length are padded at the end if there is an ``attention_mask``: targets by
    -100, all else by 0. Entries that are no numbers, such as texts, are left as lists.

    Raises
    ------
    InvalidInputError
        If the samples do not make one batch.
    """
    first = samples[0]
    if isinstance(first, Mapping):
        masked = "attention_mask" in first
        return {
            key: _column([sample[key] for sample in samples], (IGNORED if key in LABELS else 0) if masked else None)
            for key in first
            if all(key in sample for sample in samples)
        }
    if isinstance(first, tuple | list):
        if len({len(sample) for sample in samples}) != 1:
            raise InvalidInputError("samples of the data set have different numbers of parts")
        return tuple(collated(list(part)) for part in zip(*samples, strict=True))
    return _column(samples, None)


def _column(values: list[Any], padding: int | None) -> Any:
    """Join one entry of all samples."""
    first = values[0]
    if isinstance(first, str | bytes) or first is None:
        return values
    if isinstance(first, Mapping) or (isinstance(first, tuple | list) and not _numbers(first)):
        return collated(values)
    if isinstance(first, list | tuple):
        values = [torch.as_tensor(value) for value in values]
    try:
        if padding is not None and len({np.shape(value) for value in values}) > 1:
            return joined_tensors([torch.as_tensor(value)[None] for value in values], padding=padding)
        return default_collate(values)
    except RAISED_BY_USER_CODE as problem:
        raise InvalidInputError(
            f"samples of the data set do not make one tensor: {first_line(problem)}: give a DataLoader whose "
            "collate_fn pads them, or what gives ready batches each time that it is iterated over"
        ) from problem


def _numbers(value: Any) -> bool:
    """Whether a list or tuple is one of numbers, or of lists of numbers."""
    if isinstance(value, Tensor | np.ndarray | str | bytes | Mapping) or not isinstance(value, tuple | list):
        return False
    return len(value) > 0 and all(isinstance(part, int | float) or _numbers(part) for part in value)
