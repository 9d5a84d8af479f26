"""The branch of an expression that holds far out: absolute values, maxima and cases decided by their sign there."""

from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s

_SWITCHES: Final = (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.DiracDelta, sp.Piecewise)
_FAR: Final = 300
_CASES_FAR: Final = mpmath.mpf(2) ** 200


def branches_far_out(expression: sp.Expr) -> sp.Expr:
    """Same expression with every absolute value, maximum and case replaced by the branch that holds for large `s`."""
    return _branched(expression, _CASES_FAR, _FAR)


def vanishes_around(expression: sp.Expr, at: float) -> bool:
    """Whether the branch of an expression that holds at a value of `s` is zero identically, as of ``max(1 - s, 0)``.

    >>> vanishes_around(sp.Max(1 - s, 0) ** 2, 3.0), vanishes_around(sp.Max(1 - s, 0) ** 2, 0.5)
    (True, False)
    """
    return bool(_branched(expression, at, at) == 0)


def _branched(expression: sp.Expr, cases_at: mpmath.mpf | float, at: mpmath.mpf | float) -> sp.Expr:
    while True:
        found = [part for part in sp.preorder_traversal(expression) if isinstance(part, _SWITCHES)]
        inner = next((part for part in found if not any(other in part.args for other in found)), None)
        if inner is None:
            return expression
        replaced = _branch(inner, cases_at, at)
        if replaced is None or replaced == inner:
            return expression
        expression = expression.xreplace({inner: replaced})


def _branch(part: sp.Expr, cases_at: mpmath.mpf | float, at: mpmath.mpf | float) -> sp.Expr | None:
    if isinstance(part, sp.DiracDelta):
        return sp.S.Zero
    if isinstance(part, sp.Piecewise):
        for value, condition in part.args:
            if condition == True or _holds(condition, cases_at):  # noqa: E712 - a SymPy object
                return value
        return None
    if isinstance(part, sp.Max | sp.Min):
        best = part.args[0]
        for other in part.args[1:]:
            larger = _sign_at(other - best, at) > 0
            best = other if larger == isinstance(part, sp.Max) else best
        return best
    sign = _sign_at(part.args[0], at)
    if isinstance(part, sp.Abs):
        return part.args[0] if sign >= 0 else -part.args[0]
    return sp.Integer(sign) if isinstance(part, sp.sign) else sp.Rational(1 + sign, 2)


def _holds(condition: sp.Basic, at: mpmath.mpf | float) -> bool:
    with mpmath.workdps(60):
        return bool(evaluate(condition, {s: mpmath.mpf(at)}))


def sign_far_out(expression: sp.Expr) -> int:
    """Sign for large `s`, of an expression whose sign settles."""
    return _sign_at(expression, _FAR)


def _sign_at(expression: sp.Expr, at: mpmath.mpf | float) -> int:
    if expression.is_number:
        return int(sp.sign(expression))
    with mpmath.workdps(400):
        return int(mpmath.sign(mpmath.re(evaluate(expression, {s: mpmath.mpf(at)}))))
