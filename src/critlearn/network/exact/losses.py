"""Losses that a ``forward`` computes itself, with output errors that do not cancel at large margins."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from critlearn.network.exact.softmax import exact_log_softmax


def exact_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of logits; `NotImplemented` for what has no small errors: smoothed labels and old arguments."""
    if label_smoothing > 0 or size_average is not None or reduce is not None or not isinstance(input, Tensor):
        return NotImplemented
    classes = 0 if input.dim() == 1 else 1
    logs = exact_log_softmax(input, classes)
    if not target.is_floating_point():
        return functional.nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
    if weight is not None:
        logs = logs * weight.reshape(-1, *[1] * (input.dim() - 1 - classes))
    values = -(logs * target).sum(classes)
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.sum() / max(1, values.numel())


def exact_logistic_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Any:
    """Binary cross-entropy of logits, each class by a log-sigmoid of its own: torch's forms ``1 - p`` for class 0."""
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    of_one = target * functional.logsigmoid(input)
    values = -((of_one if pos_weight is None else pos_weight * of_one) + (1 - target) * functional.logsigmoid(-input))
    values = values if weight is None else values * weight
    return _reduced(values, reduction)


def exact_probability_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Binary cross-entropy of probabilities, whose error is ``-1/p`` for class 1 also where p is rounded to 1.

    Torch has ``(p - t) / (p (1 - p))``, which is 0 there. A probability of exactly 0 for the true class has no loss: it
    is infinite.
    """
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    # A class without weight takes no part: its logarithm may be infinite.
    of_one = target * torch.where(target == 0, 1.0, input).log()
    of_zero = (1 - target) * torch.log1p(-torch.where(target == 1, 0.0, input))
    values = -(of_one + of_zero) if weight is None else -(of_one + of_zero) * weight
    return _reduced(values, reduction)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    """Losses of all outputs, their sum, or their mean."""
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else torch.mean(values)
