"""The catalogue of activations, one entry each.

A new activation is one entry here, one row of the reference table in the tests and one row in the docs.
"""

import math
from typing import Final

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from critlearn.compositions.activation import Activation, HalfLineForms
from critlearn.compositions.symbolic.functions import expit, log_erfc, softplus, y
from critlearn.errors import InvalidInputError, unknown_name

_root: Final = sp.sqrt(1 + y**2)
_cube_root: Final = sp.cbrt(1 + y**3)

_ENTRIES: Final = (
    Activation(
        "sigmoid",
        range=(0.0, 1.0),
        value=expit(y),
        log_derivative=-y - 2 * log1p(sp.exp(-y)),
        log_upper_gap=-y - log1p(sp.exp(-y)),
        log_lower_gap=-log1p(sp.exp(-y)),
    ),
    Activation(
        "tanh",
        range=(-1.0, 1.0),
        value=sp.tanh(y),
        log_derivative=sp.log(4) - 2 * y - 2 * log1p(sp.exp(-2 * y)),
        log_upper_gap=sp.log(2) - 2 * y - log1p(sp.exp(-2 * y)),
        log_lower_gap=sp.log(2) - log1p(sp.exp(-2 * y)),
    ),
    Activation(
        "softsign",
        range=(-1.0, 1.0),
        value=y / (1 + y),
        log_derivative=-2 * log1p(y),
        log_upper_gap=-log1p(y),
        log_lower_gap=log1p(2 * y) - log1p(y),
    ),
    Activation(
        "arctan",
        range=(-1.0, 1.0),
        value=2 * sp.atan(y) / sp.pi,
        log_derivative=sp.log(2 / sp.pi) - log1p(y**2),
        # 1 - 2 atan(y) / pi = 2 acot(y) / pi
        log_upper_gap=sp.log(2 / sp.pi) + sp.log(sp.acot(y)),
        log_lower_gap=log1p(2 * sp.atan(y) / sp.pi),
    ),
    Activation(
        "isru",
        range=(-1.0, 1.0),
        value=y / _root,
        log_derivative=-3 * sp.log(_root),
        # (root - y) / root = 1 / (root (root + y)), without the difference.
        log_upper_gap=-sp.log(_root) - sp.log(y + _root),
        log_lower_gap=log1p(y / _root),
    ),
    Activation(
        "erf",
        range=(-1.0, 1.0),
        value=sp.erf(y),
        log_derivative=sp.log(2 / sp.sqrt(sp.pi)) - y**2,
        log_upper_gap=log_erfc(y),
        log_lower_gap=log1p(sp.erf(y)),
    ),
    Activation(
        "normal-cdf",
        range=(0.0, 1.0),
        value=(1 + sp.erf(y / sp.sqrt(2))) / 2,
        log_derivative=-sp.log(2 * sp.pi) / 2 - y**2 / 2,
        log_upper_gap=log_erfc(y / sp.sqrt(2)) - sp.log(2),
        log_lower_gap=log1p(sp.erf(y / sp.sqrt(2))) - sp.log(2),
    ),
    Activation(
        "gudermannian",  # (4/pi) atan(tanh(y/2)), the integral of sech
        range=(-1.0, 1.0),
        value=4 * sp.atan(sp.tanh(y / 2)) / sp.pi,
        log_derivative=sp.log(4 / sp.pi) - y - log1p(sp.exp(-2 * y)),
        # pi/4 - atan(tanh(y/2)) = atan(exp(-y))
        log_upper_gap=sp.log(4 / sp.pi) + sp.log(sp.atan(sp.exp(-y))),
        log_lower_gap=log1p(4 * sp.atan(sp.tanh(y / 2)) / sp.pi),
    ),
    Activation(
        "exponential",  # sign(y) (1 - exp(-|y|)), the distribution function of Laplace's density
        range=(-1.0, 1.0),
        value=-expm1(-y),
        log_derivative=-y,
        log_upper_gap=-y,
        log_lower_gap=sp.log(2 - sp.exp(-y)),
    ),
    Activation(
        "algebraic-3",  # y / (1 + |y|^3)^(1/3)
        range=(-1.0, 1.0),
        value=y / _cube_root,
        log_derivative=-4 * log1p(y**3) / 3,
        # c - y = (c^3 - y^3) / (c^2 + c y + y^2) with c^3 - y^3 = 1.
        log_upper_gap=-sp.log(_cube_root) - sp.log(_cube_root**2 + _cube_root * y + y**2),
        log_lower_gap=log1p(y / _cube_root),
    ),
    Activation(
        "slow-softsign",  # sign(y) (1 - 1/sqrt(1 + |y|))
        range=(-1.0, 1.0),
        value=-expm1(-log1p(y) / 2),
        log_derivative=-sp.log(2) - 3 * log1p(y) / 2,
        log_upper_gap=-log1p(y) / 2,
        log_lower_gap=sp.log(2 - sp.exp(-log1p(y) / 2)),
    ),
    Activation(
        "exponential-softsign",  # y / (1 + y) above, exp(y) - 1 below: saturates at different speeds
        range=(-1.0, 1.0),
        value=y / (1 + y),
        log_derivative=-2 * log1p(y),
        log_upper_gap=-log1p(y),
        log_lower_gap=log1p(2 * y) - log1p(y),
        negative=HalfLineForms(
            value=expm1(-y), log_derivative=-y, log_upper_gap=sp.log(2 - sp.exp(-y)), log_lower_gap=-y
        ),
    ),
    Activation("identity", range=(-math.inf, math.inf), value=y, log_derivative=sp.Integer(0)),
    Activation("asinh", range=(-math.inf, math.inf), value=sp.asinh(y), log_derivative=-log1p(y**2) / 2),
    Activation("symlog", range=(-math.inf, math.inf), value=log1p(y), log_derivative=-log1p(y)),
    Activation(
        "softplus",
        range=(0.0, math.inf),
        value=softplus(y),
        log_derivative=-log1p(sp.exp(-y)),
        negative=HalfLineForms(value=softplus(-y), log_derivative=-y - log1p(sp.exp(-y))),
    ),
    Activation(
        "elu",
        range=(-1.0, math.inf),
        value=y,
        log_derivative=sp.Integer(0),
        negative=HalfLineForms(value=expm1(-y), log_derivative=-y),
    ),
    Activation(
        "square",
        range=(0.0, math.inf),
        value=y**2,
        log_derivative=sp.log(2) + sp.log(y),
        negative=HalfLineForms(value=y**2, log_derivative=sp.log(2) + sp.log(y), slope=-y),
        ends=(math.inf, math.inf),
    ),
)

ACTIVATIONS: Final = {entry.name: entry for entry in _ENTRIES}

SOFTMAX: Final = "softmax"
"""Acts on all classes at once, and so is no entry: with cross-entropy it is `softmax.SoftmaxCrossEntropy`."""


def find_activation(name: str) -> Activation:
    """Return the catalogue's activation of a name.

    Raises
    ------
    InvalidInputError
        If there is none; the message gives the nearest names.
    """
    if name == SOFTMAX:
        raise InvalidInputError(f'activation "{name}" acts on all classes at once, and goes with cross-entropy only')
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, [*ACTIVATIONS, SOFTMAX])
    return ACTIVATIONS[name]
