"""Numeric limits at infinity with an error bar: Richardson extrapolation at high precision."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import mpmath

_POINTS: Final = 12
_LEAST: Final = 5
_FIRST: Final = (mpmath.mpf(4), mpmath.mpf("5.4365636569180905"))
"""First arguments of the two sequences."""

_SLOWEST: Final = 0.8
"""Ratio of successive steps above which no limit is claimed."""

_WORST: Final = 1e-2
"""Error above which no limit is claimed."""


@dataclass(frozen=True)
class NumericLimit:
    """A limit, and how far it may be off."""

    value: float
    error: float


def numeric_limit(function: Callable[[mpmath.mpf], mpmath.mpf], *, digits: int = 60) -> NumericLimit | None:
    """Limit of a function as its argument grows, None where there is none to be seen.

    The values at ``c 2^k`` are extrapolated by Wynn's epsilon algorithm and by repeated Richardson steps whose order is
    measured from the values themselves, so that powers of any (real) order go. Two sequences of arguments, with no
    common ratio, have to give the same limit: an oscillating function gives each another one. The error is the largest
    of the last steps of both extrapolations and of the difference between the two.

    >>> numeric_limit(lambda s: (2 * s + 1) / (s + 3)).value
    2.0
    >>> numeric_limit(mpmath.sin) is None
    True
    """
    one, other = (_along(function, first, digits) for first in _FIRST)
    if one is None or other is None:
        return None
    error = max(one.error, other.error, abs(one.value - other.value))
    return NumericLimit(one.value, error) if error < _WORST * max(1.0, abs(one.value)) else None


def _along(function: Callable[[mpmath.mpf], mpmath.mpf], first: mpmath.mpf, digits: int) -> NumericLimit | None:
    """Limit along one sequence of doubling arguments."""
    with mpmath.workdps(digits):
        values: list[mpmath.mpf] = []
        for step in range(_POINTS):
            try:
                value = mpmath.mpf(function(first * 2**step))
            except (ArithmeticError, ValueError, TypeError):
                break
            if not mpmath.isfinite(value):
                break
            values.append(value)
        if len(values) < _LEAST or _too_slow(values):
            return None
        best, moved = min([_aitken(values), _wynn(values)], key=lambda pair: pair[1])
        # What has not moved at all is exact to the digits carried.
        error = max(float(moved), float(abs(best)) * 1e-15 if moved else 0.0)
    return NumericLimit(float(best), error)


def _too_slow(values: list[mpmath.mpf]) -> bool:
    """Whether the last steps hardly shrink, as for convergence in 1/ln: extrapolation then errs more than it tells."""
    steps = [abs(b - a) for a, b in itertools.pairwise(values[-_LEAST:])]
    nothing = mpmath.mpf(10) ** (-mpmath.mp.dps / 2) * (1 + abs(values[-1]))
    return any(after > _SLOWEST * before and after > nothing for before, after in itertools.pairwise(steps))


def _aitken(values: list[mpmath.mpf]) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Repeated Aitken steps: for halving distances this is Richardson with the order read off the values."""
    best, moved = values[-1], abs(values[-1] - values[-2])
    while len(values) >= 4:
        improved = []
        for a, b, c in zip(values, values[1:], values[2:], strict=False):
            curvature = (c - b) - (b - a)
            improved.append(c if curvature == 0 else c - (c - b) ** 2 / curvature)
        values = improved
        change = abs(values[-1] - values[-2])
        if change < moved:
            best, moved = values[-1], change
    return best, moved


def _wynn(values: list[mpmath.mpf]) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Wynn's epsilon algorithm; the even columns are the estimates."""
    before, current = [mpmath.mpf(0)] * (len(values) + 1), list(values)
    best, moved, column = values[-1], abs(values[-1] - values[-2]), 0
    while len(current) > 2:
        following = []
        for i in range(len(current) - 1):
            difference = current[i + 1] - current[i]
            if difference == 0:
                return current[i], mpmath.mpf(0) if column % 2 == 0 else moved
            following.append(before[i + 1] + 1 / difference)
        before, current, column = current, following, column + 1
        if column % 2 == 0 and len(current) > 1:
            change = abs(current[-1] - current[-2])
            if change < moved:
                best, moved = current[-1], change
    return best, moved
