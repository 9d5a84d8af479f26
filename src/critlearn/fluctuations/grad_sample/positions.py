"""Uses of layers taken apart by position: what each contributes to the gradient of its sample, a sequence."""

from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.network.backward.layer_use import LayerUse

_BY_POSITION: Final = (nn.Linear, nn.Embedding)
"""Layers of torch's that act on each position by itself, whatever their settings."""

_AGREEMENT: Final = 1e-3
"""Relative difference of outputs that is rounding, also in single precision; what mixes positions differs by 1."""


def use_by_positions(use: LayerUse, positions: int) -> LayerUse | None:
    """Use with every position of every sample as a sample of its own, of one position; None if there is none such.

    Parameters
    ----------
    use
        Use of a layer, with samples in the first and positions in the second dimension of its inputs and errors.
    positions
        Number of positions.
    """
    samples = len(use.log_scale)
    if len(use.errors) != 1 or use.errors[0].dim() < 3 or use.errors[0].shape[:2] != (samples, positions):
        return None

    def apart(value: Any) -> Any:
        if isinstance(value, Tensor) and value.shape[:2] == (samples, positions):
            return value.flatten(0, 1).unsqueeze(1)
        return value

    arguments, keywords = tree_map(apart, (use.arguments, use.keywords))
    before, _ = tree_flatten((use.arguments, use.keywords))
    # Every tensor has the positions: what all of them share might be a mask between them.
    if not all(value.shape[:2] == (samples, positions) for value in before if isinstance(value, Tensor)):
        return None
    if type(use.module) not in _BY_POSITION and not _acts_by_position(use, arguments, keywords):
        return None
    return replace(
        use,
        arguments=arguments,
        keywords=keywords,
        errors=(apart(use.errors[0]),),
        log_errors=None if use.log_errors is None else apart(use.log_errors),
        log_scale=use.log_scale.repeat_interleave(positions),
    )


@torch.no_grad()
def _acts_by_position(use: LayerUse, arguments: Any, keywords: Any) -> bool:
    """Whether a layer gives the same output for a position alone as among the others."""
    try:
        together, alone = use.module(*use.arguments, **use.keywords), use.module(*arguments, **keywords)
    except RAISED_BY_USER_CODE:
        return False
    if not isinstance(together, Tensor) or not isinstance(alone, Tensor) or together.numel() != alone.numel():
        return False
    difference = (together.reshape(alone.shape) - alone).abs().max()
    return bool(difference <= _AGREEMENT * together.abs().max())
