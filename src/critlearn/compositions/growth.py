"""How fast an expression grows or decays, by rules that are exact and quick: SymPy's limits are neither always.

The logarithm of an expression is written, up to a constant, as ``sum_k c_k s^k + a ln s`` (`Growth`). Where a rule
would have to decide about terms that cancel, `UnclearError` is raised and another way has to be taken.
"""

from dataclasses import dataclass
from typing import Final

import mpmath
import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.expressions import evaluate, expit, log_erfc, softplus
from critlearn.compositions.puiseux import NotAlgebraicError, leading_power

s: Final = sp.Symbol("s", positive=True)
"""The variable that grows."""


BETWEEN: Final = sp.Rational(1, 10**9)
"""Order of ``exp(ln^b s)``, ``b > 1``: between powers and exponentials."""


class UnclearError(Exception):
    """The rules do not tell."""


@dataclass(frozen=True)
class Growth:
    """``ln|E| = sum c_k s^k + a ln s + b ln ln s + constant``: pairs (k, c_k) by falling order.

    ``k = 0`` stands for ``ln s`` and ``k = -1`` for ``ln ln s``.
    """

    terms: tuple[tuple[sp.Expr, sp.Expr], ...] = ()

    @classmethod
    def of(cls, coefficients: dict[sp.Expr, sp.Expr]) -> "Growth":
        """Growth without vanishing coefficients."""
        kept = {order: sp.nsimplify(c) for order, c in coefficients.items() if sp.simplify(c) != 0}
        return cls(tuple(sorted(kept.items(), key=lambda item: -float(item[0]))))

    def plus(self, other: "Growth", factor: sp.Expr = sp.S.One) -> "Growth":
        """``self + factor * other``: growth of ``E1 * E2^factor``."""
        coefficients = dict(self.terms)
        for order, c in other.terms:
            coefficients[order] = coefficients.get(order, sp.Integer(0)) + factor * c
        return Growth.of(coefficients)

    @property
    def direction(self) -> int:
        """+1 if the expression diverges, -1 if it vanishes, 0 if it tends to a constant."""
        return int(sp.sign(self.terms[0][1])) if self.terms else 0


_CONSTANT: Final = Growth()
_LOGARITHM: Final = Growth(((sp.Integer(-1), sp.Integer(1)),))
_ODD: Final = (sp.tanh, sp.atan, sp.erf, sp.asinh, sp.sin, sp.sinh, expm1, log1p)
_SATURATING: Final = (sp.tanh, sp.atan, sp.erf)


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
    if not expression.args or len(expression.args) > 1:
        raise UnclearError
    argument = expression.args[0]
    inner = growth(argument)
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
        # A logarithm's own size: it grows as its argument's largest term does.
        own = log_growth(expression)
        if own.terms and own.terms[0][0] >= 0:
            order = own.terms[0][0]
            return Growth(((sp.Integer(0), order),)) if order > 0 else _LOGARITHM
        if not own.terms and abs(_value(expression)) > mpmath.mpf("0.001"):
            return _CONSTANT
    raise UnclearError


def _sum(terms: tuple[sp.Expr, ...]) -> Growth:
    growths = [growth(term) for term in terms]
    best = growths[0]
    for other in growths[1:]:
        if other.plus(best, sp.Integer(-1)).direction > 0:
            best = other
    leading = [term for term, one in zip(terms, growths, strict=True) if one == best]
    if len(leading) > 1 and _cancels(leading):
        try:
            return Growth(((sp.S.Zero, leading_power(sp.Add(*terms), s)),))
        except NotAlgebraicError:
            raise UnclearError from None
    return best


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
    if own.terms[0][0] == -1 and own.terms[0][1] > 1:
        # exp(ln^b s) with b > 1 outgrows every power and no exponential of one.
        return Growth(((BETWEEN, factor),))
    raise UnclearError
