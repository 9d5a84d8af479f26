"""Approach of the intrinsic exponent to its limit: order of the difference, such as ``O(m^-2)``."""

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
"""Digits at large margins, where slopes are differences of terms larger by the square of the margin."""

_FAR: Final = 2.0**20
"""Margin; the order is log2 of the ratio of the differences at this margin and at twice it."""

_NEAR: Final = (40, 100)
"""Margins that distinguish an exponential difference from none, if the difference is zero at `_FAR`."""

_HALFWAY: Final = (10.0, 20.0)
"""Margins for measuring the order if no number of digits suffices at `_FAR`."""

_ZERO: Final = mpmath.mpf(10) ** -60
"""Difference at `_FAR` that counts as rounding: a quarter of the digits is spent on the step of the slopes."""

_ORDER_OF_LOGARITHM: Final = math.log(21 / 20, 2)
"""Order that a factor ``ln(m)`` has from `_FAR` = 2^20 to 2^21: log2 of 21/20."""

_SAME_ORDER: Final = 0.005
"""Difference of a measured order from a power below which the power has no logarithm beside it.

Well below the 0.07 that one factor ``ln(m)`` adds.
"""

_LOGARITHMS: Final = (-3, -2, -1, 1, 2, 3)
"""Powers of ``ln(m)`` that are looked for beside a power of ``m``."""

_STEEPENING: Final = 1.5
"""Ratio of successive orders from which on an approach is faster than any power."""

_ROUNDING: Final = 1e-9
"""Difference from a limit, in floating point, that counts as none."""


def approach_at_end(slopes: Slopes, limit: sp.Expr, variable: str) -> str:
    """Return in words how kappa approaches its limit at infinite pre-activation.

    ``exact``, ``exponential``, ``O(m^-2)``, ``O(m^-2 ln(m))``, ``slower than any power``, or ``unknown`` if the
    slopes cannot be evaluated at large margins.
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
            # At a margin of 1e6 a power m^-n with n < 10 is above 1e-60, an exponential far below.
            if max(far) < _ZERO:
                return "exact" if max(near) < _ZERO else "exponential"
            order = float(mpmath.log(far[0] / far[1], 2))
        except (ArithmeticError, ValueError, TypeError):
            return _unresolved(difference)
    return _in_words(order, variable)


def _unresolved(difference: Callable[[float], mpmath.mpf]) -> str:
    """Approach if no digits suffice at large margins: exponential if the order grows with the margin."""
    try:
        orders = [float(mpmath.log(difference(x) / difference(2 * x), 2)) for x in _HALFWAY]
    except (ArithmeticError, ValueError, TypeError):
        return "unknown"
    return "exponential" if orders[1] > _STEEPENING * orders[0] > STEEPEST_APPROACH else "unknown"


def _in_words(order: float, variable: str) -> str:
    """Power law, possibly times a power of the logarithm, that has the measured order."""
    # Denominators up to 6: halves, thirds and their sums.
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
    """Return in words how kappa approaches its limit at a finite pre-activation.

    Takes the differences from the limit at several points: the first is far away, the others are each twice as close
    as the one before. ``exact``, ``O(|y - y0|^2)``, ``exponential``, ``slower than any power`` or ``unknown``.
    """
    sizes = [abs(difference) for difference in differences]
    if not all(math.isfinite(size) for size in sizes):
        return "unknown"
    if max(sizes) < _ROUNDING:
        return "exact"
    if sizes[-1] < _ROUNDING:
        return "exponential"
    # Without the first difference, whose point is further away and only distinguishes exact from exponential.
    orders = [math.log2(a / b) for a, b in itertools.pairwise(sizes[1:])]
    if orders[-1] <= 0:
        return "unknown"
    if orders[-1] > _STEEPENING * orders[-2] > 0:
        return "exponential"
    order = Fraction(round(4 * orders[-1]), 4)
    if order < SLOWEST_APPROACH:
        return "slower than any power"
    return f"O({variable}{'' if order == 1 else f'^{_power_in_words(order)}'})"
