"""Softmax cross-entropy with class weights and label smoothing, and the Kullback-Leibler divergence of a softmax."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module, outputs_and_true_class
from critlearn.compositions.softmax.soft_targets import SoftTargetCrossEntropy
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of

_SOFT: Final = SoftTargetCrossEntropy()


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Loss ``-sum_c w_c s_c ln p_c`` with targets smoothed to ``s_c = (1 - smoothing) t_c + smoothing / classes``.

    It is cross-entropy with the weights ``w_c s_c`` as its targets, whose errors `SoftTargetCrossEntropy` has: exact in
    the tail where all weight is on one class.

    Parameters
    ----------
    weights
        Weight of each class; 1 by default. The loss of a sample is not divided by its weight, as torch's mean over one
        sample would be: all weights would cancel.
    smoothing
        Share of a target that is spread over all classes.
    class_targets
        Whether targets are class indices (batch,), and not probabilities (batch, classes).
    """

    weights: tuple[float, ...] | None = None
    smoothing: float = 0.0
    class_targets: bool = True

    @property
    def name(self) -> str:
        """Name of the loss."""
        weighted = ", class weights" if self.weights else ""
        smoothed = f", label smoothing {self.smoothing:g}" if self.smoothing else ""
        return f"softmax+cross-entropy{weighted}{smoothed}"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each sample for class indices; that of each class otherwise, which add up to it."""
        values = _SOFT.value(y, self.soft_targets(y, t))
        return values.sum(1) if self.class_targets else values

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, shape (batch, classes), in double precision."""
        return _SOFT.log_output_error(y, self.soft_targets(y, t))

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        return _SOFT.output_error(y, self.soft_targets(y, t))

    def weight_of(self, t: Array) -> Array:
        """Weight of the class of each target, by which torch divides a mean over tokens."""
        return self._class_weights(t)[t] if self.weights else 0.0 * t + 1.0

    def soft_targets(self, y: Array, t: Array) -> Array:
        """Targets ``w_c s_c`` of plain cross-entropy with the same errors, shape of ``y``."""
        if self.class_targets:
            true = outputs_and_true_class(y, t)[1]
            t = true.double() if library_of(y) == "torch" else true.astype(np.float64)
        smoothed = (1 - self.smoothing) * t + self.smoothing / y.shape[1]
        return smoothed * self._class_weights(y) if self.weights else smoothed

    def target_slopes(self, y: Array, t: Array) -> Array:
        """Derivative of each of `soft_targets` with respect to the target of its class, shape of ``y``."""
        slopes = 0.0 * y + (1.0 - self.smoothing)
        return slopes * self._class_weights(y) if self.weights else slopes

    def _class_weights(self, like: Array) -> Array:
        return numbers_like(like, self.weights or ())


def numbers_like(array: Array, numbers: tuple[float, ...]) -> Array:
    """Numbers in double precision, in the library and on the device of an array."""
    if library_of(array) == "torch":
        import torch

        return torch.tensor(numbers, dtype=torch.float64, device=array.device)
    return np.asarray(numbers, dtype=np.float64)


@dataclass(frozen=True)
class KullbackLeibler:
    """Divergence ``sum_c t_c (ln t_c - ln p_c)`` of the softmax probabilities p from the targets t.

    Parameters
    ----------
    log_targets
        Whether targets are the logarithms of t.
    """

    log_targets: bool = False
    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name of the loss."""
        return "softmax+kullback-leibler"

    def value(self, y: Array, t: Array) -> Array:
        """Share of each class in the divergence, shape (batch, classes)."""
        t = self.soft_targets(y, t)
        library = array_module(t)
        # t ln t, which is 0 at 0.
        return _SOFT.value(y, t) + t * library.log(library.where(t > 0, t, 1.0))

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, in double precision."""
        return _SOFT.log_output_error(y, self.soft_targets(y, t))

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        return _SOFT.output_error(y, self.soft_targets(y, t))

    def soft_targets(self, y: Array, t: Array) -> Array:
        """The probabilities, which are the targets of plain cross-entropy with the same errors."""
        return array_module(t).exp(t) if self.log_targets else t

    def target_slopes(self, y: Array, t: Array) -> Array:
        """Derivative of each of `soft_targets` with respect to the target of its class, shape of ``y``."""
        return self.soft_targets(y, t) if self.log_targets else 0.0 * y + 1.0
