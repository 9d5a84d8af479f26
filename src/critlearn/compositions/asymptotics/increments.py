"""Differences ``F(a + h) - F(a)`` and ``F(x) - F(inf)`` of elementary functions in forms that do not cancel."""

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.symbolic.functions import erf_step, expit, softplus

Split = tuple[sp.Expr, sp.Expr]
"""Limit and remainder: two expressions that add up to a third, the second of which vanishes."""


def increment(function: sp.Expr, at: sp.Expr, step: sp.Expr) -> sp.Expr | None:
    """Increment ``F(at + step) - F(at)`` in a form that does not cancel; None if no such form is known.

    `function` is a call such as ``tanh(x)``; only its type F matters.

    >>> h = sp.Symbol("h")
    >>> increment(sp.atan(h), sp.Integer(1), h)
    atan(h/(h + 2))
    """
    if isinstance(function, sp.tanh):
        return sp.sinh(step) / (sp.cosh(at) * sp.cosh(at + step))
    if isinstance(function, sp.atan):
        return sp.atan(step / (1 + at * (at + step)))
    if isinstance(function, expit):
        return -expit(at + step) * expit(-at) * expm1(-step)
    if isinstance(function, softplus):
        return log1p(expit(at) * expm1(step))
    if isinstance(function, sp.erf):
        return erf_step(at, step)
    return None


def increment_of_smooth(function: sp.Expr, at: sp.Expr, step: sp.Expr) -> Split | None:
    """``F(at)`` and ``F(at + step) - F(at)`` of an exponential, a logarithm, a sine or a cosine; None for others.

    Unlike in `increment`, `at` may depend on ``s``, except for sine and cosine.
    """
    if isinstance(function, sp.exp):
        return sp.exp(at), sp.exp(at) * expm1(step)
    if isinstance(function, sp.log) and at != 0:
        return sp.log(at), log1p(step / at)
    if isinstance(function, log1p) and at != -1:
        return sp.log(1 + at), log1p(step / (1 + at))
    # cos(h) - 1 without cancellation.
    half = -2 * sp.sin(step / 2) ** 2
    if isinstance(function, sp.cos) and at.is_number:
        return sp.cos(at), sp.cos(at) * half - sp.sin(at) * sp.sin(step)
    if isinstance(function, sp.sin) and at.is_number:
        return sp.sin(at), sp.sin(at) * half + sp.cos(at) * sp.sin(step)
    return None


def split_far_out(function: sp.Expr, sign: int) -> Split | None:
    """Limit and remainder of a function whose argument tends to ``sign * infinity``; None where it has none.

    >>> split_far_out(sp.erf(sp.Symbol("x")), 1)
    (1, -erfc(x))
    """
    x = function.args[0]
    if isinstance(function, sp.tanh):
        return sp.Integer(sign), -2 * sign * expit(-2 * sign * x)
    if isinstance(function, sp.erf):
        return sp.Integer(sign), -sign * sp.erfc(sign * x)
    if isinstance(function, sp.atan):
        return sign * sp.pi / 2, -sign * sp.acot(sign * x)
    if sign > 0 and isinstance(function, expit):
        return sp.S.One, -expit(-x)
    if sign > 0 and isinstance(function, softplus):
        return x, softplus(-x)
    if sign < 0 and isinstance(function, sp.erfc):
        return sp.Integer(2), -sp.erfc(-x)
    return None
