"""Output errors of the losses at high precision, for mpmath numbers."""

from typing import Any

import mpmath as mp

from critlearn.compositions import (
    ACTIVATIONS,
    Averaged,
    Composition,
    Huber,
    OutputLoss,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
    find_loss,
)
from critlearn.errors import InvalidInputError


class NoPreciseFormError(Exception):
    """A layer, a loss or a value of it has no form at high precision; never leaves this package."""


def has_precise_errors(loss: OutputLoss) -> bool:
    """Whether `precise_output_errors` knows the loss: those of the catalogue, and torch's own."""
    if isinstance(loss, Averaged):
        return has_precise_errors(loss.single)
    if isinstance(loss, Composition):
        return ACTIVATIONS.get(loss.activation.name) == loss.activation and _in_catalogue(loss)
    return isinstance(loss, Huber | SoftmaxCrossEntropy | SoftTargetCrossEntropy)


def _in_catalogue(composition: Composition) -> bool:
    """Whether the loss of a composition is the one that the catalogue has under its name."""
    try:
        return find_loss(composition.loss.name) == composition.loss
    except InvalidInputError:
        return False


def precise_output_errors(loss: OutputLoss, outputs: list[Any], target: list[float]) -> list[Any]:
    """``dl/dy`` of one sample at the working precision of mpmath.

    Parameters
    ----------
    loss
        One that `has_precise_errors`.
    outputs
        Pre-activations of the sample.
    target
        One number for each output, or the index of the class alone.
    """
    if isinstance(loss, Averaged):
        return [error / len(outputs) for error in precise_output_errors(loss.single, outputs, target)]
    if isinstance(loss, Composition):
        pairs = [loss.log_output_error(number, t) for number, t in zip(outputs, target, strict=True)]
        return [sign * mp.exp(log_size) for sign, log_size in pairs]
    if isinstance(loss, Huber):
        limit = mp.mpf(loss.threshold)
        return [
            mp.mpf(loss.scale) * max(-limit, min(limit, number - t)) for number, t in zip(outputs, target, strict=True)
        ]
    if isinstance(loss, SoftmaxCrossEntropy):
        return _softmax_errors(outputs, [float(index == round(target[0])) for index in range(len(outputs))])
    if isinstance(loss, SoftTargetCrossEntropy):
        return _softmax_errors(outputs, target)
    raise NoPreciseFormError(loss.name)


def _softmax_errors(outputs: list[Any], weights: list[float]) -> list[Any]:
    """``p_i s - t_i`` with ``s`` the sum of the targets ``t``; over the other classes where all weight is on one."""
    greatest = max(outputs)
    powers = [mp.exp(number - greatest) for number in outputs]
    total, weight = mp.fsum(powers), mp.fsum(weights)
    errors = []
    for index, (power, t) in enumerate(zip(powers, weights, strict=True)):
        if t == weight:
            # No digits would do for the difference of 1 and the probability of a class that is all but certain.
            errors.append(-weight * mp.fsum(powers[:index] + powers[index + 1 :]) / total)
        else:
            errors.append(power / total * weight - t)
    return errors
