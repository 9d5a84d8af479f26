"""Mean of a loss over the outputs of a sample, as torch's losses take it by default, and Huber's loss."""

import math
from dataclasses import dataclass

import numpy as np

from critlearn.compositions.output_loss import OutputLoss
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of


@dataclass(frozen=True)
class Averaged:
    """Mean of a loss of single outputs over the outputs of a sample.

    Values are those of single outputs divided by their number, so that they add up to the loss of a sample.

    Parameters
    ----------
    single
        The loss of single outputs.
    """

    single: OutputLoss
    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name such as ``mean identity+mse``."""
        return f"mean {self.single.name}"

    def value(self, y: Array, t: Array) -> Array:
        """Share of each output in the loss of its sample, shape (batch, outputs)."""
        return self.single.value(y, t) / y.shape[-1]

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and its logarithm, shape (batch, outputs)."""
        sign, log_size = self.single.log_output_error(y, t)
        return sign, log_size - math.log(y.shape[-1])

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error, shape (batch, outputs)."""
        return self.single.output_error(y, t) / y.shape[-1]


@dataclass(frozen=True)
class Huber:
    """Squared error near the target and absolute error beyond: torch's ``HuberLoss`` and ``SmoothL1Loss``.

    ``H(r) = scale * r^2 / 2`` for ``|r| <= threshold``, and ``scale * threshold * (|r| - threshold / 2)`` beyond.

    Parameters
    ----------
    threshold
        Residual at which the two meet.
    scale
        Factor of the whole: 1 for ``HuberLoss``, 1 / threshold for ``SmoothL1Loss``.
    """

    threshold: float
    scale: float = 1.0
    class_targets: bool = False

    @property
    def name(self) -> str:
        """Name such as ``identity+huber:1``."""
        return f"identity+huber:{self.threshold:g}"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output."""
        size = abs(y - t)
        # One expression for both cases: inner is |r| up to the threshold, and the threshold beyond.
        inner = size.clip(max=self.threshold)
        return self.scale * inner * (size - inner / 2)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the residual, and ``ln(scale min(|y - t|, threshold))``."""
        if library_of(y) == "torch":
            difference = y.double() - t.double()
            return difference.sign(), (self.scale * difference.abs().clip(max=self.threshold)).log()
        residual = np.asarray(y, np.float64) - np.asarray(t, np.float64)
        with np.errstate(divide="ignore"):
            return np.sign(residual), np.log(self.scale * np.abs(residual).clip(max=self.threshold))

    def output_error(self, y: Array, t: Array) -> Array:
        """Output error ``scale * clip(y - t, -threshold, threshold)``."""
        return self.scale * (y - t).clip(-self.threshold, self.threshold)
