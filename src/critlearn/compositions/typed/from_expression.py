"""Parser of activations and losses written as text, with the functions and constants allowed in it."""

from typing import Final

import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.loss import Loss, output, target
from critlearn.compositions.symbolic.functions import expit, softplus
from critlearn.compositions.typed.activation_from_expression import activation_from, real_y
from critlearn.compositions.typed.loss_from_expression import loss_from
from critlearn.numerics.expression_grammar import Function, parse_expression

FUNCTIONS: Final = {
    **{name: Function(getattr(sp, name)) for name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos")},
    **{name: Function(getattr(sp, name)) for name in ("atan", "asinh", "erf", "erfc", "sign")},
    "abs": Function(sp.Abs),
    "ln": Function(sp.log),
    "arctan": Function(sp.atan),
    "arcsinh": Function(sp.asinh),
    "log1p": Function(lambda x: sp.log(1 + x)),
    "expm1": Function(lambda x: sp.exp(x) - 1),
    "sigmoid": Function(expit),
    "expit": Function(expit),
    "softplus": Function(softplus),
    "relu": Function(lambda x: sp.Max(x, 0)),
    "max": Function(sp.Max, 2),
    "min": Function(sp.Min, 2),
}
"""Functions that may be called in an expression."""

_CONSTANTS: Final = {"pi": sp.pi}


def parse_activation(text: str) -> Activation:
    """Parse an activation from an expression in ``y``, such as ``y/(1+abs(y)**3)**(1/3)``.

    Raises
    ------
    InvalidInputError
        If the text does not parse (with the column), or describes nothing that can be an activation.
    """
    expression = parse_expression(text, {"y": real_y, **_CONSTANTS}, FUNCTIONS, kind="activation")
    return activation_from(expression, name=text.strip())


def parse_loss(text: str) -> Loss:
    """Parse a loss from an expression in ``f``, ``t`` or ``e = f - t``, such as ``abs(e)**3``.

    Raises
    ------
    InvalidInputError
        If the text does not parse (with the column), or describes nothing that can be a loss.
    """
    symbols = {"f": output, "t": target, "e": output - target, **_CONSTANTS}
    return loss_from(parse_expression(text, symbols, FUNCTIONS, kind="loss"), name=text.strip())
