"""Limits of an activation at the ends of the line, exact if the rules of growth give them."""

import math
from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.asymptotics.asymptotic_branch import asymptotic_branch, asymptotic_sign
from critlearn.compositions.asymptotics.growth import growth, limit_of
from critlearn.compositions.asymptotics.growth_order import UndecidedError
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s
from critlearn.compositions.tails.numeric_limit import numeric_limit
from critlearn.numerics.time_budget import Allowance

_SECONDS: Final = 0.2
"""Processor time, in seconds, for an exact limit; after that it is extrapolated."""

_FAR: Final = (1e4, 1e8)
"""Arguments between which a diverging value grows at least tenfold."""

_DIGITS: Final = 40
"""Digits for values at `_FAR`: 16 to lose where terms of the size 1e8 leave a difference of 1e-8, and 24 to spare."""


def limit_at_end(value: sp.Expr, symbol: sp.Symbol, end: int) -> sp.Expr:
    """Limit at an end of the line: exact by the rules of growth, else the closed form of a numeric limit, else NaN."""
    form = asymptotic_branch(value.subs(symbol, end * s))
    limit = Allowance(_SECONDS).spend(lambda: _limit_by_rules(form))
    if limit is not None:
        return limit
    number = _numeric_limit(form)
    return sp.nsimplify(number, [sp.pi], tolerance=1e-14) if math.isfinite(number) else sp.sympify(number)


def _limit_by_rules(form: sp.Expr) -> sp.Expr | None:
    """Exact limit; None where the rules of growth do not decide it."""
    try:
        direction = growth(form).direction
        if direction > 0:
            return asymptotic_sign(form) * sp.oo
        limit = sp.S.Zero if direction < 0 else limit_of(form)
    except (UndecidedError, ArithmeticError, MemoryError):
        return None
    return limit if limit.is_real else None


def _numeric_limit(form: sp.Expr) -> float:
    """Extrapolated limit; infinite if values keep growing, NaN if no limit is claimed."""
    try:
        with mpmath.workdps(_DIGITS):
            far = [float(mpmath.re(evaluate(form, {s: mpmath.mpf(x)}))) for x in _FAR]
        if abs(far[1]) > 10 * abs(far[0]) + 1:
            return math.copysign(math.inf, far[1])
        found = numeric_limit(lambda x: evaluate(form, {s: x}))
    except (ArithmeticError, ValueError, TypeError):
        return math.nan
    return math.nan if found is None else found.value
