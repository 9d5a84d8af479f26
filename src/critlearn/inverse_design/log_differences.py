"""Differences and signed sums of numbers in logarithmic form, on NumPy arrays and torch tensors."""

from typing import Any

import numpy as np

from critlearn.compositions.softmax.cross_entropy import log_sum_exp
from critlearn.compositions.symbolic.functions import Array


def where(library: Any, condition: Array, first: Array | float, second: Array | float) -> Array:
    """``library.where`` that also takes a plain number for one of the two arrays."""
    like = second if isinstance(first, float) else first
    blank = library.zeros_like(like)
    return library.where(condition, blank + first, blank + second)


def log_difference(library: Any, first: Array, second: Array) -> tuple[Array, Array]:
    """Sign and logarithm of ``exp(first) - exp(second)``.

    ``ln|e^a - e^b| = max(a, b) + ln(1 - e^-|a - b|)``, where ``expm1`` keeps the second term exact for close a and b.
    """
    larger = library.maximum(first, second)
    # Where both are -inf their difference would be NaN.
    gap = library.where(larger > -np.inf, -abs(first - second), 0.0 * larger)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_size = larger + library.log(-library.expm1(gap))
    log_size = library.where(larger > -np.inf, log_size, larger)
    return library.sign(first - second), log_size


def signed_log_sum(library: Any, sign: Array, log_size: Array) -> tuple[Array, Array]:
    """Sign and logarithm of a sum of signed terms over the classes: positive terms minus negative ones."""
    positive = log_sum_exp(where(library, sign > 0, log_size, -np.inf))
    negative = log_sum_exp(where(library, sign < 0, log_size, -np.inf))
    return log_difference(library, positive, negative)
