"""Outputs that are constant on a stretch, at a limit that no fraction is, or beside a place of another kind."""

import math
import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from critlearn.compositions import Composition
from critlearn.prediction import predict_from_density

pytestmark = pytest.mark.usefixtures("without_shape_checker")  # checked in the other tests; here it would be slow

ABOVE_ONE = 0.5 * math.erfc(1 / math.sqrt(2))
"""Probability of a standard normal number above 1."""


@pytest.mark.parametrize(
    ("activation", "zeros", "exact"),
    [
        ("max(y,0)**2", 0.5, "0"),  # g = 2 y |y^2 - 1|
        ("relu(y)**3", 0.5, "1/2"),  # g = 3 y^2 |y^3 - 1|
        ("max(y-1,0)**2", 1 - ABOVE_ONE, "0"),
        ("min(max(y,-1),1)", 2 * ABOVE_ONE, "0"),
    ],
)
def test_stretches_without_an_error_are_exact_zeros(activation: str, zeros: float, exact: str) -> None:
    prediction = predict_from_density(Composition(activation, "mse"), "normal(0,1)")
    assert prediction.distribution.zeros == pytest.approx(zeros, abs=1e-8)
    assert prediction.exact == exact


def test_a_clipped_output_has_no_error_beyond_its_ends() -> None:
    composition = Composition("min(max(y,-1),1)", "mse")
    y = np.array([-300.0, -3.0, -1.5, -0.5, 0.25, 0.999, 1.5, 300.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors = composition.output_error(y, 1.0)
    np.testing.assert_allclose(errors, [0, 0, 0, -3.0, -1.5, -0.002, 0, 0], rtol=1e-12)
    first, *others = composition.all_asymptotes()
    assert (first.place, first.exact, first.location) == (1.0, "0", "y = 1 from below")
    assert {side.tail for side in others} == {"zero"}


def test_logarithms_of_nothing_are_minus_infinity() -> None:
    y = np.array([-3.0, -1e-9, -300.0])
    assert np.isneginf(Composition("max(y,0)**2", "mse").log_error_signal(y, 1.0)).all()
    # The output never exceeds the target 1: the loss is zero there.
    hinge = Composition("tanh", "max(e,0)")
    assert np.isneginf(hinge.log_error_signal(y, 1.0)).all()
    assert {(side.exponent, side.tail) for side in hinge.all_asymptotes(1)} == {(None, "zero")}


@pytest.mark.parametrize(
    ("output", "function"),
    [
        ("tanh(tanh(y))", mpmath.tanh),
        ("atan(tanh(y))", mpmath.atan),
        ("erf(tanh(y))", mpmath.erf),
        ("sigmoid(tanh(y))", lambda x: 1 / (1 + mpmath.exp(-x))),
    ],
)
def test_limits_that_are_no_fractions(output: str, function: object) -> None:
    composition = Composition(output, "mse")
    side = composition.asymptotic()
    assert (side.exact, side.tail, side.approach, side.method) == ("1", "exp(-4 m)", "exponential", "symbolic")
    with mpmath.workdps(120):

        def loss(x: mpf) -> mpf:
            return (function(mpmath.tanh(x)) - function(mpf(1))) ** 2  # type: ignore[operator]

        for margin in (2.0, 12.0, 25.0):
            truth = float(mpmath.log(abs(mpmath.diff(loss, mpf(margin)))))
            assert float(composition.log_error_signal(np.array([margin]))[0]) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize(
    ("output", "target", "place", "exact"),
    [
        ("tanh(y/(1+abs(y)))", 1, math.inf, "4/3"),  # gap y^-1, slope y^-2
        ("sin(y)/y", 1, 0.0, "2/3"),  # y^2 times y
        ("sin(y)/y", 0, 0.0, "0"),  # the slope alone
    ],
)
def test_exponents_by_hand(output: str, target: float, place: float, exact: str) -> None:
    side = next(side for side in Composition(output, "mse").all_asymptotes(target) if side.place == place)
    assert (side.exact, side.method) == (exact, "symbolic")


def test_a_power_of_a_logarithm_is_no_power_law() -> None:
    # g ~ |ln y| at 0.
    assert 0.0 not in {side.place for side in Composition("y*log(abs(y))", "mse").all_asymptotes(1)}


def test_ends_of_an_even_error_signal_are_alike() -> None:
    sides = Composition("(1+1/(1+y**2))**(1+y**2)", "mse").all_asymptotes(1)
    upper, lower = (next(side for side in sides if side.place == place) for place in (math.inf, -math.inf))
    # f = e - e/(2 y^2) + ...: slope y^-3
    assert upper.exponent == pytest.approx(4 / 3, abs=1e-9)
    assert (upper.exponent, upper.tail, upper.uncertainty) == (lower.exponent, lower.tail, lower.uncertainty)
