"""Series in falling powers: what is left where leading terms cancel.

``1 - s/(1 + s^3)^(1/3) = s^-3/3 - ...`` exactly and at once, where a general limit takes SymPy seconds. Analytic
functions of what tends to a finite value are expanded there, so that zeros at finite places (``y = y0 + 1/s``) are
covered as well.
"""

from typing import Final, TypeAlias

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.symbolic.functions import expit, softplus, written_out

Series: TypeAlias = dict[sp.Rational, sp.Expr]
"""Coefficient by power, as far as it is carried."""

_TERMS: Final = 8
_DIGITS: Final = 40
_NOTHING: Final = 1e-30
"""Size below which a coefficient computed to `_DIGITS` digits is zero."""

_ANALYTIC: Final = (
    *(sp.exp, sp.log, sp.sin, sp.cos, sp.sinh, sp.cosh, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.erfc),
    *(expit, softplus, expm1, log1p),
)


class NotAlgebraicError(Exception):
    """The expression has no such series, or its terms cancel beyond those carried."""


def leading_power(expression: sp.Expr, variable: sp.Symbol) -> sp.Rational:
    """Power of the leading term as the variable grows.

    Raises
    ------
    NotAlgebraicError
        If there is none to be found.

    >>> s = sp.Symbol("s", positive=True)
    >>> leading_power(1 - s / sp.cbrt(1 + s**3), s), leading_power(1 - sp.cos(1 / s), s)
    (-3, -2)
    """
    return max(power_series(expression, variable))


def power_series(expression: sp.Expr, variable: sp.Symbol) -> Series:
    """Leading terms as the variable grows.

    Raises
    ------
    NotAlgebraicError
        If there are none to be found.
    """
    if not expression.has(variable):
        if not expression.is_real or _vanishes(expression):
            raise NotAlgebraicError
        return {sp.S.Zero: expression}
    if expression == variable:
        return {sp.S.One: sp.S.One}
    if isinstance(expression, sp.Add):
        return _added([power_series(term, variable) for term in expression.args])
    if isinstance(expression, sp.Mul):
        product: Series = {sp.S.Zero: sp.S.One}
        for factor in expression.args:
            product = _multiplied(product, power_series(factor, variable))
        return product
    if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
        return _raised(power_series(expression.base, variable), expression.exp)
    if isinstance(expression, _ANALYTIC):
        return _composed(expression, variable)
    raise NotAlgebraicError


def _vanishes(coefficient: sp.Expr) -> bool:
    """Whether a constant is zero: exactly for numbers, else to so many digits that chance is out of the question."""
    if coefficient.is_Rational:
        return bool(coefficient == 0)
    return bool(abs(sp.N(coefficient, _DIGITS, maxn=200)) < _NOTHING)


def _kept(series: Series) -> Series:
    """Without vanishing coefficients, and no more than the leading terms."""
    alive = sorted((power for power, c in series.items() if not _vanishes(c)), reverse=True)[:_TERMS]
    if not alive:
        raise NotAlgebraicError
    return {power: series[power] for power in alive}


def _added(parts: list[Series]) -> Series:
    # Below the last term that a truncated part carries nothing is known.
    floors = [min(part) for part in parts if len(part) >= _TERMS]
    floor = max(floors, default=-sp.oo)
    total: Series = {}
    for part in parts:
        for power, c in part.items():
            if power >= floor:
                total[power] = total.get(power, sp.S.Zero) + c
    return _kept(total)


def _multiplied(first: Series, second: Series) -> Series:
    total: Series = {}
    for power, c in first.items():
        for other, d in second.items():
            total[power + other] = total.get(power + other, sp.S.Zero) + c * d
    # Products of dropped terms begin one step below the shorter of the two.
    floors = [min(one) + max(other) for one, other in ((first, second), (second, first)) if len(one) >= _TERMS]
    floor = max(floors, default=-sp.oo)
    return _kept({power: c for power, c in total.items() if power >= floor})


def _raised(base: Series, exponent: sp.Rational) -> Series:
    """``(c s^p (1 + u))^e = c^e s^(p e) sum_k binomial(e, k) u^k``."""
    top = max(base)
    lead = base[top]
    if not lead.is_positive and not exponent.is_Integer:
        raise NotAlgebraicError
    rest = {power - top: c / lead for power, c in base.items() if power != top}
    expanded = _substituted([sp.binomial(exponent, k) for k in range(_TERMS)], rest)
    scale = lead**exponent
    return {power + top * exponent: scale * c for power, c in expanded.items()}


def _composed(expression: sp.Expr, variable: sp.Symbol) -> Series:
    """Function of what tends to a finite value, by its Taylor series there."""
    inner = power_series(expression.args[0], variable)
    if max(inner) > 0:
        raise NotAlgebraicError
    centre = inner.get(sp.S.Zero, sp.S.Zero)
    point = sp.Dummy("x", real=True)
    function = written_out(expression.func(point))
    coefficients = []
    for k in range(_TERMS):
        coefficient = function.subs(point, centre)
        if not (coefficient.is_number and coefficient.is_finite and coefficient.is_real):
            raise NotAlgebraicError
        coefficients.append(coefficient / sp.factorial(k))
        function = sp.diff(function, point)
    return _substituted(coefficients, {power: c for power, c in inner.items() if power != 0})


def _substituted(coefficients: list[sp.Expr], small: Series) -> Series:
    """``sum_k a_k u^k`` for a vanishing ``u``."""
    if not small:
        return _kept({sp.S.Zero: coefficients[0]})
    merged: Series = {sp.S.Zero: coefficients[0]}
    power_of_small: Series = {sp.S.Zero: sp.S.One}
    # u^k begins at k times the power at which u does: what is carried is exact down to the first left out.
    floor = max(small) * _TERMS
    if len(small) >= _TERMS:
        floor = max(floor, min(small))
    for coefficient in coefficients[1:]:
        power_of_small = _multiplied(power_of_small, small)
        if coefficient == 0:
            continue
        for power, c in power_of_small.items():
            if power > floor:
                merged[power] = merged.get(power, sp.S.Zero) + coefficient * c
    return _kept(merged)
