"""Derivatives of expressions against SymPy's numbers, and what is refused because it jumps."""

import numpy as np
import pytest
import sympy as sp

from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.typed.activation_from_expression import real_y as y
from critlearn.compositions.typed.differentiation import SAMPLES, check_real, differentiated
from critlearn.errors import InvalidInputError


@pytest.mark.parametrize("value", [sp.tanh(y) ** 3, y / (1 + sp.Abs(y)), sp.Max(y, 0) + y, sp.sign(y) * y**2])
def test_derivatives_are_differences(value: sp.Expr) -> None:
    slope = differentiated(value, y, "f")
    at = SAMPLES[np.abs(SAMPLES) > 1e-2]
    step = 1e-6
    low, high = (evaluate(value, {y: at + d}) for d in (-step, step))
    np.testing.assert_allclose(evaluate(slope, {y: at}), (high - low) / (2 * step), rtol=1e-5, atol=1e-7)


def test_the_slope_of_tanh_does_not_cancel() -> None:
    slope = evaluate(differentiated(sp.tanh(y), y, "f"), {y: np.array([40.0, 300.0])})
    np.testing.assert_allclose(np.log(slope), np.log(4) - 2 * np.array([40.0, 300.0]), rtol=1e-12)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (sp.sign(y), "jumps at y = 0"),
        (y + sp.Heaviside(y - 2), "jumps at y = 2"),
        (sp.sign(y**2 - 2) * y, "jumps at y = -1.41421"),
        (sp.Integer(3) + 0 * y, "does not depend on y"),
    ],
)
def test_what_has_no_derivative_is_refused(value: sp.Expr, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        differentiated(value, y, "f")


def test_a_steep_root_is_continuous() -> None:
    assert differentiated(sp.sign(y) * sp.cbrt(sp.Abs(y)), y, "f") != 0


def test_values_that_are_not_real_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="not a real number"):
        check_real(sp.sqrt(y), 1 / (2 * sp.sqrt(y)), y, "f")
