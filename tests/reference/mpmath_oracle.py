"""Error signals from plain definitions at high precision: no logarithms, no symmetry, nothing of critlearn."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import mpmath as mp

# Differences such as 1 - tanh(700) need 608 digits before the first one that counts.
DIGITS = 1400


def _remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function that keeps its values at each precision: all losses ask for those of the same activation."""
    kept = lru_cache(maxsize=50_000)(lambda precision, *arguments: function(*arguments))

    @wraps(function)
    def remembering(*arguments: Any) -> Any:
        return kept(mp.mp.prec, *arguments)

    return remembering


VALUE = {
    "sigmoid": lambda y: 1 / (1 + mp.exp(-y)),
    "tanh": mp.tanh,
    "softsign": lambda y: y / (1 + abs(y)),
    "arctan": lambda y: 2 * mp.atan(y) / mp.pi,
    "isru": lambda y: y / mp.sqrt(1 + y * y),
    "identity": lambda y: y,
    "normal-cdf": lambda y: mp.erfc(-y / mp.sqrt(2)) / 2,
    "gudermannian": lambda y: 4 * mp.atan(mp.tanh(y / 2)) / mp.pi,
    "exponential": lambda y: mp.sign(y) * (1 - mp.exp(-abs(y))),
    "algebraic-3": lambda y: y / mp.cbrt(1 + abs(y) ** 3),
    "slow-softsign": lambda y: mp.sign(y) * (1 - 1 / mp.sqrt(1 + abs(y))),
    "exponential-softsign": lambda y: y / (1 + y) if y > 0 else mp.exp(y) - 1,
    "asinh": mp.asinh,
    "symlog": lambda y: mp.sign(y) * mp.log(1 + abs(y)),
    "softplus": lambda y: mp.log(1 + mp.exp(y)),
    "elu": lambda y: y if y > 0 else mp.exp(y) - 1,
    "square": lambda y: y**2,
}

SLOPE = {
    "sigmoid": lambda y: mp.exp(-y) / (1 + mp.exp(-y)) ** 2,
    "tanh": lambda y: 1 / mp.cosh(y) ** 2,
    "softsign": lambda y: 1 / (1 + abs(y)) ** 2,
    "arctan": lambda y: 2 / mp.pi / (1 + y * y),
    "isru": lambda y: (1 + y * y) ** mp.mpf(-1.5),
    "erf": lambda y: 2 / mp.sqrt(mp.pi) * mp.exp(-y * y),
    "identity": lambda y: mp.mpf(1),
    "normal-cdf": lambda y: mp.exp(-y * y / 2) / mp.sqrt(2 * mp.pi),
    "gudermannian": lambda y: 2 / mp.pi / mp.cosh(y),
    "exponential": lambda y: mp.exp(-abs(y)),
    "algebraic-3": lambda y: (1 + abs(y) ** 3) ** (-mp.mpf(4) / 3),
    "slow-softsign": lambda y: (1 + abs(y)) ** mp.mpf(-1.5) / 2,
    "exponential-softsign": lambda y: 1 / (1 + y) ** 2 if y > 0 else mp.exp(y),
    "asinh": lambda y: 1 / mp.sqrt(1 + y * y),
    "symlog": lambda y: 1 / (1 + abs(y)),
    "softplus": lambda y: 1 / (1 + mp.exp(-y)),
    "elu": lambda y: mp.mpf(1) if y > 0 else mp.exp(y),
    "square": lambda y: 2 * y,
}

VALUE, SLOPE = ({name: _remembered(function) for name, function in table.items()} for table in (VALUE, SLOPE))


def target_value(activation: str, t: int) -> mp.mpf:
    """Value that the output of a class should take."""
    return mp.mpf((t + 1) // 2) if activation in ("sigmoid", "normal-cdf") else mp.mpf(t)


@_remembered
def residual(activation: str, y: mp.mpf, t: int) -> mp.mpf:
    """f(y) - t by subtraction; for erf, whose complement needs 200,000 digits, by erfc."""
    if activation == "erf":
        return -mp.erfc(y) if t == 1 else mp.erfc(-y)
    if activation == "normal-cdf":
        return -mp.erfc(t * y / mp.sqrt(2)) / 2 * t
    return VALUE[activation](y) - target_value(activation, t)


def opposite(activation: str, y: mp.mpf, t: int) -> mp.mpf:
    """Distance of f(y) from the other class's value."""
    return abs(residual(activation, y, -t))


def loss_slope(activation: str, loss: str, y: mp.mpf, t: int) -> mp.mpf:  # noqa: C901 - one case for each loss
    """dH/df at the residual r = f - t."""
    r = residual(activation, y, t)
    family, _, parameter = loss.partition(":")
    if family == "bce":
        return -t / opposite(activation, y, t)
    if family == "mse":
        return 2 * r
    if family == "mae":
        return mp.sign(r)
    if family == "power":
        p = mp.mpf(parameter)
        return p * abs(r) ** (p - 1) * mp.sign(r)
    if family == "cauchy":
        return r / (1 + r * r)
    if family == "geman-mcclure":
        return r / (1 + r * r) ** 2
    if family == "huber":
        return r if abs(r) < 1 else mp.sign(r)
    if family == "pseudo-huber":
        return r / mp.sqrt(1 + r * r)
    if family == "log-cosh":
        return mp.tanh(r)
    if family == "welsch":
        return r * mp.exp(-r * r)
    width = 1 if activation in ("sigmoid", "normal-cdf") else 2
    p = opposite(activation, y, t) / width
    if family == "hellinger":
        return -t / (2 * mp.sqrt(p) * width)
    if family == "focal":
        return t * (2 * (1 - p) * mp.log(p) - (1 - p) ** 2 / p) / width
    raise ValueError(loss)


@_remembered
def output_error(activation: str, loss: str, y: float, t: int) -> mp.mpf:
    """dl/dy of the composition."""
    with mp.workdps(DIGITS):
        exact = mp.mpf(y)
        return loss_slope(activation, loss, exact, t) * SLOPE[activation](exact)


def intrinsic_exponent(activation: str, loss: str, y: float, t: int) -> mp.mpf:
    """h' h''' / h''^2 by numerical differentiation of the output error at high precision."""
    with mp.workdps(120):

        def error(x: mp.mpf) -> mp.mpf:
            return loss_slope(activation, loss, x, t) * SLOPE[activation](x)

        x = mp.mpf(y)
        return error(x) * mp.diff(error, x, 2) / mp.diff(error, x) ** 2
