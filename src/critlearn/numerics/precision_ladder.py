"""Values at rising precision, until two precisions in a row agree: what cancels shows by changing with the digits."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import mpmath

Value = TypeVar("Value")


def resolved(
    value_of: Callable[[], Value | None], ladder: Iterable[int], agree: Callable[[Any, Any], bool]
) -> tuple[Value | None, int | None]:
    """Value at the first precision of a ladder at which it agrees with the value at the precision before.

    Parameters
    ----------
    value_of
        Computes the value at the precision that mpmath works with; None where that precision gives none.
    ladder
        Decimal digits, rising.
    agree
        Whether a value (first) and a more precise one (second) are the same to all digits that count.

    Returns
    -------
    tuple
        The value, and the digits at which it was resolved. If it never was, the last value and None.

    >>> def cancelling():
    ...     return 1 - mpmath.tanh(mpmath.mpf(100))
    >>> value, digits = resolved(cancelling, (30, 60, 120, 240), lambda a, b: b != 0 and abs(a - b) < 1e-15 * b)
    >>> mpmath.nstr(value, 5), digits
    ('2.7678e-87', 240)
    """
    before = None
    for digits in ladder:
        with mpmath.workdps(digits):
            value = value_of()
            if value is None:
                continue
            if before is not None and agree(before, value):
                return value, digits
            before = value
    return before, None
