"""Loss of an activation's output with a chosen exponent: a loss of the margin, composed with the inverse activation."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from critlearn.compositions import Activation
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.inverse_design.criteria import CONVEXITY_MARGINS, CONVEXITY_ROUNDING, MONOTONICITY_POINTS
from critlearn.inverse_design.margin_loss import QMarginLoss

_LARGEST_MARGIN: Final = 1e6
_HALVINGS: Final = 100
"""Largest margin for inverting outputs, and halvings of the interval: 2e6 / 2^100 is far below rounding."""


@dataclass(frozen=True)
class MatchedLoss:
    """Loss ``H(f) = h(f^-1(f))`` of an activation's output, with error signal ``e_q(-m)``.

    It satisfies the protocol `OutputLoss`, whose arguments are pre-activations, so training inverts nothing.
    """

    activation: Activation
    margin_loss: QMarginLoss

    @property
    def name(self) -> str:
        """Name such as ``tanh+q-margin:1.5``."""
        return f"{self.activation.name}+{self.margin_loss.name}"

    @property
    def class_targets(self) -> bool:
        """False: targets are -1 and +1."""
        return False

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output."""
        return self.margin_loss.value(y, t)

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``dh/dy`` and ``ln|dh/dy|``."""
        return self.margin_loss.log_output_error(y, t)

    def output_error(self, y: Array, t: Array) -> Array:
        """``dh/dy``."""
        return self.margin_loss.output_error(y, t)

    def asymptotic(self) -> Asymptote:
        """Limit of the intrinsic exponent: exactly that of the margin loss."""
        return self.margin_loss.asymptotic()

    def on_output(self, output: np.ndarray, t: np.ndarray) -> np.ndarray:
        """``H(f, t)`` as a function of outputs: the activation is inverted by bisection, for margins up to 1e6.

        Raises
        ------
        InvalidInputError
            If an output is outside the range of the activation.
        """
        lower, upper = self.activation.range
        if not bool(((output > lower) & (output < upper)).all()):
            raise InvalidInputError(f"outputs must be inside the range ({lower:g}, {upper:g}) of the activation")
        low, high = np.full(np.shape(output), -_LARGEST_MARGIN), np.full(np.shape(output), _LARGEST_MARGIN)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = self.activation(middle) < output
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(self.value(0.5 * (low + high), t))


def is_strictly_increasing(activation: Activation) -> bool:
    """Whether the slope is nowhere negative, and zero at isolated points at most.

    By logarithms of the slope, which itself underflows to zero in the tail.
    """
    with np.errstate(all="ignore"):
        signs = np.broadcast_to(activation.slope_sign(MONOTONICITY_POINTS), MONOTONICITY_POINTS.shape)
        flat = np.isneginf(activation.log_slope(MONOTONICITY_POINTS)) | (signs == 0)
    return bool((signs >= 0).all() and not (flat[1:] & flat[:-1]).any())


def why_not_convex(activation: Activation, loss: QMarginLoss) -> str | None:
    """Explain why a loss of the margin is not convex in the output of an activation; None if it is convex.

    ``H' = -g / f'`` grows with ``f`` exactly where ``ln g - ln f'`` does not grow with the margin, for both classes:
    ``f'`` is taken at ``y = m`` for the one and at ``y = -m`` for the other.
    """
    log_error = loss.log_error_signal(CONVEXITY_MARGINS)
    for t in (1, -1):
        with np.errstate(all="ignore"):
            log_slope = np.asarray(activation.log_slope(t * CONVEXITY_MARGINS))
            size = np.maximum(np.abs(log_error), np.abs(log_slope))
            ratio = log_error - log_slope
            grows = np.diff(ratio) > CONVEXITY_ROUNDING * np.maximum(1.0, np.maximum(size[1:], size[:-1]))
        if grows.any():
            margin = float(CONVEXITY_MARGINS[1:][grows][np.argmin(np.abs(CONVEXITY_MARGINS[1:][grows]))])
            where = f"at the margin {margin:.3g} of the class {t:+d}, for one"
            # Growth by a factor e from margin 1e3 to the last one: in the tail, not only near the softening.
            if loss.exponent > 1 and ratio[-1] - ratio[CONVEXITY_MARGINS.searchsorted(1e3)] > 1:
                return (
                    f'no loss with this exponent is convex in the output of "{activation.name}": for the class {t:+d} '
                    "the activation's slope falls faster than any error signal that has it"
                )
            if margin <= loss.softening:
                return (
                    f'the loss is not convex in the output of "{activation.name}": {where}, where it goes on as a '
                    "straight line in the pre-activation while the activation's slope falls"
                )
            return (
                f'the loss is not convex in the output of "{activation.name}": {where}, the activation\'s slope falls '
                "faster than the error signal"
            )
    return None
