"""Leading form of ``exp(F(s))`` as ``s`` grows: a power law or an exponential, found symbolically term by term."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import mpmath
import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.expressions import evaluate, expit, log_magnitude, softplus, written_out
from critlearn.compositions.growth import BETWEEN, UnclearError, log_growth, s
from critlearn.numerics.limits import NumericLimit, numeric_limit
from critlearn.numerics.time_budget import BudgetExceededError, time_budget

_ROUNDING: Final = 1e-9

_HALF: Final = sp.Rational(1, 2)

_BUDGET: Final = 2.0
"""Seconds for one symbolic limit; what takes longer is found numerically."""


@dataclass(frozen=True)
class Decay:
    """``s^-power`` if `power` is given, else ``exp(-rate s^order)``.

    Order 0 stands for faster than any power, as ``exp(-ln^2 s)``.
    """

    # SymPy numbers, or None: order and rate are given unless the power is.
    power: Any = None
    order: Any = None
    rate: Any = None

    def times(self, exponent: sp.Expr, other: "Decay") -> "Decay | None":
        """Decay of ``self^exponent * other``; None where leading terms cancel."""
        if exponent == 0:
            return other
        if self.power is not None and other.power is not None:
            slow = self.order or other.order
            return Decay(sp.nsimplify(exponent * self.power + other.power), slow, self.rate or other.rate)
        if self.power is not None:
            return other
        scaled = Decay(order=self.order, rate=exponent * self.rate)
        if other.power is not None or bool(self.order > other.order):
            return scaled
        if bool(self.order < other.order):
            return other
        rate = sp.simplify(scaled.rate + other.rate)
        return None if rate == 0 else Decay(order=self.order, rate=rate)

    def tail(self, variable: str) -> str:
        """Name such as ``m^-3``, ``exp(-2 m)`` or ``m`` for a growing one."""
        if self.power is not None:
            if self.power == 0:
                return "constant" if self.order is None else f"slower than any power of {variable}"
            return variable if self.power == -1 else f"{variable}^{_written(-self.power)}"
        if self.order == 0:
            return f"{'faster' if self.rate > 0 else 'grows faster'} than any power of {variable}"
        form = variable if self.order == 1 else f"{variable}^{_written(self.order)}"
        sign, size = ("-", self.rate) if self.rate > 0 else ("", -self.rate)
        return f"exp({sign}{form})" if size == 1 else f"exp({sign}{_written(size)} {form})"


def _written(number: sp.Expr) -> str:
    """Number with parentheses where a fraction needs them."""
    return str(number) if number.is_Integer else f"({number})"


@lru_cache(maxsize=4096)
def decay_of(log_form: sp.Expr) -> Decay | None:
    """Leading form of ``exp(log_form)`` in `s`; None where no symbolic one is found.

    By the rules of `growth` where they tell, else by SymPy's limits:
    ``lim -s F'`` is the power; it is taken term by term, as terms recur over the catalogue and limits of sums are slow.
    Where it is infinite, ``lim s F''/F' + 1`` is the order of the exponential and ``lim -F' / (order s^(order-1))``
    its rate.
    """
    settled = branches_far_out(_opened(log_form))
    try:
        terms = log_growth(sp.expand_log(settled, force=True)).terms
    except UnclearError:
        return _by_limits(log_form)
    order, coefficient = terms[0] if terms else (sp.Integer(0), sp.Integer(0))
    if order == BETWEEN:
        return Decay(order=sp.Integer(0), rate=-coefficient)
    if order < 0:
        return Decay(power=sp.Integer(0), order=order, rate=-coefficient)
    return Decay(power=-coefficient) if order == 0 else Decay(order=order, rate=-coefficient)


def _opened(log_form: sp.Expr) -> sp.Expr:
    """Without functions that only serve evaluation, and with exponentials of logarithms undone."""
    form = log_form.replace(lambda part: isinstance(part, log_magnitude), lambda part: part.written())
    form = form.replace(
        lambda part: isinstance(part, softplus | expit) and part.args[0].has(sp.log),
        lambda part: log1p(sp.exp(part.args[0])) if isinstance(part, softplus) else 1 / (1 + sp.exp(-part.args[0])),
    )
    return form


def _by_limits(log_form: sp.Expr) -> Decay | None:
    form = _expanded(log_form)
    infinite, power = [], sp.Integer(0)
    for term in sp.Add.make_args(form):
        limit = _limit(-s * sp.diff(term, s))
        if limit is None:
            return _whole(form)
        if limit.is_infinite:
            infinite.append(term)
        else:
            power += limit
    if not infinite:
        return Decay(power=sp.nsimplify(sp.simplify(power)))
    return _exponential(sp.Add(*infinite))


def _whole(form: sp.Expr) -> Decay | None:
    limit = _limit(-s * sp.diff(form, s))
    if limit is None:
        return None
    return _exponential(form) if limit.is_infinite else Decay(power=sp.nsimplify(limit))


def _exponential(form: sp.Expr) -> Decay | None:
    slope = sp.diff(form, s)
    order = _limit(s * sp.diff(slope, s) / slope)
    if order is None or order.is_infinite or order < -1:
        return None
    if order == -1:
        return Decay(order=sp.Integer(0), rate=-sp.sign(_sign_far_out(slope)))
    rate = _limit(-slope / ((order + 1) * s**order))
    if rate is None or rate.is_infinite or rate == 0:
        return None
    return Decay(order=order + 1, rate=rate)


def _expanded(log_form: sp.Expr) -> sp.Expr:
    """Written out, with the branches that hold for large `s`, and logarithms of products as sums."""
    return sp.expand(sp.expand_log(branches_far_out(written_out(log_form)), force=True))


@lru_cache(maxsize=4096)
def _limit(expression: sp.Expr) -> sp.Expr | None:
    """Limit as `s` grows; None if SymPy finds none in time or its answer is no real number."""
    try:
        with time_budget(_BUDGET):
            limit = sp.limit(sp.powsimp(expression), s, sp.oo)
    except BudgetExceededError:
        return None
    # SymPy raises errors of many kinds where it cannot find a limit, from NotImplementedError to RecursionError.
    except Exception:
        return None
    if limit in (sp.oo, -sp.oo):
        return limit
    return limit if limit.is_number and limit.is_real and limit.is_finite else None


_SWITCHES: Final = (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.Piecewise)


def branches_far_out(expression: sp.Expr) -> sp.Expr:
    """Same expression with every absolute value, maximum and case replaced by the branch that holds for large `s`."""
    while True:
        found = [part for part in sp.preorder_traversal(expression) if isinstance(part, _SWITCHES)]
        inner = next((part for part in found if not any(other in part.args for other in found)), None)
        if inner is None:
            return expression
        replaced = _branch(inner)
        if replaced is None or replaced == inner:
            return expression
        expression = expression.xreplace({inner: replaced})


def _branch(part: sp.Expr) -> sp.Expr | None:
    if isinstance(part, sp.Piecewise):
        for value, condition in part.args:
            if condition == True or _holds(condition):  # noqa: E712 - a SymPy object
                return value
        return None
    if isinstance(part, sp.Max | sp.Min):
        best = part.args[0]
        for other in part.args[1:]:
            larger = _sign_far_out(other - best) > 0
            best = other if larger == isinstance(part, sp.Max) else best
        return best
    sign = _sign_far_out(part.args[0])
    if isinstance(part, sp.Abs):
        return part.args[0] if sign >= 0 else -part.args[0]
    return sp.Integer(sign) if isinstance(part, sp.sign) else sp.Rational(1 + sign, 2)


def _holds(condition: sp.Basic) -> bool:
    with mpmath.workdps(60):
        return bool(evaluate(condition, {s: mpmath.mpf(2) ** 200}))


def _sign_far_out(expression: sp.Expr) -> int:
    if expression.is_number:
        return int(sp.sign(expression))
    with mpmath.workdps(400):
        return int(mpmath.sign(mpmath.re(evaluate(expression, {s: mpmath.mpf(300)}))))


def numeric_exponent(log_form: sp.Expr) -> NumericLimit | None:
    """Limit of ``kappa = 1 + F''/F'^2`` by extrapolation at high precision."""
    return _in_time(lambda: numeric_limit(_kappa(log_form), digits=250))


def numeric_power(log_form: sp.Expr) -> NumericLimit | None:
    """Limit of ``-s F'`` by extrapolation at high precision."""
    slope = sp.diff(_expanded(log_form), s)
    return _in_time(lambda: numeric_limit(lambda x: -x * evaluate(slope, {s: x}), digits=60))


def _in_time(compute: Callable[[], NumericLimit | None]) -> NumericLimit | None:
    try:
        with time_budget(_BUDGET):
            return compute()
    except BudgetExceededError:
        return None


def approach_of(distances: Sequence[float], variable: str) -> str:
    """How kappa comes to its limit, from its distances at a point close by and at points each twice as far out.

    ``exact``, ``O(m^-2)``, ``exponential``, ``slower than any power`` or ``unknown``.
    """
    far = [abs(distance) for distance in distances]
    if not all(math.isfinite(distance) for distance in far):
        return "unknown"
    if max(far) < _ROUNDING:
        return "exact"
    if far[-1] < _ROUNDING:
        return "exponential"
    orders = [math.log2(a / b) for a, b in itertools.pairwise(far[1:])]
    if orders[-1] <= 0:
        return "unknown"
    if orders[-1] > 1.5 * orders[-2] > 0:
        return "exponential"
    order = sp.Rational(round(4 * orders[-1]), 4)
    return f"O({variable}^-{_written(order)})" if order >= _HALF else "slower than any power"


def _kappa(log_form: sp.Expr) -> Callable[[mpmath.mpf], mpmath.mpf]:
    form = _expanded(log_form)
    first, second = sp.diff(form, s), sp.diff(form, s, 2)
    return lambda x: 1 + evaluate(second, {s: x}) / evaluate(first, {s: x}) ** 2
