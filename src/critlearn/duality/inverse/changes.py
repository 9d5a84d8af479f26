"""Checks of the changes that a user passes to an inversion: names, shapes of one sample, finite values."""

from collections.abc import Mapping

import torch
from torch import Tensor

from critlearn.errors import InvalidInputError


def checked_changes(variables: Mapping[str, Tensor], dq: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], torch.dtype]:
    """Return the changes of one sample in double precision, and their original precision.

    Raises
    ------
    InvalidInputError
        If names or shapes are not those of the variables, or a change is not finite.
    """
    if not isinstance(dq, Mapping):
        raise InvalidInputError(f"dq must give a change for each name of a variable; got {type(dq).__name__}")
    if set(dq) != set(variables):
        odd = sorted(set(dq) ^ set(variables))
        raise InvalidInputError(f"dq needs exactly the trainable variables; differing: {', '.join(odd)}")
    changes: dict[str, Tensor] = {}
    precision = torch.float64
    for name, value in variables.items():
        change = dq[name]
        if not isinstance(change, Tensor):
            raise InvalidInputError(f'dq["{name}"] must be a tensor; got {type(change).__name__}')
        if change.shape == (1, *value.shape):
            change = change[0]
        if change.shape != value.shape:
            raise InvalidInputError(
                f'dq["{name}"] must have the shape {tuple(value.shape)} of one sample; got {tuple(change.shape)}'
            )
        if not bool(torch.isfinite(change).all()):
            raise InvalidInputError(f'dq["{name}"] is not finite')
        precision = torch.float32 if change.dtype != torch.float64 else precision
        changes[name] = change.detach().double()
    return changes, precision
