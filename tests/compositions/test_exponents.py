"""Exponents: exact limits against hand-derived tables, finite margins against high-precision differentiation."""

import math
from fractions import Fraction

import numpy as np
import pytest

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition
from reference import mpmath_oracle as oracle
from reference.theory_table import ASYMPTOTIC_EXPONENTS, EXPONENTS_AT_FINITE_MARGIN


@pytest.mark.parametrize(("activation", "loss", "exact", "tail"), ASYMPTOTIC_EXPONENTS)
def test_exact_exponents(activation: str, loss: str, exact: str, tail: str) -> None:
    asymptote = Composition(activation, loss).asymptotic()
    assert asymptote.exact == exact
    assert asymptote.exponent == pytest.approx(float(Fraction(exact)), abs=1e-15)
    assert asymptote.tail == tail


@pytest.mark.parametrize(("activation", "loss", "margin", "exponent"), EXPONENTS_AT_FINITE_MARGIN)
def test_exponents_at_finite_margin(activation: str, loss: str, margin: float, exponent: float) -> None:
    composition = Composition(activation, loss)
    assert composition.intrinsic_exponent(np.array([margin]))[0] == pytest.approx(exponent, abs=5e-6)
    # The class -1 is the mirror image.
    assert composition.intrinsic_exponent(np.array([-margin]), -1)[0] == pytest.approx(exponent, abs=5e-6)


BOUNDED = [name for name, entry in ACTIVATIONS.items() if entry.bounded]


@pytest.mark.parametrize("activation", [name for name in BOUNDED if name not in ("erf", "normal-cdf")])
@pytest.mark.parametrize("loss", [*LOSSES, "power:3"])
@pytest.mark.parametrize("y", [-4.0, -0.7, 0.4, 2.5, 12.0])
def test_intrinsic_exponent_matches_differentiation(activation: str, loss: str, y: float) -> None:
    ours = Composition(activation, loss).intrinsic_exponent(np.array([y]), 1)[0]
    if activation.startswith("exponential") and loss == "bce" and y < 0:
        # exp(y) / exp(y): the error signal is constant.
        assert math.isnan(ours)
        return
    assert ours == pytest.approx(float(oracle.intrinsic_exponent(activation, loss, y, 1)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("activation", BOUNDED)
@pytest.mark.parametrize("loss", [*LOSSES, "power:3"])
def test_finite_margins_approach_the_exact_limit(activation: str, loss: str) -> None:
    composition = Composition(activation, loss)
    exact = composition.asymptotic().exponent
    assert exact is not None
    far = composition.intrinsic_exponent(np.array([30.0, 700.0]))
    assert abs(far[1] - exact) < 3e-3
    assert abs(far[1] - exact) <= abs(far[0] - exact) + 1e-9


def test_constant_error_signal_has_no_exponent() -> None:
    asymptote = Composition("identity", "mae").asymptotic()
    assert asymptote.exponent is None
    assert asymptote.exact is None
    assert math.isnan(Composition("identity", "mae").intrinsic_exponent(np.array([0.3]))[0])


def test_linear_output_with_decaying_error_has_both_limits() -> None:
    cauchy = Composition("identity", "cauchy").asymptotes()
    assert [limit.exact for limit in cauchy] == ["2", "0"]
