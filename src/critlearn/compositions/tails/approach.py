"""How the exponent of a composition comes to its limit: the order of what is left, far out or close by."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.tails.log_error_expressions import Slopes

_ROUNDING: Final = 1e-9
_SLOWEST: Final = 0.5
"""Order of approach to a place below which it is not told from one by logarithms."""

_DIGITS: Final = 240
"""Digits far out, where slopes are differences of terms that are larger by the square of the distance."""

_NEARER: Final = (40, 100)
_FAR: Final = 2.0**20
_HALFWAY: Final = (10.0, 20.0)
_STEEP: Final = 8.0
"""Order above which an approach that steepens is no power."""

_NOTHING: Final = mpmath.mpf(10) ** -60
_STEP_OF_LOGARITHM: Final = math.log(21 / 20, 2)
"""How much a factor ``ln(m)`` adds to the order from one `_FAR` to two."""

_CLOSE: Final = 0.005
_LOGARITHMS: Final = (-3, -2, -1, 1, 2, 3)


def approach_at_end(slopes: Slopes, limit: sp.Expr, variable: str) -> str:
    """Approach to a limit at infinite pre-activation.

    ``exact``, ``exponential``, ``O(m^-2)``, ``O(m^-2 ln(m))``, ``slower than any power``, or ``unknown`` where the
    slopes cannot be had far out.
    """
    with mpmath.workdps(_DIGITS):
        exact = mpmath.mpf(str(sp.N(limit, _DIGITS)))

        def distance(x: float) -> mpmath.mpf:
            first, second = slopes(mpmath.mpf(x))
            return abs(1 + second / first**2 - exact)

        try:
            near, far = [distance(x) for x in _NEARER], [distance(x) for x in (_FAR, 2 * _FAR)]
            if not all(mpmath.isfinite(value) for value in (*near, *far)):
                return _unresolved_far_out(distance)
            if max(far) < _NOTHING:
                # Differences leave this much of a constant.
                return "exact" if max(near) < _NOTHING else "exponential"
            order = float(mpmath.log(far[0] / far[1], 2))
        except (ArithmeticError, ValueError, TypeError):
            return _unresolved_far_out(distance)
    return _named(order, variable)


def _unresolved_far_out(distance: Callable[[float], mpmath.mpf]) -> str:
    """Approach where no digits suffice far out: by an order that doubles with the distance, an exponential."""
    try:
        orders = [float(mpmath.log(distance(x) / distance(2 * x), 2)) for x in _HALFWAY]
    except (ArithmeticError, ValueError, TypeError):
        return "unknown"
    return "exponential" if orders[1] > 1.5 * orders[0] > _STEEP else "unknown"


def _named(order: float, variable: str) -> str:
    """Power, and power of the logarithm, of an order from one distance to twice the distance."""
    power = Fraction(order).limit_denominator(6)
    logarithms = 0
    if abs(order - power) > _CLOSE:
        found = [(Fraction(round(4 * (order + r * _STEP_OF_LOGARITHM)), 4), r) for r in _LOGARITHMS]
        power, logarithms = min(found, key=lambda pair: abs(pair[0] - pair[1] * _STEP_OF_LOGARITHM - order))
    if power < 0 or (power == 0 and logarithms >= 0):
        return "unknown"
    if power == 0:
        return "slower than any power"
    factor = "" if not logarithms else f" ln({variable})" + ("" if logarithms == 1 else f"^{logarithms}")
    return f"O({variable}^-{_in_words(power)}{factor})"


def _in_words(power: Fraction) -> str:
    return str(power) if power.denominator == 1 else f"({power})"


def approach_at_place(distances: Sequence[float], variable: str) -> str:
    """Approach to a limit at a finite pre-activation, from distances to the limit at points each twice as close.

    The first is of a point further away. ``exact``, ``O(|y - y0|^2)``, ``exponential``, ``slower than any power`` or
    ``unknown``.
    """
    left = [abs(distance) for distance in distances]
    if not all(math.isfinite(distance) for distance in left):
        return "unknown"
    if max(left) < _ROUNDING:
        return "exact"
    if left[-1] < _ROUNDING:
        return "exponential"
    orders = [math.log2(a / b) for a, b in itertools.pairwise(left[1:])]
    if orders[-1] <= 0:
        return "unknown"
    if orders[-1] > 1.5 * orders[-2] > 0:
        return "exponential"
    order = Fraction(round(4 * orders[-1]), 4)
    if order < _SLOWEST:
        return "slower than any power"
    return f"O({variable}{'' if order == 1 else f'^{_in_words(order)}'})"
