"""Series of algebraic expressions in falling powers: what is left where leading terms cancel.

``1 - s/(1 + s^3)^(1/3) = s^-3/3 - ...`` exactly and at once, where a general limit takes SymPy seconds.
"""

from typing import Final, TypeAlias

import sympy as sp

Series: TypeAlias = dict[sp.Rational, sp.Expr]
"""Coefficient by power, as far as it is carried."""

_TERMS: Final = 8


class NotAlgebraicError(Exception):
    """The expression is no algebraic function of its variable, or its terms cancel beyond those carried."""


def leading_power(expression: sp.Expr, variable: sp.Symbol) -> sp.Rational:
    """Power of the leading term as the variable grows.

    Raises
    ------
    NotAlgebraicError
        If there is none to be found.

    >>> s = sp.Symbol("s", positive=True)
    >>> leading_power(1 - s / sp.cbrt(1 + s**3), s)
    -3
    """
    return max(_series(expression, variable))


def _series(expression: sp.Expr, variable: sp.Symbol) -> Series:
    if not expression.has(variable):
        if not expression.is_real or expression.is_zero:
            raise NotAlgebraicError
        return {sp.S.Zero: expression}
    if expression == variable:
        return {sp.S.One: sp.S.One}
    if isinstance(expression, sp.Add):
        return _added([_series(term, variable) for term in expression.args])
    if isinstance(expression, sp.Mul):
        product: Series = {sp.S.Zero: sp.S.One}
        for factor in expression.args:
            product = _multiplied(product, _series(factor, variable))
        return product
    if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
        return _raised(_series(expression.base, variable), expression.exp)
    raise NotAlgebraicError


def _kept(series: Series) -> Series:
    """Without vanishing coefficients, and no more than the leading terms."""
    exact = {power: sp.nsimplify(sp.simplify(c)) for power, c in series.items()}
    alive = sorted((power for power, c in exact.items() if c != 0), reverse=True)[:_TERMS]
    if not alive:
        raise NotAlgebraicError
    return {power: exact[power] for power in alive}


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
    total: Series = {sp.S.Zero: sp.S.One}
    if rest:
        power_of_rest: Series = {sp.S.Zero: sp.S.One}
        parts = [total]
        for k in range(1, _TERMS):
            power_of_rest = _multiplied(power_of_rest, rest)
            factor = sp.binomial(exponent, k)
            if factor == 0:
                break
            parts.append({power: factor * c for power, c in power_of_rest.items()})
        # u^k begins at k times the power at which u does: what is carried is exact down to the first left out.
        floor = max(rest) * _TERMS
        merged: Series = {}
        for part in parts:
            for power, c in part.items():
                if power > floor:
                    merged[power] = merged.get(power, sp.S.Zero) + c
        total = _kept(merged)
    scale = lead**exponent
    return {power + top * exponent: scale * c for power, c in total.items()}
