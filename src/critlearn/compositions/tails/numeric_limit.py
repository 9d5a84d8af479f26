"""Numeric limits at infinity with an error estimate, by extrapolation at high precision.

mpmath's `limit`, `richardson` and `levin` give no error estimate, and return a number even if there is no limit;
`richardson` fails for the real powers that tails have; and `limit` takes ten to eighty times as long.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import mpmath

from critlearn.compositions.tails.criteria import SLOWEST_STEPS, WORST_ERROR

_POINTS: Final = 12
"""Number of arguments of a sequence, each twice the one before."""

_FEWEST_POINTS: Final = 5
"""Smallest number of values from which a limit is claimed."""

_FIRST: Final = (mpmath.mpf(4), mpmath.mpf("5.4365636569180905"))
"""First arguments of the two sequences: 4 and 2 e, whose ratio is no power of 2."""

_ROUNDING: Final = 1e-15
"""Smallest relative error of an extrapolated limit: it is returned as a float."""


@dataclass(frozen=True)
class NumericLimit:
    """Limit and its error estimate."""

    value: float
    error: float


def numeric_limit(function: Callable[[mpmath.mpf], mpmath.mpf], *, digits: int = 60) -> NumericLimit | None:
    """Limit of a function at infinity; None if none is found.

    Values at ``c 2^k`` are extrapolated by Wynn's epsilon algorithm and by repeated Aitken steps, so that remainders
    may be powers of any real order. Two sequences of arguments, whose ratio is no power of 2, must give the same limit;
    an oscillating function gives two different ones. The error is the largest of the last steps of both extrapolations
    and of the difference between the two.

    >>> numeric_limit(lambda s: (2 * s + 1) / (s + 3)).value
    2.0
    >>> numeric_limit(mpmath.sin) is None
    True
    """
    one, other = (_limit_along(function, first, digits) for first in _FIRST)
    if one is None or other is None:
        return None
    error = max(one.error, other.error, abs(one.value - other.value))
    return NumericLimit(one.value, error) if error < WORST_ERROR * max(1.0, abs(one.value)) else None


def _limit_along(function: Callable[[mpmath.mpf], mpmath.mpf], first: mpmath.mpf, digits: int) -> NumericLimit | None:
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
        if len(values) < _FEWEST_POINTS or _converges_too_slowly(values):
            return None
        # Of both extrapolations, the one whose last step is smaller.
        best, moved = min([_aitken(values), _wynn(values)], key=lambda pair: pair[1])
        # An estimate that did not move at all is exact to the digits of the computation.
        error = max(float(moved), float(abs(best)) * _ROUNDING if moved else 0.0)
    return NumericLimit(float(best), error)


def _converges_too_slowly(values: list[mpmath.mpf]) -> bool:
    """Whether the last steps hardly shrink, as for convergence in 1/ln, where extrapolation cannot be trusted."""
    steps = [abs(b - a) for a, b in itertools.pairwise(values[-_FEWEST_POINTS:])]
    nothing = mpmath.mpf(10) ** (-mpmath.mp.dps / 2) * (1 + abs(values[-1]))
    return any(after > SLOWEST_STEPS * before and after > nothing for before, after in itertools.pairwise(steps))


def _aitken(values: list[mpmath.mpf]) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Repeated Aitken steps: for doubling arguments, Richardson extrapolation with the order taken from the values."""
    best, moved = values[-1], abs(values[-1] - values[-2])
    while len(values) >= 4:
        improved = []
        for a, b, c in zip(values, values[1:], values[2:], strict=False):
            # Aitken: c - (c - b)^2 / ((c - b) - (b - a)); of equal steps, as of converged values, c is kept.
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
