"""Puiseux series in falling, possibly fractional powers of ``s``, for sums whose leading terms cancel.

``1 - s/(1 + s^3)^(1/3) = s^-3/3 - ...`` exactly and at once, where a general limit takes SymPy seconds. An analytic
function of an argument that tends to a finite value is expanded there, so that zeros at finite places
(``y = y0 + 1/s``) are covered as well.
"""

from typing import Final, TypeAlias

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.asymptotics.growth_order import is_zero
from critlearn.compositions.symbolic.functions import expit, softplus, written_out

Series: TypeAlias = dict[sp.Rational, sp.Expr]
"""Coefficients by power, at most `_TERMS` of them."""

_TERMS: Final = 8
"""Number of terms kept of a series; a sum that cancels in all of them is left undecided."""

_ANALYTIC: Final = (
    *(sp.exp, sp.log, sp.sin, sp.cos, sp.sinh, sp.cosh, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.erfc),
    *(expit, softplus, expm1, log1p),
)


class NoSeriesError(Exception):
    """Raised for an expression that has no such series, or whose terms cancel beyond those that are kept."""


def leading_power(expression: sp.Expr, variable: sp.Symbol) -> sp.Rational:
    """Power of the leading term for a large variable.

    Raises
    ------
    NoSeriesError
        If no series is found.

    >>> s = sp.Symbol("s", positive=True)
    >>> leading_power(1 - s / sp.cbrt(1 + s**3), s), leading_power(1 - sp.cos(1 / s), s)
    (-3, -2)
    """
    return max(power_series(expression, variable))


def power_series(expression: sp.Expr, variable: sp.Symbol) -> Series:
    """Leading terms of the series for a large variable.

    Raises
    ------
    NoSeriesError
        If no series is found.
    """
    if not expression.has(variable):
        if not expression.is_real or is_zero(expression):
            raise NoSeriesError
        return {sp.S.Zero: expression}
    if expression == variable:
        return {sp.S.One: sp.S.One}
    if isinstance(expression, sp.Add):
        return _sum([power_series(term, variable) for term in expression.args])
    if isinstance(expression, sp.Mul):
        product: Series = {sp.S.Zero: sp.S.One}
        for factor in expression.args:
            product = _product(product, power_series(factor, variable))
        return product
    if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
        return _power(power_series(expression.base, variable), expression.exp)
    if isinstance(expression, _ANALYTIC):
        return _function(expression, variable)
    raise NoSeriesError


def _truncated(series: Series) -> Series:
    """Leading terms of a series, leaving out coefficients that are zero."""
    leading = sorted((power for power, c in series.items() if not is_zero(c)), reverse=True)[:_TERMS]
    if not leading:
        raise NoSeriesError
    return {power: series[power] for power in leading}


def _sum(parts: list[Series]) -> Series:
    """Sum of series, down to the power to which all of them are known."""
    # Below the last term of a truncated part nothing is known.
    floors = [min(part) for part in parts if len(part) >= _TERMS]
    floor = max(floors, default=-sp.oo)
    total: Series = {}
    for part in parts:
        for power, c in part.items():
            if power >= floor:
                total[power] = total.get(power, sp.S.Zero) + c
    return _truncated(total)


def _product(first: Series, second: Series) -> Series:
    """Product of two series, down to the power to which both are known."""
    total: Series = {}
    for power, c in first.items():
        for other, d in second.items():
            total[power + other] = total.get(power + other, sp.S.Zero) + c * d
    # Products of dropped terms begin one step below the shorter of the two.
    floors = [min(one) + max(other) for one, other in ((first, second), (second, first)) if len(one) >= _TERMS]
    floor = max(floors, default=-sp.oo)
    return _truncated({power: c for power, c in total.items() if power >= floor})


def _power(base: Series, exponent: sp.Rational) -> Series:
    """Power of a series: ``(c s^p (1 + u))^e = c^e s^(p e) sum_k binomial(e, k) u^k``."""
    top = max(base)
    lead = base[top]
    # A root of a negative number is not real.
    if not lead.is_positive and not exponent.is_Integer:
        raise NoSeriesError
    rest = {power - top: c / lead for power, c in base.items() if power != top}
    expanded = _at_small([sp.binomial(exponent, k) for k in range(_TERMS)], rest)
    scale = lead**exponent
    return {power + top * exponent: scale * c for power, c in expanded.items()}


def _function(expression: sp.Expr, variable: sp.Symbol) -> Series:
    """Analytic function of an argument that tends to a finite value, by its Taylor series there."""
    inner = power_series(expression.args[0], variable)
    if max(inner) > 0:
        raise NoSeriesError
    centre = inner.get(sp.S.Zero, sp.S.Zero)
    point = sp.Dummy("x", real=True)
    function = written_out(expression.func(point))
    coefficients = []
    for k in range(_TERMS):
        coefficient = function.subs(point, centre)
        if not (coefficient.is_number and coefficient.is_finite and coefficient.is_real):
            raise NoSeriesError
        coefficients.append(coefficient / sp.factorial(k))
        function = sp.diff(function, point)
    return _at_small(coefficients, {power: c for power, c in inner.items() if power != 0})


def _at_small(coefficients: list[sp.Expr], small: Series) -> Series:
    """Power series ``sum_k a_k u^k`` at a vanishing ``u``."""
    if not small:
        return _truncated({sp.S.Zero: coefficients[0]})
    total: Series = {sp.S.Zero: coefficients[0]}
    power_of_u: Series = {sp.S.Zero: sp.S.One}
    # u^k begins at k times the power at which u does: the sum is exact down to the first term left out.
    floor = max(small) * _TERMS
    if len(small) >= _TERMS:
        floor = max(floor, min(small))
    for coefficient in coefficients[1:]:
        power_of_u = _product(power_of_u, small)
        if coefficient == 0:
            continue
        for power, c in power_of_u.items():
            if power > floor:
                total[power] = total.get(power, sp.S.Zero) + coefficient * c
    return _truncated(total)
