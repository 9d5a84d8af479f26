"""Limits at zeros and poles against expansions by hand: order n of the error signal, exponent 1 - 1/n."""

import math

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.compositions.tails.criteria import MOST_PLACES
from critlearn.compositions.tails.zeros_and_poles import zeros_and_poles
from critlearn.numerics.time_budget import Allowance

pytestmark = pytest.mark.usefixtures("without_shape_checker")  # checked in the other tests; here it would be slow


@pytest.mark.parametrize(
    ("activation", "loss", "t", "expected"),
    [
        ("identity", "mse", 0.3, {0.3: "0"}),
        ("identity", "power:3", 0.0, {0.0: "1/2"}),
        ("square", "mse", 1.0, {-1.0: "0", 0.0: "0", 1.0: "0"}),
        ("square", "mse", 0.0, {0.0: "2/3"}),  # 4 y^3
        ("identity", "sqrt(abs(e))", 0.5, {0.5: "3"}),  # |e|^(-1/2)
        ("sign(y)*abs(y)**(1/3)", "mse", 0.0, {0.0: "4"}),  # y^(1/3) y^(-2/3) = y^(-1/3)
        ("exp(-y**2)", "mse", 1.0, {0.0: "2/3"}),  # y^2 of the residual times y of the slope
    ],
)
def test_limits_by_hand(activation: str, loss: str, t: float, expected: dict[float, str]) -> None:
    composition = Composition(activation, loss)
    found = list(zeros_and_poles(composition.activation, composition.loss, t, Allowance(10.0)))
    assert {one.place: one.exact for one in found} == pytest.approx(expected)
    for one in found:
        # Close by, kappa is that of the limit.
        near = composition.intrinsic_exponent(one.place + np.array([1e-4, -1e-4]), t)
        assert near == pytest.approx(one.exponent, abs=1e-3)
        assert one.fluctuations == ("small" if one.exponent < 1 else "large")


def test_a_zero_may_differ_from_above_and_from_below() -> None:
    composition = Composition("max(y,0)**2 + y", "mse")
    found = list(zeros_and_poles(composition.activation, composition.loss, 0.0, Allowance(10.0)))
    assert [(one.exact, one.location) for one in found] == [("0", "y = 0 (residual -> 0)")]
    hinge = Composition("identity", "max(e,0)**2")
    found = list(zeros_and_poles(hinge.activation, hinge.loss, 0.0, Allowance(10.0)))
    # Below its target the error is zero.
    assert [(one.exact, one.location) for one in found] == [("0", "y = 0 (residual -> 0) from above")]


def test_of_infinitely_many_the_nearest_are_listed() -> None:
    composition = Composition("sin(y)", "mse")
    found = list(zeros_and_poles(composition.activation, composition.loss, 0.0, Allowance(10.0)))
    assert len(found) == MOST_PLACES
    assert max(abs(one.place) for one in found) <= 1.5 * math.pi + 1e-9
    assert {one.exact for one in found} == {"0"}
