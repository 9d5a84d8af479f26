"""Compositions that are easy to get wrong, against exponents derived by hand."""

import math
import time

import pytest

from critlearn.compositions import Composition
from critlearn.numerics import time_budget
from reference.adversarial_compositions import ADVERSARIAL, INF


@pytest.mark.parametrize(("activation", "loss", "target", "expected"), ADVERSARIAL)
@pytest.mark.usefixtures("without_shape_checker")  # checked in the other tests; here it would take minutes
def test_exponents_by_hand(activation: str, loss: str, target: float, expected: dict[float, str | None]) -> None:
    composition = Composition(activation, loss)
    told = composition.all_asymptotes(target)
    for place, exact in expected.items():
        if math.isinf(place):
            # Of a linear output both ends are told at once.
            found = [side for side in told if side.place == place or (activation == "identity" and side.place == INF)]
        else:
            found = [side for side in told if abs(side.place - place) < 1e-6]
        assert found, f"nothing is told at {place}"
        for side in found:
            assert side.exact == exact
            assert (side.exponent is None) == (exact is None)
            assert exact is None or side.method == "symbolic"


@pytest.mark.parametrize(
    ("activation", "loss"), [("exp(-exp(-y))", "mse"), ("tanh(y)**3", "mse"), ("exp(-exp(exp(-y)))", "mse")]
)
def test_the_search_for_limits_is_bounded(activation: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_budget, "PATIENCE", 1.0)
    start = time.process_time()
    Composition(activation, loss).all_asymptotes()
    # Allowances of less than a second each, and what comes around them; unbounded, these took more than thirty.
    assert time.process_time() - start < 12


def test_irrational_powers_have_no_exact_exponent() -> None:
    (zero,) = (side for side in Composition("identity", "abs(e)**sqrt(5)").all_asymptotes(0) if side.place == 0)
    assert zero.exact is None
    assert zero.exponent == pytest.approx(1 - 1 / (math.sqrt(5) - 1), abs=1e-12)


def test_nothing_is_claimed_where_there_is_no_power_law() -> None:
    (side,) = (side for side in Composition("y+sin(y)", "mse").all_asymptotes() if side.place == INF)
    assert side.exponent is None
    assert side.uncertainty is None
    assert side.to_dict()["place"] is None


def test_logarithms_are_told_in_the_tail() -> None:
    assert Composition("asinh", "mse").all_asymptotes()[0].tail == "|y|^-1 ln(|y|)"
    zero = [side for side in Composition("identity", "e**2*log(1+1/e**2)").all_asymptotes(0) if side.place == 0]
    # d/de e^2 ln(1 + e^-2) = 2 e ln(1 + e^-2) - ...: one power of e, and a logarithm.
    assert [(side.exact, side.tail) for side in zero] == [("0", "|y| ln(|y|)")]
