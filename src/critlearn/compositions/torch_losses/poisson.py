"""Loss of counts whose mean is ``exp(y)``: torch's ``PoissonNLLLoss``."""

from dataclasses import dataclass

import numpy as np

from critlearn.compositions.softmax.cross_entropy import array_module
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of


@dataclass(frozen=True)
class PoissonCounts:
    """Loss ``exp(y) - t y`` of each output, with error ``exp(y) - t``, for targets that are not negative.

    The error is ``exp(y)`` for a count of 0, and ``t (exp(y - ln t) - 1)`` otherwise: neither is a difference of large
    numbers, but where the two are equal.

    >>> PoissonCounts().output_error(np.array([[-800.0, 0.0]]), np.array([[0.0, 2.0]])).tolist()
    [[0.0, -1.0]]
    """

    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name of the loss."""
        return "exponential+poisson"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output."""
        return array_module(y).exp(y) - t * y

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, in double precision."""
        if library_of(y) == "torch":
            y, t = y.double(), t.double()
        else:
            y, t = np.asarray(y, dtype=np.float64), np.asarray(t, dtype=np.float64)
        library = array_module(y)
        some = t > 0
        log_count = library.log(library.where(some, t, 1.0))
        distance = y - log_count
        with np.errstate(divide="ignore"):
            # ln|exp(d) - 1|, of which only the part that does not overflow is formed by an exponential.
            log_size = distance.clip(0.0, None) + library.log(-library.expm1(-abs(distance)))
        return library.where(some, library.sign(distance), 1.0), library.where(some, log_count + log_size, y)

    def output_error(self, y: Array, t: Array) -> Array:
        """``exp(y) - t``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        if library_of(y) == "torch":
            return (sign * log_size.exp()).to(y.dtype)
        return sign * np.exp(log_size)
