"""Expressions of ``lambda = ln|dh/dy|`` on each half-line, and its derivatives at any precision."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from critlearn.compositions.activation import Activation, HalfLineForms
from critlearn.compositions.loss import Loss, LossForms, log_opposite, log_residual, log_width, output, target
from critlearn.compositions.symbolic.evaluation import compiled_together
from critlearn.compositions.symbolic.functions import plain, y

Slopes = Callable[[Any], tuple[Any, ...]]
"""``lambda'`` and ``lambda''`` at a number of mpmath."""


@lru_cache(maxsize=256)
def exact_target(t: float) -> sp.Expr:
    """Target as a rational number, the simplest that rounds to it."""
    return sp.nsimplify(t, rational=True)


def forms_on_half_line(activation: Activation, half_line: int) -> HalfLineForms:
    """Forms of an activation for ``y >= 0`` (half-line 1) or for ``y < 0`` (half-line -1)."""
    return activation.half_lines[1 if half_line > 0 else 0]


def loss_forms(activation: Activation, loss: Loss, t: float, residual_sign: int) -> LossForms:
    """Forms of a loss for an output above (1) or below (-1) its target; for class targets, those of the class."""
    if not activation.bounded:
        return loss.forms(residual_sign)
    lower, upper = activation.range
    return loss.forms(-1, (upper, lower)) if t > 0 else loss.forms(1, (lower, upper))


def log_residual_expression(activation: Activation, half_line: int, t: float) -> sp.Expr:
    """``ln|f - t|`` in the size of the pre-activation."""
    forms = forms_on_half_line(activation, half_line)
    if activation.bounded:
        return forms.log_upper_gap if t > 0 else forms.log_lower_gap
    return sp.log(sp.Abs(forms.value - exact_target(t)))


def log_loss_slope_expression(
    activation: Activation, loss: Loss, t: float, half_line: int, residual_sign: int
) -> sp.Expr:
    """``ln|dH/df|`` in the size of the pre-activation."""
    forms = forms_on_half_line(activation, half_line)
    log_slope = loss_forms(activation, loss, t, residual_sign).log_derivative
    near = log_residual_expression(activation, half_line, t)
    if not activation.bounded:
        return log_slope.subs({log_residual: near, output: forms.value, target: exact_target(t)})
    far = forms.log_lower_gap if t > 0 else forms.log_upper_gap
    width = sp.log(exact_target(activation.range[1]) - exact_target(activation.range[0]))
    return log_slope.subs({log_residual: near, log_opposite: far, log_width: width})


@lru_cache(maxsize=512)
def log_error_expression(activation: Activation, loss: Loss, t: float, half_line: int, residual_sign: int) -> sp.Expr:
    """Expression of ``lambda`` in terms of ``|y|``, on one half-line and for one sign of the residual."""
    log_slope = forms_on_half_line(activation, half_line).log_derivative
    return log_loss_slope_expression(activation, loss, t, half_line, residual_sign) + log_slope


def is_log_of_zero(form: sp.Expr) -> bool:
    """Whether a form is the logarithm of an expression that vanishes identically."""
    return bool(form.has(sp.zoo, -sp.oo, sp.nan))


@lru_cache(maxsize=512)
def precise_slopes(form: sp.Expr) -> Slopes:
    """``lambda'`` and ``lambda''`` as functions, at whatever precision mpmath works with.

    Central differences with a step of a quarter of the digits: at high precision they are accurate enough, and cheaper
    than differentiating and compiling each expression.
    """
    value = compiled_together((plain(form),), y)

    def slopes(x: mpmath.mpf) -> tuple[Any, Any]:
        step = mpmath.mpf(10) ** (-mpmath.mp.dps // 4) * max(1, abs(x))
        low, middle, high = (value(x + shift)[0] for shift in (-step, 0, step))
        return (high - low) / (2 * step), (high - 2 * middle + low) / step**2

    return slopes
