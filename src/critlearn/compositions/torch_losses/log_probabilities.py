"""Losses of logarithms of probabilities, which the network forms itself: their errors are the targets, and exact."""

from dataclasses import dataclass

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module, outputs_and_true_class
from critlearn.compositions.softmax.weighted import numbers_like
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """Loss ``-w_t y_t`` of logarithms of probabilities y and a class index t.

    Its error is ``-w_t`` at the class t and 0 elsewhere, whether the probabilities add up to 1 or not. Where they do by
    a softmax, the network passes it back without forming ``1 - p``.

    Parameters
    ----------
    weights
        Weight of each class; 1 by default.

    >>> NegativeLogLikelihood().output_error(np.array([[-0.1, -2.4]]), np.array([1])).tolist()
    [[-0.0, -1.0]]
    """

    weights: tuple[float, ...] | None = None
    class_targets: bool = True

    @property
    def name(self) -> str:
        """Name of the loss."""
        return f"negative log-likelihood{', class weights' if self.weights else ''}"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each sample, shape (batch,)."""
        y, true = outputs_and_true_class(y, t)
        return -(array_module(y).where(true, y, 0.0) * self._weight(y)).sum(1)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, shape (batch, classes), in double precision."""
        y, true = outputs_and_true_class(y.double() if library_of(y) == "torch" else y, t)
        library = array_module(y)
        weight = library.broadcast_to(self._weight(y), tuple(y.shape))
        present = true & (weight > 0)
        log_size = library.where(present, library.log(library.where(present, weight, 1.0)), -np.inf)
        return library.where(present, -1.0, 0.0 * y), log_size

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        return sign * array_module(sign).exp(log_size)

    def weight_of(self, t: Array) -> Array:
        """Weight of the class of each target, by which torch divides a mean over tokens."""
        return self._weight(t)[t] if self.weights else 0.0 * t + 1.0

    def _weight(self, like: Array) -> Array:
        """Weight of each class, as an array like another one."""
        return numbers_like(like, self.weights or (1.0,))


@dataclass(frozen=True)
class LogDivergence:
    """Divergence ``sum_c t_c (ln t_c - y_c)`` of probabilities with logarithms y from the targets t.

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
        return "kullback-leibler"

    def value(self, y: Array, t: Array) -> Array:
        """Share of each output in the divergence, shape (batch, outputs)."""
        library, t = array_module(t), self._probabilities(t)
        # t ln t, which is 0 at 0.
        return t * (library.log(library.where(t > 0, t, 1.0)) - y)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, in double precision."""
        library = array_module(t)
        if self.log_targets:
            return -1.0 + 0.0 * t, t
        present = t != 0
        size = library.abs(library.where(present, t, 1.0))
        return -library.sign(t), library.where(present, library.log(size), -np.inf)

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape and dtype of ``y``."""
        return -self._probabilities(t)

    def _probabilities(self, t: Array) -> Array:
        return array_module(t).exp(t) if self.log_targets else t
