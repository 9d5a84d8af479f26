"""Error signals from plain definitions at high precision: no logarithms, no symmetry, nothing of critlearn."""

import mpmath as mp

# Differences such as 1 - tanh(700) need 608 digits before the first one that counts.
DIGITS = 1400

VALUE = {
    "sigmoid": lambda y: 1 / (1 + mp.exp(-y)),
    "tanh": mp.tanh,
    "softsign": lambda y: y / (1 + abs(y)),
    "arctan": lambda y: 2 * mp.atan(y) / mp.pi,
    "isru": lambda y: y / mp.sqrt(1 + y * y),
    "identity": lambda y: y,
}

SLOPE = {
    "sigmoid": lambda y: mp.exp(-y) / (1 + mp.exp(-y)) ** 2,
    "tanh": lambda y: 1 / mp.cosh(y) ** 2,
    "softsign": lambda y: 1 / (1 + abs(y)) ** 2,
    "arctan": lambda y: 2 / mp.pi / (1 + y * y),
    "isru": lambda y: (1 + y * y) ** mp.mpf(-1.5),
    "erf": lambda y: 2 / mp.sqrt(mp.pi) * mp.exp(-y * y),
    "identity": lambda y: mp.mpf(1),
}


def target_value(activation: str, t: int) -> mp.mpf:
    """Value that the output of a class should take."""
    return mp.mpf((t + 1) // 2) if activation == "sigmoid" else mp.mpf(t)


def residual(activation: str, y: mp.mpf, t: int) -> mp.mpf:
    """f(y) - t by subtraction; for erf, whose complement needs 200,000 digits, by erfc."""
    if activation == "erf":
        return -mp.erfc(y) if t == 1 else mp.erfc(-y)
    return VALUE[activation](y) - target_value(activation, t)


def opposite(activation: str, y: mp.mpf, t: int) -> mp.mpf:
    """Distance of f(y) from the other class's value."""
    return abs(residual(activation, y, -t))


def loss_slope(activation: str, loss: str, y: mp.mpf, t: int) -> mp.mpf:
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
    raise ValueError(loss)


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
