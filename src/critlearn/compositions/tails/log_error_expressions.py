"""``lambda = ln|dh/dy|`` as one SymPy expression on each half-line, and compiled for any precision."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from critlearn.compositions.activation import Activation, Half
from critlearn.compositions.loss import Loss, LossForms, log_opposite, log_residual, log_width, output, target
from critlearn.compositions.symbolic.evaluation import compiled_together
from critlearn.compositions.symbolic.functions import plain, y

Slopes = Callable[[Any], tuple[Any, ...]]
"""``lambda'`` and ``lambda''`` of a number of mpmath."""


@lru_cache(maxsize=256)
def exact_target(t: float) -> sp.Expr:
    """Target as the fraction that was meant."""
    return sp.nsimplify(t, rational=True)


def half_at(activation: Activation, direction: int) -> Half:
    """Forms for ``y >= 0`` (direction 1) or for ``y < 0`` (direction -1)."""
    return activation.halves[1 if direction > 0 else 0]


def loss_forms(activation: Activation, loss: Loss, t: float, side: int) -> LossForms:
    """Forms of a loss for an output above (side 1) or below (-1) its target; for a class those of the class."""
    if not activation.bounded:
        return loss.forms(side)
    lower, upper = activation.range
    return loss.forms(-1, (upper, lower)) if t > 0 else loss.forms(1, (lower, upper))


def log_residual_form(activation: Activation, half: Half, t: float) -> sp.Expr:
    """``ln|f - t|`` in the size of the pre-activation."""
    if activation.bounded:
        return half.log_upper_gap if t > 0 else half.log_lower_gap
    return sp.log(sp.Abs(half.value - exact_target(t)))


def log_loss_slope(activation: Activation, loss: Loss, t: float, direction: int, side: int) -> sp.Expr:
    """``ln|dH/df|`` in the size of the pre-activation."""
    half = half_at(activation, direction)
    form = loss_forms(activation, loss, t, side).log_derivative
    near = log_residual_form(activation, half, t)
    if not activation.bounded:
        return form.subs({log_residual: near, output: half.value, target: exact_target(t)})
    far = half.log_lower_gap if t > 0 else half.log_upper_gap
    width = sp.log(exact_target(activation.range[1]) - exact_target(activation.range[0]))
    return form.subs({log_residual: near, log_opposite: far, log_width: width})


@lru_cache(maxsize=512)
def log_error_form(activation: Activation, loss: Loss, t: float, direction: int, side: int) -> sp.Expr:
    """``lambda`` in the size ``|y|`` of the pre-activation, on one half-line and one side of the target."""
    slope = half_at(activation, direction).log_derivative
    return log_loss_slope(activation, loss, t, direction, side) + slope


@lru_cache(maxsize=512)
def precise_slopes(form: sp.Expr) -> Slopes:
    """``lambda'`` and ``lambda''`` at whatever precision mpmath works with.

    By differences, of which a quarter of the digits is spent on the step: at high precision they are exact enough, and
    nothing has to be differentiated and compiled.
    """
    value = compiled_together((plain(form),), y)

    def slopes(x: mpmath.mpf) -> tuple[Any, Any]:
        step = mpmath.mpf(10) ** (-mpmath.mp.dps // 4) * max(1, abs(x))
        low, middle, high = (value(x + shift)[0] for shift in (-step, 0, step))
        return (high - low) / (2 * step), (high - 2 * middle + low) / step**2

    return slopes
