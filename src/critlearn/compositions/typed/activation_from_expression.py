"""Activations from SymPy expressions: range, symmetry, and forms that are exact in the tail."""

import math
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation, HalfLineForms
from critlearn.compositions.asymptotics.asymptotic_branch import SIGN_DIGITS
from critlearn.compositions.asymptotics.magnitude import exact_log_magnitude
from critlearn.compositions.symbolic.complement import complemented
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s, y
from critlearn.compositions.typed.differentiation import SAMPLES, check_real, differentiated
from critlearn.compositions.typed.end_limits import limit_at_end
from critlearn.errors import InvalidInputError
from critlearn.numerics.time_budget import Allowance

real_y: Final = sp.Symbol("y", real=True)
"""The pre-activation in a user's expression."""

_FACTOR_SECONDS: Final = 0.15
"""Processor time, in seconds, for factoring a form; one not factored by then stays a sum, tabulated in its tail."""

_ROUNDING: Final = 16 * 709 * np.finfo(float).eps
"""Size of a negative slope, relative to its terms, below which it may be rounding; `SIGN_DIGITS` digits decide.

A power has as many roundings as the logarithm of its size, which is 709 at the most."""


def activation_from(expression: sp.Expr, *, name: str | None = None) -> Activation:
    """Make an activation from a SymPy expression in one symbol.

    Raises
    ------
    InvalidInputError
        If it has other symbols, is constant, not real, or not continuous.
    """
    name = name or str(expression)
    kind = f'activation "{name}"'
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        raise InvalidInputError(f"{kind} needs to depend on y alone; got {symbols or 'a constant'}")
    value = _with_quotients_joined(expression.subs(symbols[0], real_y))
    slope = differentiated(value, real_y, kind)
    check_real(value, slope, real_y, kind)
    exact_ends = tuple(limit_at_end(value, real_y, end) for end in (-1, 1))
    ends = tuple(float(end) for end in exact_ends)
    increasing = _increases(slope, real_y)
    lower, upper = ends if increasing else (-math.inf, math.inf)
    finite = increasing and math.isfinite(lower) and math.isfinite(upper)
    forms = {
        half_line: _forms_on_half_line(value, slope, half_line, exact_ends if finite else None, increasing)
        for half_line in (1, -1)
    }
    # NaN at an end (sin) means that there is no limit: such an activation has a range, but does not saturate.
    if increasing and not math.isnan(lower) and not math.isnan(upper):
        activation_range, limits = (lower, upper), None
    else:
        activation_range, limits = (-math.inf, math.inf), (ends[0], ends[1])
    positive = forms[1]
    return Activation(
        name,
        activation_range,
        positive.value,
        positive.log_derivative,
        positive.log_upper_gap,
        positive.log_lower_gap,
        None if _symmetric(value, activation_range, increasing) else forms[-1],
        positive.slope,
        limits,
    )


def _increases(slope: sp.Expr, symbol: sp.Symbol) -> bool:
    """Whether a slope is nowhere negative; where its terms cancel to rounding, 400 digits decide its sign."""
    samples = evaluate(slope, {symbol: SAMPLES})
    falling = samples < 0
    sizes = sum(np.abs(evaluate(term, {symbol: SAMPLES})) for term in sp.Add.make_args(slope))
    doubtful = falling & (-samples < _ROUNDING * sizes)
    if (falling & ~doubtful).any():
        return False
    with mpmath.workdps(SIGN_DIGITS):
        noise = mpmath.mpf(10) ** (20 - SIGN_DIGITS)
        return all(evaluate(slope, {symbol: mpmath.mpf(float(at))}) >= -noise for at in SAMPLES[doubtful])


def _with_quotients_joined(expression: sp.Expr) -> sp.Expr:
    """Rewrite ``sinh(a)/cosh(a)`` as ``tanh(a)``: numerator and denominator overflow, the quotient does not."""

    def joined(product: sp.Expr) -> sp.Expr:
        powers = product.as_powers_dict()
        for factor in [factor for factor in powers if isinstance(factor, sp.sinh)]:
            argument = factor.args[0]
            shared = sp.Min(powers[factor], -powers.get(sp.cosh(argument), sp.Integer(0)))
            if shared.is_Integer and shared > 0:
                product = product * (sp.tanh(argument) * sp.cosh(argument) / factor) ** shared
        return product

    return expression.replace(lambda part: part.is_Mul, joined)


def _forms_on_half_line(
    value: sp.Expr, slope: sp.Expr, half_line: int, ends: tuple[sp.Expr, ...] | None, increasing: bool
) -> HalfLineForms:
    """Forms on one half-line, in ``|y|``; gaps are distances from the exact limits, or they would not vanish."""
    own, own_slope = (form.subs(real_y, half_line * y) for form in (value, slope))
    gaps: tuple[sp.Expr | None, ...] = (None, None)
    if ends is not None:
        lower, upper = ends
        gaps = (_log_of(complemented(upper - own)), _log_of(complemented(own - lower)))
    return HalfLineForms(own, _log_of(own_slope), gaps[0], gaps[1], None if increasing else own_slope)


def _log_of(form: sp.Expr) -> sp.Expr:
    """Logarithm ``ln|form|`` of a form in `y`, exact in the tail; 0 for the form 1, ``-inf`` for the form 0."""
    simple = _factored(form)
    # Constant forms stay as they are; ln 0 could not be tabulated.
    if simple == 1:
        return sp.Integer(0)
    if simple.subs(y, s) == 0:
        return -sp.oo
    if simple.is_number:
        return sp.log(sp.Abs(simple))
    return exact_log_magnitude(simple.subs(y, s), y)


def _factored(form: sp.Expr) -> sp.Expr:
    """Factor a form if this is quick: products do not cancel."""
    found = Allowance(_FACTOR_SECONDS).spend(lambda: sp.factor(sp.factor_terms(form)))
    return form if found is None else found


def _symmetric(value: sp.Expr, ends: tuple[float, float], increasing: bool) -> bool:
    """Whether ``f(-y) = inf f + sup f - f(y)``."""
    lower, upper = ends
    if not increasing or math.isinf(lower) != math.isinf(upper):
        return False
    total = 0.0 if math.isinf(lower) else lower + upper
    # Tested numerically, at a few arguments from small to saturated.
    points = np.array([0.1, 0.7, 1.9, 5.3, 17.0])
    both = evaluate(value, {real_y: points}) + evaluate(value, {real_y: -points})
    return bool(np.allclose(both, total, rtol=1e-12, atol=1e-12))
