"""Branch of a piecewise expression that holds for large ``s``: absolute values, maxima and cases decided there."""

from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s

_PIECEWISE: Final = (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.DiracDelta, sp.Piecewise)
_FAR: Final = 300
"""Value of ``s`` that stands for all large ones; its exponentials still fit into `SIGN_DIGITS` digits."""

_CASES_FAR: Final = mpmath.mpf(2) ** 200
"""Value of ``s`` at which conditions are read; they compare numbers of any size, so it may be larger than `_FAR`."""

_CONDITION_DIGITS: Final = 60
"""Digits for conditions, which are evaluated at `_CASES_FAR` = 1.6e60."""

SIGN_DIGITS: Final = 400
"""Digits for a sign: differences such as ``tanh(300) - 1`` are of the size 1e-261."""


def asymptotic_branch(expression: sp.Expr) -> sp.Expr:
    """Replace each absolute value, maximum and case of an expression by the branch that holds for large `s`.

    >>> asymptotic_branch(sp.Abs(2 - s) + sp.Max(s, 5))
    2*s - 2
    """
    return _on_one_branch(expression, _CASES_FAR, _FAR)


def asymptotic_sign(expression: sp.Expr) -> int:
    """Sign of an expression for large `s`."""
    return _sign_at(expression, _FAR)


def vanishes_near(expression: sp.Expr, at: float) -> bool:
    """Whether an expression is identically zero near a value of `s`, as ``max(1 - s, 0)`` is near 3.

    >>> vanishes_near(sp.Max(1 - s, 0) ** 2, 3.0), vanishes_near(sp.Max(1 - s, 0) ** 2, 0.5)
    (True, False)
    """
    return bool(_on_one_branch(expression, at, at) == 0)


def _on_one_branch(expression: sp.Expr, cases_at: mpmath.mpf | float, at: mpmath.mpf | float) -> sp.Expr:
    """Expression on the branch that holds at a value of `s`, from the innermost piecewise function outwards."""
    # Innermost first: the sign of an outer argument is known only when the functions inside it are gone.
    while True:
        found = [part for part in sp.preorder_traversal(expression) if isinstance(part, _PIECEWISE)]
        inner = next((part for part in found if not any(other in part.args for other in found)), None)
        if inner is None:
            return expression
        replaced = _branch_of(inner, cases_at, at)
        if replaced is None or replaced == inner:
            return expression
        expression = expression.xreplace({inner: replaced})


def _branch_of(part: sp.Expr, cases_at: mpmath.mpf | float, at: mpmath.mpf | float) -> sp.Expr | None:
    """Branch of one piecewise function; None if no case holds."""
    # The derivative of a step: zero everywhere but at the step itself.
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
    with mpmath.workdps(_CONDITION_DIGITS):
        return bool(evaluate(condition, {s: mpmath.mpf(at)}))


def _sign_at(expression: sp.Expr, at: mpmath.mpf | float) -> int:
    if expression.is_number:
        return int(sp.sign(expression))
    with mpmath.workdps(SIGN_DIGITS):
        return int(mpmath.sign(mpmath.re(evaluate(expression, {s: mpmath.mpf(at)}))))
