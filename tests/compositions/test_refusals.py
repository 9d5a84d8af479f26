"""Names and combinations that cannot be used are refused in one line that says what can."""

import math

import pytest
import sympy as sp

from critlearn.compositions import Activation, Composition, power
from critlearn.compositions.loss import log_residual
from critlearn.compositions.symbolic.functions import y
from critlearn.errors import InvalidInputError


@pytest.mark.parametrize(
    ("activation", "loss", "words"),
    [
        ("softsing", "mse", ['unknown activation "softsing"', 'did you mean "softsign"']),
        ("tanh", "msee", ['unknown loss "msee"', '"mse"']),
        ("identity", "bce", ['"bce"', '"identity"', "cauchy, ", "power:p", "sigmoid, "]),
        ("tanh", "power:x", ['"power:x"', "number"]),
        ("tanh", "power:", ["number"]),
        ("tanh", "power:0.5", ["p >= 1", "0.5"]),
        ("tanh", "power:inf", ["p >= 1"]),
        ("tanh", "power:nan", ["p >= 1"]),
    ],
)
def test_refused_by_name(activation: str, loss: str, words: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Composition(activation, loss)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("t", [0.5, 2.0, float("nan")])
def test_targets_of_a_saturating_output_are_classes(t: float) -> None:
    with pytest.raises(InvalidInputError, match="classes -1 and \\+1"):
        Composition("tanh", "mse").output_error(0.3, t)


def test_activation_needs_gaps_exactly_if_it_saturates() -> None:
    with pytest.raises(InvalidInputError, match="log gaps"):
        Activation("half", range=(0.0, 1.0), value=y, log_derivative=sp.Integer(0))
    with pytest.raises(InvalidInputError, match="y alone"):
        Activation("other", range=(-math.inf, math.inf), value=y * sp.Symbol("z"), log_derivative=sp.Integer(0))


def test_power_keeps_its_exponent_exact() -> None:
    assert power(1.5).log_derivative.subs(log_residual, 0) == sp.log(sp.Rational(3, 2))
