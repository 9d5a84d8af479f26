"""First derivatives of the output error with respect to output and target, exact in the tail."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, TypeGuard

import torch
from torch import Tensor

from critlearn.compositions import (
    Averaged,
    Composition,
    Huber,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
)
from critlearn.compositions.softmax.soft_targets import log_others
from critlearn.compositions.softmax.weighted import KullbackLeibler, WeightedCrossEntropy

_RANGE: Final = 600.0
"""Logarithm of the largest target derivative in the units of the errors: products stay below exp(709), the overflow."""


@dataclass(frozen=True, eq=False)
class OutputResponse:
    """Output errors ``e = dl/dy`` of a batch and their derivatives, all in units of ``exp(log_scale)``.

    Parameters
    ----------
    error
        Shape (sample, output).
    by_output
        ``de_i/dy_j``, shape (sample, output, output).
    by_target
        ``de_i/dt_j``, shape (sample, output, target); no columns where targets are classes.
    log_scale
        Shape (sample,); ``-inf`` where everything vanishes.
    """

    error: Tensor
    by_output: Tensor
    by_target: Tensor
    log_scale: Tensor

    def without_targets(self) -> "OutputResponse":
        """Response with the targets held fixed."""
        return replace(self, by_target=self.by_target[:, :, :0])


def continuous_targets(loss: OutputLoss) -> bool:
    """Whether the loss takes a continuum of targets, so that they are coordinates of the boundary."""
    if isinstance(loss, Averaged):
        return continuous_targets(loss.single)
    if isinstance(loss, Composition):
        return not loss.activation.bounded
    return isinstance(loss, SoftTargetCrossEntropy | Huber) or (makes_soft_targets(loss) and not loss.class_targets)


def makes_soft_targets(loss: OutputLoss) -> TypeGuard[WeightedCrossEntropy | KullbackLeibler]:
    """Whether a loss is softmax with cross-entropy of targets that it makes of those that it takes."""
    return isinstance(loss, WeightedCrossEntropy | KullbackLeibler)


@torch.no_grad()
def output_response(loss: OutputLoss, y: Tensor, t: Tensor) -> OutputResponse:
    """Compute output errors and their derivatives for outputs (sample, output) and their targets.

    Derivatives are products of the error with derivatives of its logarithm, never differences. At a kink, such as an
    absolute error of zero, they are one-sided; where the error is exactly zero, they are taken at a point close by.
    """
    y = y.double()
    sign, log_size = loss.log_output_error(y, t)
    by_output, by_target = _derivatives(loss, y, t)
    # Units of the largest error or output derivative; target derivatives may exceed it, but must not overflow.
    largest = torch.maximum(log_size.amax(dim=1), _log_largest(by_output))
    log_scale = torch.maximum(largest, _log_largest(by_target) - _RANGE)
    unit = torch.where(torch.isneginf(log_scale), 0.0, log_scale)
    return OutputResponse(
        sign * (log_size - unit[:, None]).exp(),
        by_output[0] * (by_output[1] - unit[:, None, None]).exp(),
        by_target[0] * (by_target[1] - unit[:, None, None]).exp(),
        log_scale,
    )


_Signed = tuple[Tensor, Tensor]
"""Sign and logarithm of the absolute value."""


def _derivatives(loss: OutputLoss, y: Tensor, t: Tensor) -> tuple[_Signed, _Signed]:
    """Derivatives of the error with respect to outputs and targets."""
    if isinstance(loss, SoftmaxCrossEntropy):
        return _of_softmax(y), _none(y)
    if isinstance(loss, SoftTargetCrossEntropy):
        return _of_soft_targets(y, t)
    if makes_soft_targets(loss):
        by_output, (sign, logs) = _of_soft_targets(y, loss.soft_targets(y, t))
        if loss.class_targets:
            return by_output, _none(y)
        return by_output, (sign, logs + loss.target_slopes(y, t.double()).log()[:, None, :])
    if isinstance(loss, Averaged):
        share = math.log(y.shape[1])
        by_output, by_target = _derivatives(loss.single, y, t)
        return (by_output[0], by_output[1] - share), (by_target[0], by_target[1] - share)
    if loss.class_targets:
        return _of_classes(loss, y, t), _none(y)
    return _of_single_outputs(loss, y, t)


def _of_softmax(y: Tensor) -> _Signed:
    """Derivatives of softmax, ``dp_i/dy_j = p_i ([i = j] - p_j)``, with ``1 - p_i`` as the sum of the others."""
    log_p, log_rest, own = _log_softmax(y)
    logs = torch.where(own, (log_p + log_rest)[:, :, None], log_p[:, :, None] + log_p[:, None, :])
    return torch.where(own, 1.0, -1.0).double().expand(logs.shape), logs


def _of_soft_targets(y: Tensor, t: Tensor) -> tuple[_Signed, _Signed]:
    """Derivatives of ``p_i sum(t) - t_i`` with respect to outputs and targets."""
    log_p, log_rest, own = _log_softmax(y)
    signs, logs = _of_softmax(y)
    by_output = signs, logs + t.double().sum(dim=1).log()[:, None, None]
    return by_output, (-signs, torch.where(own, log_rest[:, :, None], log_p[:, :, None]))


def _log_softmax(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``ln p_i``, ``ln(1 - p_i)`` as the logarithm of a sum, and the mask of the diagonal."""
    log_all = y.logsumexp(dim=1, keepdim=True)
    return y - log_all, log_others(y) - log_all, torch.eye(y.shape[1], dtype=torch.bool, device=y.device)


def _of_single_outputs(loss: Any, y: Tensor, t: Tensor) -> tuple[_Signed, _Signed]:
    """Derivatives of a loss of single outputs: each error depends on its own output and target only."""
    t = t.double()
    # The logarithm of a zero error has no derivative: move slightly away from it.
    y = torch.where(torch.isneginf(loss.log_output_error(y, t)[1]), y + 1e-8 * (1 + y.abs()), y)
    sign, log_size = loss.log_output_error(y, t)
    if hasattr(loss, "log_error_derivatives"):
        rate = loss.log_error_derivatives(y, t)[0]
    else:
        rate = _rate(lambda value: loss.log_output_error(value, t)[1], y)
    # Still zero: the error vanishes on a whole stretch, and so do its derivatives.
    rate = torch.where(torch.isneginf(log_size), 0.0, rate)
    by_output = _diagonal(sign * rate.sign(), log_size + rate.abs().log())
    if not continuous_targets(loss):
        return by_output, _none(y)
    rate = _rate(lambda value: loss.log_output_error(y, value)[1], t.expand(y.shape))
    rate = torch.where(torch.isneginf(log_size), 0.0, rate)
    return by_output, _diagonal(sign * rate.sign(), log_size + rate.abs().log())


def _of_classes(loss: Any, y: Tensor, t: Tensor) -> _Signed:
    """Derivatives of any loss of classes, by automatic differentiation of the logarithms of its errors."""
    sign, log_size = loss.log_output_error(y, t)
    rows = [_rate(lambda value, i=i: loss.log_output_error(value, t)[1][:, i], y) for i in range(y.shape[1])]
    rates = torch.stack(rows, dim=1)
    return sign[:, :, None] * rates.sign(), log_size[:, :, None] + rates.abs().log()


def _rate(function: Any, at: Tensor) -> Tensor:
    """Derivative of the sum of a function's values."""
    with torch.enable_grad():
        at = at.detach().clone().requires_grad_()
        value = function(at).sum()
        if not value.requires_grad:
            return torch.zeros_like(at)
        (rate,) = torch.autograd.grad(value, at)
    return rate


def _diagonal(sign: Tensor, logs: Tensor) -> _Signed:
    own = torch.eye(sign.shape[1], dtype=torch.bool, device=sign.device)
    return torch.where(own, sign[:, :, None], 0.0), torch.where(own, logs[:, :, None], -math.inf)


def _none(y: Tensor) -> _Signed:
    empty = y.new_zeros(len(y), y.shape[1], 0)
    return empty, empty


def _log_largest(part: _Signed) -> Tensor:
    """Logarithm of the largest entry of each sample; ``-inf`` if there is none."""
    sign, logs = part
    if logs.shape[2] == 0:
        return logs.new_full((len(logs),), -math.inf)
    return torch.where(sign == 0, -math.inf, logs).flatten(1).amax(dim=1)
