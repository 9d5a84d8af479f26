"""Differences of numbers in logarithmic form, on NumPy arrays and torch tensors."""

from typing import Any, Final

import numpy as np

from critlearn.compositions.symbolic.functions import Array

LOG_ZERO: Final = -1e300
"""Stands for the logarithm of 0 in sums and differences: times 0 it is 0, and its derivatives are no NaN.

Its exponential is 0 beside that of any number's logarithm, and its multiples do not overflow.
"""


def where(library: Any, condition: Array, first: Array | float, second: Array | float) -> Array:
    """``library.where`` that also takes a plain number for one of the two arrays."""
    like = second if isinstance(first, float) else first
    blank = library.zeros_like(like)
    return library.where(condition, blank + first, blank + second)


def without_zeros(library: Any, logs: Array) -> Array:
    """Logarithms with `LOG_ZERO` in place of minus infinity."""
    return where(library, logs > -np.inf, logs, LOG_ZERO)


def with_zeros(library: Any, logs: Array) -> Array:
    """Logarithms with minus infinity in place of what `LOG_ZERO` has become."""
    return where(library, logs > 0.1 * LOG_ZERO, logs, -np.inf)


def log_difference(library: Any, first: Array, second: Array) -> tuple[Array, Array]:
    """Sign and logarithm of ``exp(first) - exp(second)``; `LOG_ZERO` where the two are equal.

    ``ln|e^a - e^b| = max(a, b) + ln(1 - e^-|a - b|)``, where ``expm1`` keeps the second term exact for close a and b.
    """
    gap = first - second
    # A logarithm of 0 would have an infinite derivative, which times 0 is NaN.
    same = gap == 0
    log_size = library.maximum(first, second) + library.log(-library.expm1(-abs(where(library, same, 1.0, gap))))
    return library.sign(gap), where(library, same, LOG_ZERO, log_size)
