"""Logistic loss with weights of the outputs and of their positive class: torch's ``BCEWithLogitsLoss``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of


@dataclass(frozen=True)
class WeightedLogistic:
    """Loss ``w (p t ln(1 + exp(-y)) + (1 - t) ln(1 + exp(y)))`` of each output, for targets from 0 to 1.

    For targets 0 and 1 one term is left, and the error is exact at any margin.

    Parameters
    ----------
    positive
        Weight p of the positive class: one number, or one for each output.
    weight
        Weight w of each output.

    >>> WeightedLogistic(positive=(3.0,)).output_error(np.array([[50.0]]), np.array([[1.0]])).tolist()
    [[-5.786249543891654e-22]]
    """

    positive: tuple[float, ...] = (1.0,)
    weight: tuple[float, ...] = (1.0,)
    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name of the loss."""
        return "sigmoid+bce with weights"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output."""
        y, t, positive, weight = self._given(y, t)
        return weight * (positive * t * _softplus(-y) + (1 - t) * _softplus(y))

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, in double precision."""
        y, t, positive, weight = self._given(y, t)
        library = array_module(y)
        # ln of the sigmoids of y and of -y, neither of which is 1 minus the other.
        up, down = -_softplus(-y), -_softplus(y)
        difference = library.exp(up) * (1 - t) - positive * t * library.exp(down)
        with np.errstate(divide="ignore"):
            direct, scale, share = library.log(abs(difference)), library.log(weight), library.log(positive)
        sign = library.where(t == 1, -1.0 + 0.0 * y, library.where(t == 0, 1.0 + 0.0 * y, library.sign(difference)))
        return sign, scale + library.where(t == 1, share + down, library.where(t == 0, up, direct))

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        if library_of(y) == "torch":
            return (sign * log_size.exp()).to(y.dtype)
        return sign * np.exp(log_size)

    def _given(self, y: Array, t: Array) -> tuple[Array, Array, Any, Any]:
        """Outputs, targets and weights, in double precision."""
        if library_of(y) == "torch":
            import torch

            double = {"dtype": torch.float64, "device": y.device}
            y, t = y.double(), t.to(**double)
            return y, t, *(torch.tensor(part, **double) for part in (self.positive, self.weight))
        arrays = (np.asarray(part, dtype=np.float64) for part in (y, t, self.positive, self.weight))
        return tuple(arrays)  # type: ignore[return-value]


def _softplus(y: Array) -> Array:
    """``ln(1 + exp(y))``; not torch's own, which is the identity above a threshold."""
    library = array_module(y)
    return library.logaddexp(library.zeros_like(y), y)
