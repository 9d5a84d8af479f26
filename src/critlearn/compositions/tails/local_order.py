"""Order of a zero or pole of the error signal at a finite pre-activation: ``g ~ |y - y0|^n``."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import plain, y
from critlearn.compositions.tails.criteria import LEAST_ORDER, RATIONAL_ACCURACY
from critlearn.compositions.tails.log_error_expressions import Slopes

_DIGITS: Final = 200
"""Digits near a place: slopes are differences over 1e-50, of logarithms at distances of 1e-28."""

_CONVERGED: Final = mpmath.mpf(10) ** -28
"""Step, relative to the size of the place, at which the secant search ends."""

_STEPS: Final = 30
_FARTHEST: Final = 20
"""Largest number of steps of the search, and how far it may go, in units of the distance at which it begins."""

_ALIKE: Final = mpmath.mpf("0.05")
"""Relative change of ``r lambda'`` from one distance to ten times that, below which a place counts as singular."""

_NEAR: Final = mpmath.mpf(10) ** -8
"""Largest distance at which orders are measured."""

_ROUNDING: Final = mpmath.mpf(10) ** -20
"""Change of ``r lambda'`` below which it has converged and is not extrapolated."""

_SLOWEST: Final = 0.9
"""Ratio of successive steps above which they fall as 1/ln r, as beside a logarithm, and are not extrapolated."""

_LOGARITHM_MARGIN: Final = 30
"""Error beside a logarithm, in units of the last step: 1/ln r itself is ``|ln r| / ln 2`` such steps."""

_MARGIN: Final = 10
"""Factor of the error estimate, for a second correction that falls more slowly than the first."""

_LARGEST_DENOMINATOR: Final = 60
"""Largest denominator of a rational order."""

_PLACE_ACCURACY: Final = mpmath.mpf(10) ** -20
"""Relative distance below which a place equals a number in closed form: far closer than chance would bring it."""

_REGULAR: Final = mpmath.mpf(10) ** -15
"""Size above which an expression does not vanish at a place."""


@dataclass(frozen=True)
class LocalOrder:
    """Measured order of a zero or pole: its value, its error, and the rational number that it is, if any."""

    value: float
    error: float
    rational: sp.Rational | None


def refined_place(slopes: Slopes, guess: float, reach: float) -> mpmath.mpf | None:
    """Find the singular place near a guess to some 28 digits; None if there is none.

    Near it ``lambda' = n/(y - y0) + ...`` for every real n, so that ``1/lambda'`` has a simple zero there. The secant
    method finds it, starting at the distance `reach` from the guess.
    """
    with mpmath.workdps(_DIGITS):
        scale = mpmath.mpf(max(1.0, abs(guess)))
        points = [guess + reach * mpmath.mpf(1), guess + reach * mpmath.mpf("0.7")]
        try:
            values = [1 / slopes(point)[0] for point in points]
            for taken in range(_STEPS):
                if values[1] == values[0]:
                    break
                step = values[1] * (points[1] - points[0]) / (values[1] - values[0])
                points = [points[1], points[1] - step]
                if abs(points[1] - guess) > _FARTHEST * abs(reach):
                    return None
                if abs(step) < _CONVERGED * scale:
                    break
                if taken == 0 and _is_singular(slopes, points[1], scale, reach):
                    # A pure power: the first secant hits its zero, where no slope can be had.
                    break
                values = [values[1], 1 / slopes(points[1])[0]]
        except (ArithmeticError, ValueError, TypeError):
            return None
        return points[1] if _is_singular(slopes, points[1], scale, reach) else None


def _is_singular(slopes: Slopes, place: mpmath.mpf, scale: mpmath.mpf, reach: float) -> bool:
    """Whether ``lambda' = n/r`` at the smallest distances from a place."""
    r = _CONVERGED * scale * mpmath.sign(reach)
    try:
        first, second = (factor * r * slopes(place + factor * r)[0] for factor in (1, 10))
        return bool(abs(second) > LEAST_ORDER and abs(first - second) < _ALIKE * abs(second))
    except (ArithmeticError, ValueError, TypeError):
        return False


def measured_order(slopes: Slopes, place: mpmath.mpf, direction: int) -> LocalOrder | None:
    """Measure the order n of ``g ~ r^n``: extrapolated limit of ``r lambda'(y0 + r)`` for r -> 0; None if it has none.

    The difference from the limit falls as r for an analytic error signal, as another power of r for others, and as
    1/ln r where there are logarithms. The latter are recognised by their slowness; their error is as large as the
    difference itself.
    """
    with mpmath.workdps(_DIGITS):
        try:
            values = [
                direction * r * slopes(place + direction * r)[0] for r in (_NEAR, _NEAR / 2, _NEAR / 4, _NEAR / 8)
            ]
        except (ArithmeticError, ValueError, TypeError):
            return None
        if not all(mpmath.isfinite(value) for value in values):
            return None
        steps = [b - a for a, b in itertools.pairwise(values)]
        if all(abs(step) < _ROUNDING for step in steps):
            best, error = values[-1], abs(steps[-1])
        elif abs(steps[2]) >= abs(steps[1]):
            # It diverges, as at the zero of exp(-1/|y|).
            return None
        elif abs(steps[2]) > _SLOWEST * abs(steps[1]):
            best, error = values[-1], _LOGARITHM_MARGIN * abs(steps[2])
        else:
            # Aitken's step: the remaining changes are summed as a geometric series.
            ratio = steps[2] / steps[1]
            best = values[-1] + steps[2] * ratio / (1 - ratio)
            # The error of the ratio itself is what its own changes add up to, if they fall as the steps do.
            off = abs(ratio - steps[1] / steps[0]) * abs(ratio) / (1 - abs(ratio))
            error = _MARGIN * abs(steps[2]) * off / (1 - abs(ratio)) ** 2 + _ROUNDING
        return LocalOrder(float(best), float(error), _rational(best) if error < RATIONAL_ACCURACY else None)


def _rational(value: mpmath.mpf) -> sp.Rational | None:
    near = Fraction(str(mpmath.nstr(value, 25))).limit_denominator(_LARGEST_DENOMINATOR)
    distance = abs(value - mpmath.mpf(near.numerator) / near.denominator)
    return sp.Rational(near.numerator, near.denominator) if distance < RATIONAL_ACCURACY else None


def exact_place(place: mpmath.mpf) -> sp.Expr | None:
    """Closed form of a place to 20 digits: a fraction, a fraction of pi, or a root of a fraction; None for others."""
    with mpmath.workdps(30):
        for unit, power, most in ((mpmath.mpf(1), 1, 1000), (mpmath.pi, 1, 24), (mpmath.mpf(1), 2, 60)):
            near = Fraction(str(mpmath.nstr((place / unit) ** power, 28))).limit_denominator(most)
            number = mpmath.mpf(near.numerator) / near.denominator
            candidate = unit * (number if power == 1 else mpmath.sqrt(abs(number)) * mpmath.sign(place))
            if abs(candidate - place) < _PLACE_ACCURACY * max(1, abs(place)):
                ratio = sp.Rational(near.numerator, near.denominator)
                if power == 2:
                    return int(mpmath.sign(place)) * sp.sqrt(ratio)
                return ratio * (sp.pi if unit != 1 else 1)
    return None


def has_integer_orders(form: sp.Expr, place: mpmath.mpf) -> bool:
    """Whether ``lambda`` is, near a place, a sum of rational multiples of logarithms of meromorphic functions.

    The order of a zero or pole of a meromorphic function is an integer, so that the whole order is rational: a
    measurement to many digits then decides it.
    """
    # `plain` a second time: only after expand_log is ln|sin(y)/y| a difference ln|sin(y)| - ln y.
    written = plain(sp.expand_log(plain(form), force=True))
    for term in sp.Add.make_args(sp.expand(written)):
        factor, rest = term.as_independent(y, as_Add=False)
        meromorphic = isinstance(rest, sp.log) and factor.is_Rational
        required = _must_not_vanish(rest.args[0] if meromorphic else rest, poles=meromorphic)
        if not all(_does_not_vanish(part, place) for part in required):
            return False
    return True


def _must_not_vanish(expression: sp.Expr, *, poles: bool) -> Iterator[sp.Expr]:
    """Subexpressions that must not vanish at a place for an expression to be analytic or, with `poles`, meromorphic."""
    if isinstance(expression, sp.Abs | sp.sign | sp.log | sp.Heaviside):
        yield expression.args[0]
    elif isinstance(expression, sp.Max | sp.Min):
        yield expression.args[0] - expression.args[1]
    elif isinstance(expression, sp.Pow) and not (expression.exp.is_Integer and (expression.exp > 0 or poles)):
        yield expression.base
    elif isinstance(expression, sp.Piecewise):
        yield sp.S.Zero
    # Sums, products and quotients of meromorphic functions are meromorphic; other functions of them have no order.
    arithmetic = isinstance(expression, sp.Add | sp.Mul) or (
        isinstance(expression, sp.Pow) and expression.exp.is_Integer
    )
    for part in expression.args:
        yield from _must_not_vanish(part, poles=poles and arithmetic)


def _does_not_vanish(argument: sp.Expr, place: mpmath.mpf) -> bool:
    with mpmath.workdps(40):
        try:
            return bool(abs(evaluate(argument, {y: mpmath.mpf(place)})) > _REGULAR)
        except (ArithmeticError, ValueError, TypeError):
            return False
