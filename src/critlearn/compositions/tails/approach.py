"""How the intrinsic exponent approaches its limit: the order of the difference, far out or close to a place."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import mpmath
import sympy as sp

from critlearn.compositions.tails.criteria import SLOWEST_APPROACH, STEEPEST_APPROACH
from critlearn.compositions.tails.log_error_expressions import Slopes

_DIGITS: Final = 240
"""Digits far out, where slopes are differences of terms that are larger by the square of the distance."""

_FAR: Final = 2.0**20
"""Margin at which, and at twice which, the order of the difference is read off."""

_NEAR: Final = (40, 100)
"""Margins at which the difference shows that it is an exponential, or nothing, where it is zero far out."""

_HALFWAY: Final = (10.0, 20.0)
"""Margins at which the order is read off where no digits suffice far out."""

_ZERO: Final = mpmath.mpf(10) ** -60
"""Difference far out that rounding leaves: a quarter of the digits is spent on the step of the slopes."""

_ORDER_OF_LOGARITHM: Final = math.log(21 / 20, 2)
"""How much a factor ``ln(m)`` adds to the order from one `_FAR` to two."""

_SAME_ORDER: Final = 0.005
"""Difference between an order far out and a power below which there is no logarithm beside the power."""

_LOGARITHMS: Final = (-3, -2, -1, 1, 2, 3)
"""Powers of ``ln(m)`` that are looked for beside a power of ``m``."""

_STEEPENING: Final = 1.5
"""Ratio of successive orders from which on an approach is faster than any power."""

_ROUNDING: Final = 1e-9
"""Difference from a limit, in floating point, that counts as none."""


def approach_at_end(slopes: Slopes, limit: sp.Expr, variable: str) -> str:
    """Approach of kappa to its limit at infinite pre-activation, in words.

    ``exact``, ``exponential``, ``O(m^-2)``, ``O(m^-2 ln(m))``, ``slower than any power``, or ``unknown`` where the
    slopes cannot be had far out.
    """
    with mpmath.workdps(_DIGITS):
        exact = mpmath.mpf(str(sp.N(limit, _DIGITS)))

        def difference(x: float) -> mpmath.mpf:
            first, second = slopes(mpmath.mpf(x))
            return abs(1 + second / first**2 - exact)

        try:
            near, far = [difference(x) for x in _NEAR], [difference(x) for x in (_FAR, 2 * _FAR)]
            if not all(mpmath.isfinite(value) for value in (*near, *far)):
                return _unresolved(difference)
            if max(far) < _ZERO:
                return "exact" if max(near) < _ZERO else "exponential"
            order = float(mpmath.log(far[0] / far[1], 2))
        except (ArithmeticError, ValueError, TypeError):
            return _unresolved(difference)
    return _in_words(order, variable)


def _unresolved(difference: Callable[[float], mpmath.mpf]) -> str:
    """Approach where no digits suffice far out: an exponential, if the order grows with the margin."""
    try:
        orders = [float(mpmath.log(difference(x) / difference(2 * x), 2)) for x in _HALFWAY]
    except (ArithmeticError, ValueError, TypeError):
        return "unknown"
    return "exponential" if orders[1] > _STEEPENING * orders[0] > STEEPEST_APPROACH else "unknown"


def _in_words(order: float, variable: str) -> str:
    """Power, and power of the logarithm, that have an order from one distance to twice the distance."""
    power = Fraction(order).limit_denominator(6)
    logarithms = 0
    if abs(order - power) > _SAME_ORDER:
        found = [(Fraction(round(4 * (order + r * _ORDER_OF_LOGARITHM)), 4), r) for r in _LOGARITHMS]
        power, logarithms = min(found, key=lambda pair: abs(pair[0] - pair[1] * _ORDER_OF_LOGARITHM - order))
    if power < 0 or (power == 0 and logarithms >= 0):
        return "unknown"
    if power == 0:
        return "slower than any power"
    factor = "" if not logarithms else f" ln({variable})" + ("" if logarithms == 1 else f"^{logarithms}")
    return f"O({variable}^-{_power_in_words(power)}{factor})"


def _power_in_words(power: Fraction) -> str:
    return str(power) if power.denominator == 1 else f"({power})"


def approach_at_place(differences: Sequence[float], variable: str) -> str:
    """Approach of kappa to its limit at a finite pre-activation, in words.

    Takes differences from the limit at points each twice as close as the one before, but for the first, which is of a
    point further away. ``exact``, ``O(|y - y0|^2)``, ``exponential``, ``slower than any power`` or ``unknown``.
    """
    sizes = [abs(difference) for difference in differences]
    if not all(math.isfinite(size) for size in sizes):
        return "unknown"
    if max(sizes) < _ROUNDING:
        return "exact"
    if sizes[-1] < _ROUNDING:
        return "exponential"
    orders = [math.log2(a / b) for a, b in itertools.pairwise(sizes[1:])]
    if orders[-1] <= 0:
        return "unknown"
    if orders[-1] > _STEEPENING * orders[-2] > 0:
        return "exponential"
    order = Fraction(round(4 * orders[-1]), 4)
    if order < SLOWEST_APPROACH:
        return "slower than any power"
    return f"O({variable}{'' if order == 1 else f'^{_power_in_words(order)}'})"
