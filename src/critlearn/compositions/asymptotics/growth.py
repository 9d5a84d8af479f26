"""How fast an expression grows or decays, by rules that are exact and quick: SymPy's limits are neither always.

The logarithm of an expression is written, up to a constant, as ``sum_k c_k s^k + a ln s + b ln ln s`` (`Growth`).
Terms of a sum that cancel are written as limit and rest (`settled`), or expanded in powers; where that does not
tell either, `UnclearError` is raised.
"""

from typing import Final

import mpmath
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.asymptotics.growth_order import BETWEEN, BEYOND, Growth, UnclearError, fastest, vanishes
from critlearn.compositions.asymptotics.puiseux import NotAlgebraicError, leading_power, power_series
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import erf_step, expit, log_erfc, s, softplus

_DEEPEST: Final = 12

_CONSTANT: Final = Growth()
_LOGARITHM: Final = Growth(((sp.Integer(-1), sp.Integer(1)),))
_ODD: Final = (sp.tanh, sp.atan, sp.erf, sp.asinh, sp.sin, sp.sinh, expm1, log1p)
_SATURATING: Final = (sp.tanh, sp.atan, sp.erf)
_PERIODIC: Final = (sp.sin, sp.cos)


def growth(expression: sp.Expr) -> Growth:
    """Growth of an expression in `s`.

    Raises
    ------
    UnclearError
        If the rules do not tell.

    >>> growth(s**2 * sp.exp(-3 * s) / (1 + s)).terms
    ((1, -3), (0, 1))
    """
    if not expression.has(s):
        if expression.is_zero:
            raise UnclearError
        return _CONSTANT
    if expression == s:
        return Growth(((sp.Integer(0), sp.Integer(1)),))
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
        raise UnclearError
    argument = expression.args[0]
    inner = growth(argument)
    if isinstance(expression, _PERIODIC) and inner.direction > 0:
        raise UnclearError
    if inner.direction == 0 and not inner.terms and isinstance(expression, (*_ODD, sp.cos, expit, softplus)):
        _refuse_zero(expression)
    if isinstance(expression, _ODD) and inner.direction < 0:
        return inner
    if isinstance(expression, _SATURATING) or (inner.direction == 0 and not isinstance(expression, sp.log | log1p)):
        return _CONSTANT
    positive = _value(argument) > 0
    if isinstance(expression, expit):
        return _CONSTANT if positive else log_growth(argument)
    if isinstance(expression, softplus):
        return inner if positive else log_growth(argument)
    if isinstance(expression, sp.asinh) and inner.terms[0][0] == 0:
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
            lead, rest = settled(argument)
            if lead == 1 and rest != 0:
                return growth(rest)
        # A logarithm's own size: it grows as its argument's largest term does.
        own = log_growth(expression)
        if own.terms and own.terms[0][0] >= 0:
            order = own.terms[0][0]
            return Growth(((sp.Integer(0), order),)) if order > 0 else _LOGARITHM
        if not own.terms and abs(_value(expression)) > mpmath.mpf("0.001"):
            return _CONSTANT
    raise UnclearError


def _refuse_zero(expression: sp.Expr) -> None:
    """Refuse a function that tends to a constant which may be zero, such as ``sin`` at ``pi``."""
    if abs(_value(expression)) < mpmath.mpf("0.01"):
        raise UnclearError


def _bound(expression: sp.Expr) -> Growth:
    """Growth of something that is nowhere smaller than ``|E|``: sines and cosines count as 1."""
    if not expression.has(*_PERIODIC):
        return growth(expression)
    if isinstance(expression, _PERIODIC):
        return _CONSTANT
    if isinstance(expression, sp.Mul):
        total = _CONSTANT
        for factor in expression.args:
            total = total.plus(_bound(factor))
        return total
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return _CONSTANT.plus(_bound(expression.base), expression.exp)
    if isinstance(expression, sp.Add):
        return fastest([_bound(term) for term in expression.args])
    raise UnclearError


def _sum(terms: tuple[sp.Expr, ...], depth: int = 0) -> Growth:
    growths: dict[sp.Expr, Growth] = {}
    bounds = []
    for term in terms:
        try:
            growths[term] = growth(term)
        except UnclearError:
            bounds.append(_bound(term))
    if not growths:
        raise UnclearError
    best = fastest(list(growths.values()))
    # What oscillates is of no matter beside a term that outgrows the most that it can be.
    if any(best.plus(bound, sp.Integer(-1)).direction <= 0 for bound in bounds):
        raise UnclearError
    leading = [term for term, one in growths.items() if one == best]
    if len(leading) == 1 or not _cancels(leading):
        return best
    try:
        return Growth(((sp.S.Zero, leading_power(sp.Add(*terms), s)),))
    except NotAlgebraicError:
        return _rest_of(terms, depth)


def _rest_of(terms: tuple[sp.Expr, ...], depth: int) -> Growth:
    """Growth of a sum whose limits cancel: that of what its terms differ from them by."""
    parts = [settled(term) for term in terms]
    rests = sp.Add(*(rest for _, rest in parts))
    if depth > _DEEPEST or rests == 0:
        raise UnclearError
    left = sp.expand(sp.Add(*(lead for lead, _ in parts)))
    if not left.has(s) and vanishes(left):
        left = sp.S.Zero
    remaining = sp.Add.make_args(left) if left != 0 else ()
    remaining += sp.Add.make_args(sp.expand_mul(rests))
    return growth(remaining[0]) if len(remaining) == 1 else _sum(remaining, depth + 1)


def settled(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Two parts that add up to an expression: one with limits put for what tends to them, and the small rest.

    ``tanh(s)^3`` is ``1 + expm1(3 log1p(-2 expit(-2 s)))``.
    """
    if not expression.has(s):
        return expression, sp.S.Zero
    if _tends(expression) < 0:
        return sp.S.Zero, expression
    if isinstance(expression, sp.Add):
        parts = [settled(term) for term in expression.args]
        return sp.Add(*(lead for lead, _ in parts)), sp.Add(*(rest for _, rest in parts))
    if isinstance(expression, sp.Mul):
        lead, rest = sp.S.One, sp.S.Zero
        for factor in expression.args:
            # A vanishing factor stays as it is: others may grow.
            own, small = settled(factor) if _tends(factor) >= 0 else (factor, sp.S.Zero)
            lead, rest = lead * own, lead * small + rest * own + rest * small
        return lead, rest
    if isinstance(expression, sp.Pow) and not expression.exp.has(s):
        return _settled_power(*expression.args)
    if len(expression.args) == 1:
        return _settled_function(expression)
    return expression, sp.S.Zero


def _tends(expression: sp.Expr) -> int:
    """Direction of an expression, 0 also where the rules do not tell."""
    try:
        return growth(expression).direction
    except UnclearError:
        pass
    try:
        return min(0, _bound(expression).direction)
    except UnclearError:
        return 0


def limit_of(expression: sp.Expr) -> sp.Expr:
    """Finite limit of an expression.

    Raises
    ------
    UnclearError
        If there is none, or the rules do not tell.
    """
    lead, rest = settled(expression)
    if rest != 0 and growth(rest).direction >= 0:
        raise UnclearError
    if not lead.has(s):
        return lead
    try:
        series = power_series(lead, s)
    except NotAlgebraicError:
        raise UnclearError from None
    if max(series) > 0:
        raise UnclearError
    return series.get(sp.S.Zero, sp.S.Zero)


def _settled_power(base: sp.Expr, exponent: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    lead, rest = settled(base)
    if rest == 0 or lead == 0:
        return base**exponent, sp.S.Zero
    return lead**exponent, lead**exponent * expm1(exponent * log1p(rest / lead))


def _settled_function(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:  # noqa: C901 - a table of rules
    x = expression.args[0]
    try:
        grows = growth(x).direction > 0
    except UnclearError:
        return expression, sp.S.Zero
    sign = 0 if not grows else (1 if _value(x) > 0 else -1)
    if sign and isinstance(expression, sp.tanh):
        return sp.Integer(sign), -2 * sign * expit(-2 * sign * x)
    if sign and isinstance(expression, sp.erf):
        return sp.Integer(sign), -sign * sp.erfc(sign * x)
    if sign and isinstance(expression, sp.atan):
        return sign * sp.pi / 2, -sign * sp.acot(sign * x)
    if sign > 0 and isinstance(expression, expit):
        return sp.S.One, -expit(-x)
    if sign > 0 and isinstance(expression, softplus):
        return x, softplus(-x)
    if sign < 0 and isinstance(expression, sp.erfc):
        return sp.Integer(2), -sp.erfc(-x)
    lead, rest = settled(x)
    if isinstance(expression, expm1):
        lead, rest = settled(sp.exp(x))
        return lead - 1, rest
    if rest == 0:
        lead, rest = _settled_algebraic(x)
    if rest == 0:
        return expression, sp.S.Zero
    if isinstance(expression, sp.exp):
        return sp.exp(lead), sp.exp(lead) * expm1(rest)
    if isinstance(expression, sp.log) and lead != 0:
        return sp.log(lead), log1p(rest / lead)
    if isinstance(expression, log1p) and lead != -1:
        return sp.log(1 + lead), log1p(rest / (1 + lead))
    if isinstance(expression, sp.cos) and not lead.has(s):
        return sp.cos(lead), -2 * sp.cos(lead) * sp.sin(rest / 2) ** 2 - sp.sin(lead) * sp.sin(rest)
    if isinstance(expression, sp.sin) and not lead.has(s):
        return sp.sin(lead), -2 * sp.sin(lead) * sp.sin(rest / 2) ** 2 + sp.cos(lead) * sp.sin(rest)
    if not lead.has(s):
        step = _step(expression, lead, rest)
        if step is not None:
            return expression.func(lead), step
    return expression, sp.S.Zero


def _settled_algebraic(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Limit and rest of an algebraic expression that tends to a constant, such as ``s/(1 + s)``."""
    try:
        limit = limit_of(expression)
    except UnclearError:
        return expression, sp.S.Zero
    return limit, sp.together(expression - limit)


def _step(function: sp.Expr, lead: sp.Expr, rest: sp.Expr) -> sp.Expr | None:
    """``F(a + h) - F(a)`` for a constant ``a`` and a small ``h``, written so that it does not cancel."""
    if isinstance(function, sp.tanh):
        return sp.sinh(rest) / (sp.cosh(lead) * sp.cosh(lead + rest))
    if isinstance(function, sp.atan):
        return sp.atan(rest / (1 + lead * (lead + rest)))
    if isinstance(function, expit):
        return -expit(lead + rest) * expit(-lead) * expm1(-rest)
    if isinstance(function, softplus):
        return log1p(expit(lead) * expm1(rest))
    if isinstance(function, sp.erf):
        return erf_step(lead, rest)
    return None


def _cancels(terms: list[sp.Expr]) -> bool:
    """Whether terms that are of one size leave much less than their size."""
    with mpmath.workdps(60):
        values = [_value(term) for term in terms]
        return bool(abs(sum(values)) < mpmath.mpf("0.01") * max(abs(value) for value in values))


def _value(expression: sp.Expr) -> mpmath.mpf:
    with mpmath.workdps(60):
        try:
            value = evaluate(expression, {s: mpmath.mpf(2000)})
        except (ArithmeticError, ValueError, TypeError) as problem:
            raise UnclearError from problem
    try:
        value = mpmath.mpf(value)
    except TypeError:
        raise UnclearError from None
    if not mpmath.isfinite(value):
        raise UnclearError
    return value


def log_growth(form: sp.Expr) -> Growth:
    """Growth of ``exp(form)``.

    Raises
    ------
    UnclearError
        If the rules do not tell.
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
        return Growth(((sp.Integer(0), factor),))
    own = growth(rest)
    if own.direction <= 0:
        return _CONSTANT
    order, power = own.terms[0]
    positive = sp.sign(_value(rest)) * factor
    if order == -1 and power > 1:
        # exp(ln^b s) with b > 1 outgrows every power and no exponential of one.
        return Growth(((BETWEEN, positive),))
    if order > 0:
        return Growth(((BEYOND, positive),))
    return _CONSTANT.plus(_of_powers(rest), factor)


def _of_powers(rest: sp.Expr) -> Growth:
    """Growth of ``exp(rest)`` for a rest that has a series in powers, or tends to one."""
    lead, small = settled(rest)
    if small != 0 and lead != rest:
        return log_growth(lead)
    try:
        series = power_series(rest, s)
    except NotAlgebraicError:
        raise UnclearError from None
    return Growth.of({order: c for order, c in series.items() if order > 0})
