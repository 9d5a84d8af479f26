"""Numeric exponent of a tail, by extrapolation at high precision, for expressions that no rule decides."""

from collections.abc import Callable
from typing import Any, Final

import mpmath

from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.criteria import LEAST_TAIL_POWER, TAIL_ACCURACY
from critlearn.compositions.tails.log_error_expressions import Slopes
from critlearn.compositions.tails.numeric_limit import NumericLimit, numeric_limit
from critlearn.numerics.precision_ladder import resolved

_DIGITS: Final = (60, 180, 540)
_AGREEMENT: Final = mpmath.mpf(10) ** -25
"""Relative difference of two precisions up to which slopes count as resolved: extrapolation needs many digits."""

_ERROR_BARS: Final = 10
"""Number of error bars by which two extrapolated exponents may differ."""


def numeric_tail(slopes: Slopes, variable: str) -> Asymptote | None:
    """Extrapolate the exponent of an error signal from the slopes of its logarithm; None if there is no power law.

    ``-s lambda'`` tends to the power n, and ``kappa = 1 + lambda''/lambda'^2`` to the exponent, which must be
    ``1 + 1/n``. For an exponential ``exp(-c s^b)`` kappa tends to 1, and ``1 + s lambda''/lambda'`` to b.
    """
    precise = _resolved_slopes(slopes)
    exponent = numeric_limit(lambda x: 1 + precise(x)[1] / precise(x)[0] ** 2)
    if exponent is None:
        return None
    power = numeric_limit(lambda x: -x * precise(x)[0])
    if power is not None and abs(power.value) > LEAST_TAIL_POWER:
        expected = 1 + 1 / power.value
        if abs(expected - exponent.value) > TAIL_ACCURACY + _ERROR_BARS * (
            exponent.error + power.error / power.value**2
        ):
            return None
        tail = f"{variable}^{-power.value:.4g}"
        return _asymptote(exponent, tail, small=power.value > 0)
    if abs(exponent.value - 1) > TAIL_ACCURACY + _ERROR_BARS * exponent.error:
        return None
    order = numeric_limit(lambda x: 1 + x * precise(x)[1] / precise(x)[0])
    form = f"exponential in {variable}" + ("" if order is None else f"^{order.value:.4g}")
    return _asymptote(exponent, form, small=precise(mpmath.mpf(8))[0] < 0)


def _asymptote(exponent: NumericLimit, tail: str, *, small: bool) -> Asymptote:
    return Asymptote(
        exponent.value, None, tail, "", "small" if small else "large", method="numeric", uncertainty=exponent.error
    )


def _resolved_slopes(slopes: Slopes) -> Callable[[mpmath.mpf], tuple[Any, ...]]:
    """Slopes at the precision that each argument needs; ArithmeticError if none of those tried suffices."""
    known: dict[Any, tuple[Any, ...]] = {}

    def evaluated(x: mpmath.mpf) -> tuple[Any, ...]:
        if x not in known:
            value, digits = resolved(lambda: tuple(mpmath.mpf(part) for part in slopes(x)), _DIGITS, _agree)
            if value is None or digits is None:
                raise ArithmeticError(f"slopes are not resolved at {x}")
            known[x] = value
        return known[x]

    return evaluated


def _agree(rough: tuple[Any, ...], precise: tuple[Any, ...]) -> bool:
    return all(abs(a - b) <= _AGREEMENT * abs(b) for a, b in zip(rough, precise, strict=True))
