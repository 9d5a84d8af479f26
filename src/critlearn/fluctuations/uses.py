"""A variable that is used several times: its gradients are summed over the uses, before any absolute value."""

from dataclasses import replace

import torch
from torch import Tensor

from critlearn.fluctuations.contribution import Contribution, OuterProducts, Values
from critlearn.fluctuations.sparse_rows import SparseRows


def together(parts: list[tuple[Contribution, Tensor]]) -> tuple[Contribution, Tensor]:
    """Gradients summed over the uses, each given with its samples' units, and their common units."""
    if len(parts) == 1:
        return parts[0]
    unit = torch.stack([scale for _, scale in parts]).amax(dim=0)
    rescaled = [
        _rescaled(part, torch.nan_to_num((scale - unit).exp(), nan=0.0)) if not torch.equal(scale, unit) else part
        for part, scale in parts
    ]
    return _combined(rescaled), unit


def _rescaled(part: Contribution, factor: Tensor) -> Contribution:
    """A contribution with each sample's gradients multiplied by a factor."""
    if isinstance(part, OuterProducts):
        return replace(part, errors=part.errors * factor.to(part.errors.dtype)[:, None, None, None], log_errors=None)
    if isinstance(part, SparseRows):
        return replace(part, values=part.values * factor.to(part.values.dtype)[part.sample][:, None])
    written = part.dense()
    return Values(written * factor.to(written.dtype)[:, None])


def _combined(uses: list[Contribution]) -> Contribution:
    """Gradients of a variable that is used several times: summed over the uses, before any absolute value."""
    if len(uses) == 1:
        return uses[0]
    if all(isinstance(use, OuterProducts) for use in uses):
        products = [use for use in uses if isinstance(use, OuterProducts)]
        return OuterProducts(
            torch.cat([use.errors for use in products], dim=2), torch.cat([use.inputs for use in products], dim=2)
        )
    total = uses[0].dense()
    for use in uses[1:]:
        total = total + use.dense()
    return Values(total)
