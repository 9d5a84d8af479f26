"""The catalogue of activations, one entry each.

A new activation is one entry here, one row of the reference table in the tests and one row in the docs.
"""

import math
from typing import Final

import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.activation import Activation
from critlearn.compositions.expressions import expit, log_erfc, y
from critlearn.errors import unknown_name

_root: Final = sp.sqrt(1 + y**2)

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
        log_upper_gap=sp.log(2 / sp.pi) + sp.log(sp.acot(y)),
        log_lower_gap=log1p(2 * sp.atan(y) / sp.pi),
    ),
    Activation(
        "isru",
        range=(-1.0, 1.0),
        value=y / _root,
        log_derivative=-3 * sp.log(_root),
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
    Activation("identity", range=(-math.inf, math.inf), value=y, log_derivative=sp.Integer(0)),
)

ACTIVATIONS: Final = {entry.name: entry for entry in _ENTRIES}


def find_activation(name: str) -> Activation:
    """Activation of that name.

    Raises
    ------
    InvalidInputError
        If there is none; the message gives the nearest names.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
