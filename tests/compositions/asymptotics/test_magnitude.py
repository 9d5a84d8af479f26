"""Logarithms of expressions that cancel, and their derivatives, against forms that do not."""

import math

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

from critlearn.compositions.asymptotics.magnitude import Magnitude, exact_log_magnitude
from critlearn.compositions.symbolic.evaluation import evaluate
from critlearn.compositions.symbolic.functions import s, y

X = np.concatenate([np.geomspace(1e-7, 1e5, 37), [0.5, 1.0, 2.0]])


@pytest.mark.parametrize(
    ("cancelling", "log_form"),
    [
        # 1 - s/sqrt(1 + s^2) = 1/(w (w + s)), w = sqrt(1 + s^2)
        (1 - s / sp.sqrt(1 + s**2), -sp.log(sp.sqrt(1 + s**2)) - sp.log(sp.sqrt(1 + s**2) + s)),
        (sp.sqrt(1 + s) - 1, sp.log(s) - sp.log(sp.sqrt(1 + s) + 1)),
        (1 / s - 1 / (s + 1), -sp.log(s) - sp.log(1 + s)),
    ],
)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_values_and_derivatives(cancelling: sp.Expr, log_form: sp.Expr, order: int) -> None:
    form = sp.diff(exact_log_magnitude(cancelling, y), y, order)
    with mpmath.workdps(60):
        exact = sp.diff(log_form, s, order)
        true = np.array([float(evaluate(exact, {s: mpmath.mpf(float(x))})) for x in X])
    np.testing.assert_allclose(evaluate(form, {y: X}), true, rtol=2e-6, atol=1e-8)
    np.testing.assert_allclose(evaluate(form, {y: torch.from_numpy(X)}).numpy(), true, rtol=2e-6, atol=1e-8)


def test_precise_values_have_as_many_digits_as_they_need() -> None:
    gap = Magnitude(s, 1 - sp.tanh(s))
    value, first, *_ = gap.precise(mpmath.mpf(300))
    # 2 exp(-600) (1 + ...): 260 digits cancel.
    assert float(value) == pytest.approx(math.log(2) - 600, rel=1e-14)
    assert float(first) == pytest.approx(-2, rel=1e-13)


def test_what_no_digits_resolve_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="cannot be resolved"):
        Magnitude(s, sp.exp(s) - sp.exp(s + 0 * s) + sp.Integer(0) * s).precise(mpmath.mpf(2))
    with pytest.raises(ArithmeticError, match="cannot be resolved"):
        Magnitude(s, 1 - sp.tanh(s)).precise(mpmath.mpf(5000))  # 4343 digits


def test_a_form_that_does_not_cancel_needs_no_table() -> None:
    assert Magnitude(s, s**2 / (1 + s)).tails == (None, None)
    below, above = Magnitude(s, 1 - s / sp.sqrt(1 + s**2)).tails
    assert below is None
    assert above is not None
