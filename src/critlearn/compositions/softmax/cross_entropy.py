"""Softmax followed by cross-entropy: many classes, with output errors that are exact at any margin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.errors import InvalidInputError


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """Loss ``-ln p_t`` of the softmax probabilities ``p_i = exp(y_i) / sum_j exp(y_j)``.

    The output error ``p_i - [i = t]`` is never formed by subtraction: for the true class it is minus the sum of the
    other classes' probabilities.

    Outputs ``y`` have shape (batch, classes), targets ``t`` are class indices of shape (batch,). Both may be NumPy
    arrays or torch tensors.

    >>> SoftmaxCrossEntropy().output_error(np.array([[50.0, 0.0]]), np.array([0])).tolist()
    [[-1.9287498479639178e-22, 1.9287498479639178e-22]]
    """

    name: str = "softmax+cross-entropy"
    class_targets: bool = True

    def value(self, y: Array, t: Array) -> Array:
        """``-ln p_t = ln(1 + exp(ln sum_(i != t) exp(y_i) - y_t))``, shape (batch,).

        Raises
        ------
        InvalidInputError
            If shapes do not fit or a target is not the index of a class.
        """
        y, true = outputs_and_true_class(y, t)
        library = array_module(y)
        others = log_sum_exp(without(true, y))
        # Not ln sum_i exp(y_i) - y_t, which cancels to zero at margins above 37.
        return library.logaddexp(library.zeros_like(y[:, 0]), others - (y * true).sum(1))

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and ``ln|p_i - [i = t]|``, shape (batch, classes), in double precision.

        Raises
        ------
        InvalidInputError
            If shapes do not fit or a target is not the index of a class.
        """
        double = y.double() if library_of(y) == "torch" else np.asarray(y, dtype=np.float64)
        double, true = outputs_and_true_class(double, t)
        library = array_module(double)
        others = log_sum_exp(without(true, double))
        # For the true class ln(1 - p_t) = ln sum_(i != t) p_i; for the others ln p_i.
        log_size = library.where(true, others[:, None], double) - log_sum_exp(double)[:, None]
        return 1.0 - 2.0 * true, log_size

    def output_error(self, y: Array, t: Array) -> Array:
        """``p_i - [i = t]``, shape and dtype of ``y``; zero only below the smallest number of the dtype."""
        sign, log_size = self.log_output_error(y, t)
        if library_of(y) == "torch":
            return (sign * log_size.exp()).to(y.dtype)
        return sign * np.exp(log_size)

    def margins(self, y: Array, t: Array) -> Array:
        """Margin of the true class, ``y_t - ln sum_(i != t) exp(y_i)``, shape (batch,).

        Raises
        ------
        InvalidInputError
            If shapes do not fit or a target is not the index of a class.
        """
        y, true = outputs_and_true_class(y, t)
        return y[true] - log_sum_exp(without(true, y))


def array_module(y: Array) -> Any:
    """Module whose functions take an array: torch for a tensor, else NumPy; torch is imported only for a tensor."""
    if library_of(y) == "torch":
        import torch

        return torch
    return np


def outputs_and_true_class(y: Array, t: Array) -> tuple[Array, Array]:
    """Outputs, and the mask of the true class, shape (batch, classes) each.

    Raises
    ------
    InvalidInputError
        If shapes do not fit or a target is not the index of a class.
    """
    if library_of(y) != "torch":
        y, t = np.asarray(y, dtype=np.float64), np.asarray(t)
    if len(y.shape) != 2 or y.shape[1] < 2 or tuple(t.shape) != (y.shape[0],):
        raise InvalidInputError(
            "softmax needs outputs (batch, classes) with two classes or more, and class indices (batch,); "
            f"got {tuple(y.shape)} and {tuple(t.shape)}"
        )
    classes = y.shape[1]
    if not bool(((t >= 0) & (t < classes) & (t == t // 1)).all()):
        raise InvalidInputError(f"targets of softmax are class indices 0..{classes - 1}; got others")
    if library_of(y) == "torch":
        import torch

        return y, torch.arange(classes, device=y.device) == t[:, None]
    return y, np.arange(classes) == t[:, None]


def without(classes: Array, y: Array) -> Array:
    """Outputs with those of some classes, given by a mask, replaced by minus infinity."""
    return y.masked_fill(classes, -np.inf) if library_of(y) == "torch" else np.where(classes, -np.inf, y)


def log_sum_exp(y: Array) -> Array:
    """``ln sum_i exp(y_i)`` over the classes, shape (batch,)."""
    return y.logsumexp(dim=1) if library_of(y) == "torch" else scipy.special.logsumexp(y, axis=1)
