"""Losses from SymPy expressions in the output and its target, or in their difference."""

import numpy as np
import sympy as sp

from critlearn.compositions.asymptotics.magnitude import exact_log_magnitude
from critlearn.compositions.loss import Loss, LossForms, log_residual, output, target
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s
from critlearn.compositions.typed.differentiation import check_real, differentiated
from critlearn.errors import InvalidInputError

residual = sp.Symbol("e", real=True)
"""``f - t`` in a user's expression of a loss."""


def loss_from(expression: sp.Expr, *, name: str | None = None) -> Loss:
    """Make a loss from a SymPy expression in ``f`` and ``t``, or in ``e`` alone.

    Raises
    ------
    InvalidInputError
        If it has other symbols, does not depend on the output, or is not differentiable between its kinks.
    """
    name = name or str(expression)
    named = {str(symbol): symbol for symbol in expression.free_symbols}
    kind = f'loss "{name}"'
    if not named or not set(named) <= {"e", "f", "t"}:
        raise InvalidInputError(
            f"{kind} needs to depend on e = f - t, or on f and t; got {sorted(named) or 'a constant'}"
        )
    expression = expression.subs(
        {symbol: {"e": output - target, "f": output, "t": target}[text] for text, symbol in named.items()}
    )
    by_residual = sp.simplify(expression.subs(output, target + residual)) if expression.has(target) else expression
    if by_residual.has(target) or not expression.has(target):
        return _general_loss(name, expression)
    slope = differentiated(by_residual, residual, kind)
    check_real(by_residual, slope, residual, kind)
    below, above = (_loss_forms(by_residual, residual_sign) for residual_sign in (-1, 1))
    return Loss(name, below.value, below.log_derivative, None if below == above else above, below.slope)


def _loss_forms(by_residual: sp.Expr, residual_sign: int) -> LossForms:
    """Forms for one sign of the residual, in ``ln|e|``."""
    value = by_residual.subs(residual, residual_sign * s)
    growth = sp.diff(value, s)
    size = sp.exp(log_residual)
    samples = evaluate(growth, {s: np.logspace(-4, 4, 81)})
    # A loss that grows away from its target needs no sign of its own; for one that does not, dH/df gives it.
    falls = bool((samples[np.isfinite(samples)] >= 0).all())
    slope = None if falls else residual_sign * growth.subs(s, size)
    power = sp.simplify(s * sp.diff(growth, s) / growth) if growth != 0 else sp.oo
    if growth == 0:
        log_derivative = -sp.oo
    elif power.is_number and power.is_finite:
        log_derivative = sp.log(sp.Abs(growth.subs(s, 1))) + power * log_residual
    else:
        log_derivative = exact_log_magnitude(sp.factor_terms(growth), size)
    return LossForms(value.subs(s, size), log_derivative, slope)


def _general_loss(name: str, formula: sp.Expr) -> Loss:
    """Loss that does not depend on the difference of output and target alone."""
    slope = differentiated(formula, output, f'loss "{name}"')
    # Not ln|.|, whose derivative SymPy leaves unevaluated.
    log_size = sp.log(slope**2) / 2
    return Loss(name, formula, log_size, LossForms(formula, log_size, slope), slope, formula)
