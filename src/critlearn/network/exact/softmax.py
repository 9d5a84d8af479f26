"""Softmax and log-softmax whose backward passes keep the complement ``1 - p`` of a probability that is all but 1."""

from typing import Any, Final

import torch
from torch import Tensor, nn

_CERTAIN: Final = 0.9
"""Probability below which torch's own backward pass is taken: ``1 - p`` then loses no more than one digit."""


def softmax_errors(probabilities: Tensor, errors: Tensor, dim: int) -> Tensor:
    """Errors at the input of a softmax: ``p_i sum_j p_j (e_i - e_j)``, which equals ``p_i (e_i - sum_j p_j e_j)``.

    Errors are taken relative to that of the largest probability, whose own error then is a sum over the others: the
    complement of a probability is never formed. As the matrix of derivatives is symmetric, tangents are passed forward
    in the same way.
    """
    if _nowhere_certain(probabilities):
        return torch._softmax_backward_data(errors, probabilities, dim, probabilities.dtype)
    if dim in (-1, probabilities.dim() - 1) and not _mapped(probabilities) and not torch.is_grad_enabled():
        # Few rows are certain, such as the first ones of a causal mask.
        found = torch._softmax_backward_data(errors, probabilities, dim, probabilities.dtype)
        certain = probabilities.amax(dim) >= _CERTAIN
        found[certain] = _relative_errors(probabilities[certain], errors[certain], -1)
        return found
    return _relative_errors(probabilities, errors, dim)


def _relative_errors(probabilities: Tensor, errors: Tensor, dim: int) -> Tensor:
    """Errors at the input of a softmax from errors relative to that of the largest probability."""
    relative = errors - errors.gather(dim, probabilities.detach().argmax(dim, keepdim=True))
    return probabilities * (relative - (probabilities * relative).sum(dim, keepdim=True))


def log_softmax_errors(logs: Tensor, errors: Tensor, dim: int) -> Tensor:
    """Errors at the input of a log-softmax: ``e_i (1 - p_i) - p_i sum_(j != i) e_j``.

    Parameters
    ----------
    logs
        Logarithms of the probabilities; that of the largest must be exact also where it is all but 0.
    """
    place, largest = _largest(logs, dim)
    probabilities = logs.exp()
    others = errors.masked_fill(largest, 0.0).sum(dim, keepdim=True)
    leading = errors.gather(dim, place)
    of_largest = leading * -torch.expm1(logs.gather(dim, place)) - probabilities.gather(dim, place) * others
    # Probabilities of the other classes are 1/2 at most, so that nothing cancels in their complements.
    return torch.where(largest, of_largest, errors - probabilities * (others + leading))


def _largest(values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Place of the first of the largest values along a dimension, and a mask that is True there."""
    place = values.detach().argmax(dim, keepdim=True)
    return place, torch.zeros_like(values, dtype=torch.bool).scatter(dim, place, True)


def _nowhere_certain(probabilities: Tensor) -> bool:
    try:
        return probabilities.numel() > 0 and float(probabilities.detach().amax()) < _CERTAIN
    except RuntimeError:
        # Under torch.func.vmap no number can be looked at.
        return False


def _mapped(values: Tensor) -> bool:
    """Whether ``torch.func.vmap`` maps over the numbers, which cannot be picked out one by one then."""
    return torch._C._functorch.is_batchedtensor(values)


class _AlongDimension(torch.autograd.Function):
    """Function along a dimension whose derivatives follow from its output."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)


class _ExactSoftmax(_AlongDimension):
    """Softmax with the backward pass of `softmax_errors`."""

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        return torch.softmax(x, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (probabilities,) = ctx.saved_tensors
        return softmax_errors(probabilities, gradients[0], ctx.dim), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (probabilities,) = ctx.saved_tensors
        return softmax_errors(probabilities, tangents[0], ctx.dim)


class _ExactLogSoftmax(_AlongDimension):
    """Log-softmax with the backward pass of `log_softmax_errors`."""

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        place, largest = _largest(x, dim)
        # Relative to the largest logit, whose own probability is 1 less a sum over the others.
        relative = x - x.gather(dim, place)
        return relative - relative.exp().masked_fill(largest, 0.0).sum(dim, keepdim=True).log1p()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (logs,) = ctx.saved_tensors
        return log_softmax_errors(logs, gradients[0], ctx.dim), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (logs,) = ctx.saved_tensors
        place, largest = _largest(logs, ctx.dim)
        relative = (tangents[0] - tangents[0].gather(ctx.dim, place)).masked_fill(largest, 0.0)
        return relative - (logs.exp() * relative).sum(ctx.dim, keepdim=True)


def exact_softmax(x: Tensor, dim: int) -> Tensor:
    """``exp(x) / sum(exp(x))`` along a dimension."""
    return torch.softmax(x, dim) if x.dim() == 0 else _ExactSoftmax.apply(x, dim)


def exact_log_softmax(x: Tensor, dim: int) -> Tensor:
    """``x - ln(sum(exp(x)))`` along a dimension, exact also where it is all but 0."""
    return torch.log_softmax(x, dim) if x.dim() == 0 else _ExactLogSoftmax.apply(x, dim)


class ExactSoftmax(nn.Module):
    """Softmax with an exact backward pass, in place of ``nn.Softmax``.

    Parameters
    ----------
    dim
        Dimension along which probabilities add up to 1.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """``exp(x) / sum(exp(x))``."""
        return exact_softmax(x, self.dim)
