"""Value and output error of a loss together: by torch's own functions for common compositions, else by exact forms."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from critlearn.compositions import (
    Averaged,
    Composition,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
)
from critlearn.compositions.error_signal import checked_target

ValueAndError = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Function of pre-activations and targets that returns values of a loss and output errors, in double precision."""

_Gaps = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Function of margins that returns distances from the target and from the other class, and the slope ``f'``."""


def _sigmoid_gaps(margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    near, far = torch.sigmoid(-margin), torch.sigmoid(margin)
    return near, far, near * far


def _tanh_gaps(margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    near, far = 2 * torch.sigmoid(-2 * margin), 2 * torch.sigmoid(2 * margin)
    return near, far, near * far


def _softsign_gaps(margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = margin.abs()
    inverse = 1 / (1 + size)
    # |m| - m is exactly 0 for a positive margin, where (1 + |m|) - m would cancel.
    return (1 + (size - margin)) * inverse, (1 + (size + margin)) * inverse, inverse * inverse


def _arctan_gaps(margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    one = torch.ones_like(margin)
    near, far = torch.atan2(one, margin), torch.atan2(one, -margin)
    return near * (2 / math.pi), far * (2 / math.pi), (2 / math.pi) / (1 + margin * margin)


_GAPS: Final[dict[str, _Gaps]] = {
    "sigmoid": _sigmoid_gaps,
    "tanh": _tanh_gaps,
    "softsign": _softsign_gaps,
    "arctan": _arctan_gaps,
}

_OF_GAPS: Final[dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]]] = {
    "bce": lambda near, far, slope: (torch.log1p(near / far), slope / far),
    "mse": lambda near, far, slope: (near * near, 2 * near * slope),
    "mae": lambda near, far, slope: (near, slope),
}
"""Value and size of the output error, of distance from the target, distance from the other class and slope."""

_OF_RESIDUAL: Final[dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]]] = {
    "mse": lambda residual: (residual * residual, 2 * residual),
    "mae": lambda residual: (residual.abs(), residual.sign()),
}
"""Value and output error of a linear output, of the residual ``y - t``."""

_LOGISTIC: Final = {"sigmoid": 1.0, "tanh": 2.0}
"""Outputs whose cross-entropy is ``ln(1 + exp(-a m))``, and a: the odds of the classes are ``exp(a m)``."""


def plain_loss(loss: OutputLoss) -> ValueAndError:
    """Return a function that computes values and output errors of a loss in one go.

    Values are those of `value`, errors those of `output_error`; both are in double precision, or in that of a loss
    without a form for both.
    """
    if type(loss) is Averaged:
        single = plain_loss(loss.single)
        return lambda y, t: _divided(single(y, t), y.shape[-1])
    if type(loss) is Composition:
        return _of_composition(loss)
    if type(loss) is SoftmaxCrossEntropy:
        return _cross_entropy
    if type(loss) is SoftTargetCrossEntropy:
        return loss.value_and_error
    return lambda y, t: (loss.value(y, t), loss.output_error(y, t))


def _cross_entropy(y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax with cross-entropy, by the margin ``m = y_t - ln sum_(i != t) exp(y_i)`` of the true class."""
    classes = y.shape[1]
    if t.dtype != torch.int64 or classes < 2 or not bool(((t >= 0) & (t < classes)).all()):
        # Indices stored as other numbers, and what is refused, with the reason.
        loss = SoftmaxCrossEntropy()
        return loss.value(y, t), loss.output_error(y, t)
    y, true = y.double(), t[:, None]
    wrong = y.scatter(1, true, -math.inf).logsumexp(dim=1, keepdim=True) - y.gather(1, true)
    # Neither ln p_t nor 1 - p_t is formed as a difference, which would cancel to 0 at large margins.
    value = torch.logaddexp(wrong.new_zeros(()), wrong)
    return value[:, 0], y.softmax(dim=1).scatter(1, true, -torch.sigmoid(wrong))


def _divided(pair: tuple[Tensor, Tensor], outputs: int) -> tuple[Tensor, Tensor]:
    return pair[0] / outputs, pair[1] / outputs


def _of_composition(composition: Composition) -> ValueAndError:
    """Torch's own functions if the composition is a common one of the catalogue, else its own forms."""
    activation, loss = composition.activation.name, composition.loss.name
    common = (activation in _GAPS and loss in _OF_GAPS) or (activation == "identity" and loss in _OF_RESIDUAL)
    if not common or composition != Composition(activation, loss):
        return composition.value_and_error
    if activation == "identity":
        of_residual = _OF_RESIDUAL[loss]
        return lambda y, t: of_residual(y.double() - t)
    if loss == "bce" and activation in _LOGISTIC:
        return _of_margin(composition, _logistic(_LOGISTIC[activation]))
    gaps, of_gaps = _GAPS[activation], _OF_GAPS[loss]
    return _of_margin(composition, lambda margin: of_gaps(*gaps(margin)))


def _of_margin(composition: Composition, form: Callable[[Tensor], tuple[Tensor, Tensor]]) -> ValueAndError:
    """Function of outputs and classes, made of one of margins whose errors are negative derivatives."""

    def value_and_error(y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        classes = checked_target(composition.activation, composition.loss, t)
        value, size = form(y.double() * classes)
        return value, -size * classes

    return value_and_error


def _logistic(odds: float) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Loss ``ln(1 + exp(-a m))`` and the size of its derivative, ``a / (1 + exp(a m))``."""

    def of_margin(margin: Tensor) -> tuple[Tensor, Tensor]:
        scaled = margin * -odds
        # Not torch's softplus, which is the identity above a threshold.
        return torch.logaddexp(scaled.new_zeros(()), scaled), odds * torch.sigmoid(scaled)

    return of_margin
