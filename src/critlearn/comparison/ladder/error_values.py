"""Values on which the errors of a network's samples depend, read off the network in a pass of activations."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from critlearn.comparison.criteria import TOLD
from critlearn.compositions import SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.compositions.named.resolve import margin_composition
from critlearn.network import NeuralSystem
from critlearn.network.backward.softmax_errors import softmax_errors_in_single
from critlearn.prediction.error_values import ErrorValues, values_of_errors, values_of_margins, values_of_outputs

_SAME: Final = 1e-4
"""Largest difference, in ``ln|e|`` of a tenth of all samples or more, of the composition's error and the loss's that
is rounding of outputs in single precision; weights of classes or smoothed targets change errors by more."""


@dataclass(frozen=True, eq=False)
class OutputState:
    """Output errors of all samples.

    Parameters
    ----------
    log_error
        Logarithm of the largest output error of each sample, ``-inf`` for a sample without any.
    values
        What the errors depend on.
    """

    log_error: Float64[np.ndarray, " sample"]
    values: ErrorValues


@torch.no_grad()
def output_state(system: NeuralSystem, *, batch_size: int, lr: float) -> OutputState:
    """Read output errors and margins off a network, in one pass of activations.

    Where the errors are those of one number, margin or output, that is what they depend on; else the logarithms of the
    errors stand for themselves, and composition and data are told together.
    """
    log_errors: list[np.ndarray] = []
    kept: list[tuple[np.ndarray, np.ndarray] | None] = []
    for x, t in system.boundary(batch_size):
        y, target = system.forward(x, t)
        log_errors.append(_largest(system, y, target).cpu().numpy())
        kept.append(_single(system, y, target))
    log_error = np.concatenate(log_errors)
    own = values_of_errors(log_error + np.log(lr), system.loss.name)
    if any(part is None for part in kept):
        return OutputState(log_error, own)
    numbers, targets = (np.concatenate([part[at] for part in kept if part is not None]) for at in range(2))
    known = _known(system, numbers, targets, lr)
    told = known.log_fluctuations(known.values) - np.log(lr)
    with np.errstate(invalid="ignore"):
        same = np.abs(told - log_error) <= _SAME * (1 + np.abs(log_error))
    if not np.isfinite(known.values).all() or (same | np.isneginf(log_error)).mean() < TOLD:
        return OutputState(log_error, own)
    return OutputState(log_error, known.of_existing(~np.isneginf(log_error)))


def _largest(system: NeuralSystem, y: Tensor, target: Tensor) -> Tensor:
    """Logarithm of the largest output error of each sample."""
    softmax = _softmax(system, y, target)
    if softmax is not None:
        loss, rows, classes = softmax
        return loss.log_output_error(rows.double(), classes)[1].amax(dim=1)
    in_single = softmax_errors_in_single(system.loss, y, target)
    if in_single is not None:
        # Values are in units that are whole bins of a sketch: the errors themselves are not.
        values, log_unit = in_single
        return log_unit + values.abs().amax(dim=1).double().log()
    exact = target.double() if target.is_floating_point() and not system.loss.class_targets else target
    return system.loss.log_output_error(y.double(), exact)[1].flatten(1).amax(dim=1)


def _single(system: NeuralSystem, y: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Single number on which the error of each sample may depend, and its target or class; None if there is none."""
    softmax = _softmax(system, y, target)
    if softmax is not None:
        loss, rows, classes = softmax
        return loss.margins(rows.double(), classes).cpu().numpy(), classes.flatten().cpu().numpy()
    if system.loss.class_targets or y.shape[1] != 1 or not hasattr(system.loss, "log_error_derivatives"):
        return None
    return y.double().flatten().cpu().numpy(), target.expand_as(y).double().flatten().cpu().numpy()


def _softmax(system: NeuralSystem, y: Tensor, target: Tensor) -> tuple[SoftmaxCrossEntropy, Tensor, Tensor] | None:
    """Softmax with cross-entropy of one choice for each sample, its logits and classes; None for any other loss.

    A sequence of which a single token has a loss is one choice.
    """
    loss = system.loss
    if isinstance(loss, SoftmaxCrossEntropy):
        return loss, y, target
    if isinstance(loss, TokenCrossEntropy) and isinstance(loss.single, SoftmaxCrossEntropy):
        only = loss.only_positions(y, target)
        return None if only is None else (loss.single, *only)
    return None


def _known(system: NeuralSystem, numbers: Float64[np.ndarray, " sample"], targets: Any, lr: float) -> ErrorValues:
    """Values of a loss whose errors may be those of one number."""
    if isinstance(system.loss, SoftmaxCrossEntropy | TokenCrossEntropy):
        softmax = system.loss.single if isinstance(system.loss, TokenCrossEntropy) else system.loss
        classes: Int64[np.ndarray, " sample"] = targets.astype(np.int64)
        known = values_of_margins(margin_composition(softmax), numbers, classes, lr=lr)
        return replace(known, targets=np.ones(numbers.size))
    loss: Any = system.loss
    return values_of_outputs(loss, numbers, targets, lr=lr)
