"""The exponent at an end of the line by extrapolation at high precision, where no rule gives it."""

from collections.abc import Callable
from typing import Any, Final

import mpmath

from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.log_error_expressions import Slopes
from critlearn.numerics.limits import NumericLimit, numeric_limit

_DIGITS: Final = (60, 180, 540)
_AGREEMENT: Final = mpmath.mpf(10) ** -25
_LEAST_POWER: Final = 0.02


def numeric_tail(slopes: Slopes, variable: str) -> Asymptote | None:
    """Exponent of an error signal given by the slopes of its logarithm; None where there is no power law.

    ``-s lambda'`` tends to the power, and ``kappa = 1 + lambda''/lambda'^2`` to the exponent: they have to agree. Of an
    exponential it is the order ``1 + s lambda''/lambda'`` that has a limit, and kappa tends to 1.
    """
    stable = _stable(slopes)
    exponent = numeric_limit(lambda x: 1 + stable(x)[1] / stable(x)[0] ** 2)
    if exponent is None:
        return None
    power = numeric_limit(lambda x: -x * stable(x)[0])
    if power is not None and abs(power.value) > _LEAST_POWER:
        expected = 1 + 1 / power.value
        if abs(expected - exponent.value) > 1e-6 + 10 * (exponent.error + power.error / power.value**2):
            return None
        tail = f"{variable}^{-power.value:.4g}"
        return _found(exponent, tail, small=power.value > 0)
    if abs(exponent.value - 1) > 1e-6 + 10 * exponent.error:
        return None
    order = numeric_limit(lambda x: 1 + x * stable(x)[1] / stable(x)[0])
    form = f"exponential in {variable}" + ("" if order is None else f"^{order.value:.4g}")
    return _found(exponent, form, small=stable(mpmath.mpf(8))[0] < 0)


def _found(exponent: NumericLimit, tail: str, *, small: bool) -> Asymptote:
    return Asymptote(
        exponent.value, None, tail, "", "small" if small else "large", method="numeric", uncertainty=exponent.error
    )


def _stable(slopes: Slopes) -> Callable[[mpmath.mpf], tuple[Any, ...]]:
    """Slopes at a precision that does not matter any more; ArithmeticError where none of those tried is enough."""
    known: dict[Any, tuple[Any, ...]] = {}

    def evaluated(x: mpmath.mpf) -> tuple[Any, ...]:
        if x in known:
            return known[x]
        before: tuple[Any, ...] | None = None
        for digits in _DIGITS:
            with mpmath.workdps(digits):
                now = tuple(mpmath.mpf(value) for value in slopes(x))
            if before is not None and all(abs(a - b) <= _AGREEMENT * abs(b) for a, b in zip(before, now, strict=True)):
                known[x] = now
                return now
            before = now
        raise ArithmeticError(f"not resolved at {x}")

    return evaluated
