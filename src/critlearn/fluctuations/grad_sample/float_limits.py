"""Limits of floating-point numbers: sums that cancel, and gradients below the smallest number."""

import math

import torch
from torch import Tensor

from critlearn.fluctuations.criteria import CANCELLED


def zero_if_cancelled(total: Tensor, sizes: Tensor, precision: torch.dtype) -> Tensor:
    """Sums, with zero for those that cancel to within rounding; ``sizes`` are the sums of the terms' sizes."""
    return torch.where(total.abs() < CANCELLED * torch.finfo(precision).eps * sizes, 0.0, total)


def in_range(logs: Tensor, precision: torch.dtype) -> bool:
    """Whether no logarithm is near the lower end of the range: products of two such numbers do not underflow."""
    return bool(((logs > math.log(torch.finfo(precision).tiny) / 2) | torch.isneginf(logs)).all())


def never_zero(values: Tensor, logs: Tensor, sign: Tensor) -> Tensor:
    """Values of which those that have underflowed are the smallest normal number, with the given sign."""
    lost = (values == 0) & ~torch.isneginf(logs)
    if not bool(lost.any()):
        return values
    return torch.where(lost, sign.to(values.dtype) * torch.finfo(values.dtype).tiny, values)
