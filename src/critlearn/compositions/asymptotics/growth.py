"""Growth of an expression for large ``s``, by exact and fast rules; SymPy's limits may take seconds, or be wrong.

The logarithm of an expression is written, up to a constant, as ``sum_k c_k s^k + a ln s + b ln ln s`` (`Growth`).
Terms of a sum that cancel are expanded in powers, or written as limit and vanishing remainder (`split_limit`);
where that does not decide either, `UndecidedError` is raised.
"""

from typing import Final

import mpmath
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.asymptotics.growth_order import (
    DOUBLE_EXPONENTIAL,
    LOG,
    LOG_LOG,
    QUASI_POLYNOMIAL,
    Growth,
    UndecidedError,
    fastest,
    is_zero,
)
from critlearn.compositions.asymptotics.increments import (
    Split,
    increment,
    increment_of_smooth,
    split_far_out,
)
from critlearn.compositions.asymptotics.puiseux import NoSeriesError, leading_power, power_series
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import erf_step, expit, log_erfc, s, softplus

_DEEPEST: Final = 12
"""Recursions into the remainders of cancelling limits: remainders may cancel again, possibly without end."""

_FAR: Final = 2000
_DIGITS: Final = 60
"""Value of ``s``, and number of digits, for evaluating signs and detecting cancellation."""

_CANCELLED: Final = mpmath.mpf("0.01")
"""Sum of terms of equal growth, relative to the largest term, below which they count as cancelling."""

_LEAST_CONSTANT: Final = mpmath.mpf("0.001")
"""Absolute value of a logarithm at `_FAR` above which its limit counts as different from 0."""

_CONSTANT: Final = Growth()
_LOGARITHM: Final = Growth(((LOG_LOG, sp.Integer(1)),))
_LINEAR_AT_ZERO: Final = (sp.tanh, sp.atan, sp.erf, sp.asinh, sp.sin, sp.sinh, expm1, log1p)
_SATURATING: Final = (sp.tanh, sp.atan, sp.erf)
_PERIODIC: Final = (sp.sin, sp.cos)


def growth(expression: sp.Expr) -> Growth:
    """Growth of an expression in `s`.

    Raises
    ------
    UndecidedError
        If the rules do not decide it.

    >>> growth(s**2 * sp.exp(-3 * s) / (1 + s)).terms
    ((1, -3), (0, 1))
    """
    if not expression.has(s):
        if expression.is_zero:
            raise UndecidedError
        return _CONSTANT
    if expression == s:
        return Growth(((LOG, sp.Integer(1)),))
    if isinstance(expression, sp.Mul):
        total = _CONSTANT
        for factor in expression.args:
            total = total.plus(growth(factor))
        return total
    if isinstance(expression, sp.exp):
        return log_growth(expression.args[0])
    if isinstance(expression, sp.Pow):
        base, exponent = expression.args
        if not exponent.has(s):
            return _CONSTANT.plus(growth(base), exponent)
        return log_growth(exponent * sp.log(base))
    if isinstance(expression, sp.Add):
        return _sum(expression.args)
    return _function(expression)


def _function(expression: sp.Expr) -> Growth:  # noqa: C901 - a table of rules
    if isinstance(expression, erf_step):
        return growth(expression.args[1])
    if not expression.args or len(expression.args) > 1:
        raise UndecidedError
    argument = expression.args[0]
    inner = growth(argument)
    if isinstance(expression, _PERIODIC) and inner.direction > 0:
        raise UndecidedError
    if inner.direction == 0 and not inner.terms and isinstance(expression, (*_LINEAR_AT_ZERO, sp.cos, expit, softplus)):
        _raise_if_it_may_vanish(expression)
    if isinstance(expression, _LINEAR_AT_ZERO) and inner.direction < 0:
        return inner
    if isinstance(expression, _SATURATING) or (inner.direction == 0 and not isinstance(expression, sp.log | log1p)):
        return _CONSTANT
    positive = _value(argument) > 0
    if isinstance(expression, expit):
        return _CONSTANT if positive else log_growth(argument)
    if isinstance(expression, softplus):
        return inner if positive else log_growth(argument)
    if isinstance(expression, sp.asinh) and inner.terms[0][0] == LOG:
        return _LOGARITHM
    if isinstance(expression, sp.acot) and inner.direction > 0:
        return _CONSTANT.plus(inner, sp.Integer(-1))
    if isinstance(expression, sp.erfc):
        return log_growth(log_erfc(argument))
    if isinstance(expression, expm1):
        return log_growth(argument) if positive else _CONSTANT
    if isinstance(expression, sp.cosh | sp.sinh):
        return log_growth(argument if positive else -argument)
    if isinstance(expression, log_erfc | sp.log | log1p):
        if isinstance(expression, sp.log) and inner.direction == 0:
            # ln(1 + u) ~ u
            limit, remainder = split_limit(argument)
            if limit == 1 and remainder != 0:
                return growth(remainder)
        # The logarithm of an argument that grows as exp(s^k) is of the size s^k, and of one that grows as s^a, ln s.
        of_argument = log_growth(expression)
        if of_argument.terms and of_argument.terms[0][0] >= LOG:
            order = of_argument.terms[0][0]
            return Growth(((LOG, order),)) if order > LOG else _LOGARITHM
        # The value at s = 2000 is the only evidence that the constant limit is not 0.
        if not of_argument.terms and abs(_value(expression)) > _LEAST_CONSTANT:
            return _CONSTANT
    raise UndecidedError


def _raise_if_it_may_vanish(expression: sp.Expr) -> None:
    """Raise if the constant limit of a function may be zero, as that of ``sin`` at ``pi``."""
    if abs(_value(expression)) < _CANCELLED:
        raise UndecidedError


def _growth_of_bound(expression: sp.Expr) -> Growth:
    """Growth of an upper bound of ``|E|``, with sines and cosines replaced by 1."""
    if not expression.has(*_PERIODIC):
        return growth(expression)
    if isinstance(expression, _PERIODIC):
        return _CONSTANT
    if isinstance(expression, sp.Mul):
        total = _CONSTANT
        for factor in expression.args:
            total = total.plus(_growth_of_bound(factor))
        return total
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return _CONSTANT.plus(_growth_of_bound(expression.base), expression.exp)
    if isinstance(expression, sp.Add):
        return fastest([_growth_of_bound(term) for term in expression.args])
    raise UndecidedError


def _sum(terms: tuple[sp.Expr, ...], depth: int = 0) -> Growth:
    """Growth of a sum, which is that of its fastest terms unless these cancel."""
    growths: dict[sp.Expr, Growth] = {}
    bounds = []
    for term in terms:
        try:
            growths[term] = growth(term)
        except UndecidedError:
            bounds.append(_growth_of_bound(term))
    if not growths:
        raise UndecidedError
    best = fastest(list(growths.values()))
    # An oscillating term does not matter beside one that outgrows its amplitude.
    if any(best.plus(bound, sp.Integer(-1)).direction <= 0 for bound in bounds):
        raise UndecidedError
    leading = [term for term, one in growths.items() if one == best]
    if len(leading) == 1 or not _cancels(leading):
        return best
    try:
        return Growth(((sp.S.Zero, leading_power(sp.Add(*terms), s)),))
    except NoSeriesError:
        return _growth_of_remainders(terms, depth)


def _growth_of_remainders(terms: tuple[sp.Expr, ...], depth: int) -> Growth:
    """Growth of a sum whose limits cancel, from the remainders that its terms have beside their limits."""
    parts = [split_limit(term) for term in terms]
    remainders = sp.Add(*(remainder for _, remainder in parts))
    if depth > _DEEPEST or remainders == 0:
        raise UndecidedError
    left = sp.expand(sp.Add(*(limit for limit, _ in parts)))
    if not left.has(s) and is_zero(left):
        left = sp.S.Zero
    remaining = sp.Add.make_args(left) if left != 0 else ()
    remaining += sp.Add.make_args(sp.expand_mul(remainders))
    return growth(remaining[0]) if len(remaining) == 1 else _sum(remaining, depth + 1)


def split_limit(expression: sp.Expr) -> Split:
    """Split an expression into a limit and a remainder that vanishes for large `s`.

    The two add up to the expression exactly: ``tanh(s)^3`` is ``1 + expm1(3 log1p(-2 expit(-2 s)))``. Every part that
    has a finite limit is replaced by it; parts that grow stay in the first expression. The remainder is 0 if nothing
    could be split off.
    """
    if not expression.has(s):
        return expression, sp.S.Zero
    if _direction_or_zero(expression) < 0:
        return sp.S.Zero, expression
    if isinstance(expression, sp.Add):
        parts = [split_limit(term) for term in expression.args]
        return sp.Add(*(limit for limit, _ in parts)), sp.Add(*(remainder for _, remainder in parts))
    if isinstance(expression, sp.Mul):
        limit, remainder = sp.S.One, sp.S.Zero
        for factor in expression.args:
            # A vanishing factor stays as it is: others may grow.
            own, small = split_limit(factor) if _direction_or_zero(factor) >= 0 else (factor, sp.S.Zero)
            limit, remainder = limit * own, limit * small + remainder * own + remainder * small
        return limit, remainder
    if isinstance(expression, sp.Pow) and not expression.exp.has(s):
        return _split_power(*expression.args)
    if len(expression.args) == 1:
        return _split_function(expression)
    return expression, sp.S.Zero


def _direction_or_zero(expression: sp.Expr) -> int:
    """Direction of an expression's growth; 0 also if the rules do not decide it."""
    try:
        return growth(expression).direction
    except UndecidedError:
        pass
    try:
        return min(0, _growth_of_bound(expression).direction)
    except UndecidedError:
        return 0


def limit_of(expression: sp.Expr) -> sp.Expr:
    """Limit of an expression, where it is finite.

    Raises
    ------
    UndecidedError
        If there is none, or the rules do not decide it.
    """
    limit, remainder = split_limit(expression)
    if remainder != 0 and growth(remainder).direction >= 0:
        raise UndecidedError
    if not limit.has(s):
        return limit
    try:
        series = power_series(limit, s)
    except NoSeriesError:
        raise UndecidedError from None
    if max(series) > 0:
        raise UndecidedError
    return series.get(sp.S.Zero, sp.S.Zero)


def _split_power(base: sp.Expr, exponent: sp.Expr) -> Split:
    limit, remainder = split_limit(base)
    if remainder == 0 or limit == 0:
        return base**exponent, sp.S.Zero
    # (L + r)^e - L^e = L^e ((1 + r/L)^e - 1), written so that the difference does not cancel.
    return limit**exponent, limit**exponent * expm1(exponent * log1p(remainder / limit))


def _split_function(expression: sp.Expr) -> Split:
    x = expression.args[0]
    try:
        diverges = growth(x).direction > 0
    except UndecidedError:
        return expression, sp.S.Zero
    if diverges and (found := split_far_out(expression, 1 if _value(x) > 0 else -1)) is not None:
        return found
    if isinstance(expression, expm1):
        limit, remainder = split_limit(sp.exp(x))
        return limit - 1, remainder
    limit, remainder = split_limit(x)
    if remainder == 0:
        limit, remainder = _split_algebraic(x)
    if remainder == 0:
        return expression, sp.S.Zero
    smooth = increment_of_smooth(expression, limit, remainder)
    if smooth is not None:
        return smooth
    step = None if limit.has(s) else increment(expression, limit, remainder)
    return (expression, sp.S.Zero) if step is None else (expression.func(limit), step)


def _split_algebraic(expression: sp.Expr) -> Split:
    """Limit and remainder of an algebraic expression that tends to a constant, such as ``s/(1 + s)``."""
    try:
        limit = limit_of(expression)
    except UndecidedError:
        return expression, sp.S.Zero
    return limit, sp.together(expression - limit)


def _cancels(terms: list[sp.Expr]) -> bool:
    """Whether terms of equal growth cancel: their sum is far smaller than the largest of them."""
    with mpmath.workdps(_DIGITS):
        values = [_value(term) for term in terms]
        return bool(abs(sum(values)) < _CANCELLED * max(abs(value) for value in values))


def _value(expression: sp.Expr) -> mpmath.mpf:
    """Value at large ``s``, used for its sign and to detect cancellation."""
    with mpmath.workdps(_DIGITS):
        try:
            value = evaluate(expression, {s: mpmath.mpf(_FAR)})
        except (ArithmeticError, ValueError, TypeError) as problem:
            raise UndecidedError from problem
    try:
        value = mpmath.mpf(value)
    except TypeError:
        raise UndecidedError from None
    if not mpmath.isfinite(value):
        raise UndecidedError
    return value


def log_growth(form: sp.Expr) -> Growth:
    """Growth of ``exp(form)``.

    Raises
    ------
    UndecidedError
        If the rules do not decide it.
    """
    total = _CONSTANT
    for term in sp.Add.make_args(sp.expand(form)):
        total = total.plus(_log_term(term))
    return total


def _log_term(term: sp.Expr) -> Growth:  # noqa: C901 - a table of rules
    if not term.has(s):
        return _CONSTANT
    factor, rest = term.as_independent(s, as_Add=False)
    if rest == s or (isinstance(rest, sp.Pow) and rest.args[0] == s and not rest.args[1].has(s)):
        order = rest.as_base_exp()[1]
        return Growth(((order, factor),)) if order > 0 else _CONSTANT
    if isinstance(rest, sp.log):
        return _CONSTANT.plus(growth(rest.args[0]), factor)
    if isinstance(rest, log1p):
        return _CONSTANT.plus(growth(1 + rest.args[0]), factor)
    if isinstance(rest, log_erfc):
        argument = rest.args[0]
        if growth(argument).direction <= 0 or _value(argument) < 0:
            return _CONSTANT
        # erfc(u) ~ exp(-u^2) / (u sqrt(pi))
        own = log_growth(-(argument**2)).plus(growth(argument), sp.Integer(-1))
        return _CONSTANT.plus(own, factor)
    if isinstance(rest, softplus) and growth(rest.args[0]).direction > 0 and _value(rest.args[0]) > 0:
        return _CONSTANT.plus(log_growth(rest.args[0]), factor)
    if rest == sp.asinh(s):
        return Growth(((LOG, factor),))
    own = growth(rest)
    if own.direction <= 0:
        return _CONSTANT
    order, power = own.terms[0]
    signed = sp.sign(_value(rest)) * factor
    if order == LOG_LOG and power > 1:
        return Growth(((QUASI_POLYNOMIAL, signed),))
    if order > LOG:
        return Growth(((DOUBLE_EXPONENTIAL, signed),))
    return _CONSTANT.plus(_log_growth_of_series(rest), factor)


def _log_growth_of_series(form: sp.Expr) -> Growth:
    """Growth of ``exp(form)`` for a form that has a series in powers, or tends to one that has."""
    limit, remainder = split_limit(form)
    if remainder != 0 and limit != form:
        return log_growth(limit)
    try:
        series = power_series(form, s)
    except NoSeriesError:
        raise UndecidedError from None
    return Growth.of({order: c for order, c in series.items() if order > 0})
