"""Tsallis' q-exponential and its integral in forms that neither overflow nor cancel, for any real q."""

import math
from typing import Final

import numpy as np

from critlearn.compositions.symbolic.evaluation import choose
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of

_SERIES: Final = 1e-6
"""Distance of q from 2 below which the integral is expanded in a series, as its closed form cancels."""


def log_q_exponential(x: Array, q: float) -> Array:
    """Logarithm of the q-exponential ``e_q(x) = [1 + (1 - q) x]_+^(1/(1 - q))``, with ``e_1 = exp``.

    ``-inf`` where ``e_q`` vanishes (q < 1), ``+inf`` beyond its pole (q > 1).

    >>> log_q_exponential(np.array([-3.0, 0.0]), 2.0).round(4).tolist()
    [-1.3863, 0.0]
    """
    rate = 1.0 - q
    if rate == 0.0:
        return x + 0.0
    inside = rate * x
    ends = inside <= -1.0
    # The logarithm gets 0 where it is not defined, so that automatic differentiation meets no NaN.
    safe = choose(ends, 0.0 * x, inside)
    if library_of(x) == "torch":
        import torch

        log = torch.log1p(safe) / rate
    else:
        log = np.log1p(safe) / rate
    return choose(ends, 0.0 * x + (-math.inf if rate > 0 else math.inf), log)


def q_exponential_integral(margin: Array, q: float) -> Array:
    """Integral ``int_0^margin e_q(-s) ds``; the loss of the margin is minus this integral.

    ``(1 - e_q(-m)^(2 - q)) / (2 - q)``, and for q = 2 ``ln(1 + m)``.
    """
    log_error = log_q_exponential(-margin, q)
    is_tensor = library_of(margin) == "torch"
    power = 2.0 - q
    if abs(power) < _SERIES:
        # (1 - exp(p l)) / p = -l (1 + p l / 2 + ...)
        return -log_error * (1.0 + 0.5 * power * log_error)
    scaled = power * log_error
    return -(scaled.expm1() if is_tensor else np.expm1(scaled)) / power
