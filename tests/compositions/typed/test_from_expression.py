"""Compositions from expressions, SymPy and callables: exponents by hand, values against plain definitions."""

import math

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
import torch

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.numerics import time_budget

# (activation, loss, exact exponent, tail), derived by hand from the leading powers.
BY_HAND = [
    ("y/(1+abs(y)**3)**(1/3)", "abs(e)**3", "11/10", "m^-10"),
    ("y/(1+abs(y)**3)**(1/3)", "mse", "8/7", "m^-7"),
    ("y/sqrt(1+y^2)", "e^2", "6/5", "m^-5"),
    ("2/pi*atan(y)", "-log((1+f)/2)*(1+t)/2 - log((1-f)/2)*(1-t)/2", "3/2", "m^-2"),
    ("tanh(y)", "e**2", "1", "exp(-4 m)"),
    ("erf(y)", "e**2", "1", "exp(-2 m^2)"),
    ("sigmoid(y)", "-t*log(f)-(1-t)*log(1-f)", "1", "exp(-m)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "loss", "exact", "tail"), BY_HAND)
def test_exact_exponents_of_expressions(activation: str, loss: str, exact: str, tail: str) -> None:
    asymptote = Composition(activation, loss).asymptotic()
    assert (asymptote.exact, asymptote.tail, asymptote.method) == (exact, tail, "symbolic")


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_expressions_are_exact_in_the_tail(library: str) -> None:
    composition = Composition("y/(1+abs(y)**3)**(1/3)", "abs(e)**3")
    margins = np.array([-700.0, -30.0, -0.5, 0.5, 3.0, 40.0, 700.0, 1e5])
    given = torch.from_numpy(margins) if library == "torch" else margins
    ours = np.asarray(composition.log_error_signal(given, 1))
    with mp.workdps(80):
        for margin, log_size in zip(margins, ours, strict=True):
            y = mp.mpf(margin)
            f = y / mp.cbrt(1 + abs(y) ** 3)
            true = 3 * (1 - f) ** 2 * (1 + abs(y) ** 3) ** (-mp.mpf(4) / 3)
            assert log_size == pytest.approx(float(mp.log(true)), abs=1e-6)


def test_expressions_agree_with_the_catalogue() -> None:
    margins = np.linspace(-60.0, 60.0, 41)
    ours, known = Composition("tanh(y)", "e^2"), Composition("tanh", "mse")
    np.testing.assert_allclose(ours.log_error_signal(margins), known.log_error_signal(margins), atol=1e-7)
    np.testing.assert_allclose(
        ours.intrinsic_exponent(margins[20:] + 0.1), known.intrinsic_exponent(margins[20:] + 0.1), atol=1e-5
    )


def test_sympy_and_callables_are_read_alike() -> None:
    y = sp.Symbol("y")
    assert Composition(y / sp.sqrt(1 + y**2), "mse").asymptotic().exact == "6/5"
    traced = Composition(lambda y: y / (1 + y.abs() ** 3) ** (1 / 3), lambda f, t: (f - t).abs() ** 3)
    assert traced.asymptotic().exact == "11/10"
    assert Composition(torch.nn.Tanh(), lambda f, t: (f - t) ** 2).asymptotic().tail == "exp(-4 m)"


def test_all_limits_are_listed() -> None:
    limits = {one.location: one for one in Composition("y**2", "e**2").all_asymptotes(0)}
    assert limits["y = 0 (residual -> 0)"].exact == "2/3"
    assert limits["y -> inf"].fluctuations == "large"
    pole = [side for side in Composition("y", "sqrt(abs(e))").all_asymptotes(0) if side.fluctuations == "large"]
    # g ~ |e|^(-1/2): n = -1/2, k = 1 - 1/n.
    assert [side.exact for side in pole] == ["3"]
    flat = Composition("sigmoid", "bce").all_asymptotes()[1]
    assert flat.fluctuations == "constant"
    assert flat.exponent is None
    assert [side.exact for side in Composition("exponential-softsign", "mse").all_asymptotes()] == ["4/3", "1"]


@pytest.mark.slow
def test_no_power_law_is_an_answer() -> None:
    side = Composition("y + sin(y)/2", "e^2").all_asymptotes(0)[-1]
    assert side.exponent is None
    assert side.exact is None


@pytest.mark.parametrize(
    ("activation", "loss", "words"),
    [
        ("sqrt(y)", "mse", "not a real number at y"),
        ("sign(y)", "mse", "jumps at y = 0"),
        ("3", "mse", "alone"),
        ("tanh", "sign(e)", "not differentiable"),
        ("tanh", "t", "does not depend on f"),
        ("tanh", "abs(e)*g", "at column"),
    ],
)
def test_refused(activation: str, loss: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Composition(activation, loss)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refused_where_the_loss_is_not_defined() -> None:
    with pytest.raises(InvalidInputError, match="not defined for all outputs"):
        Composition("tanh", "log(f)").log_error_signal(np.array([0.3]))


def test_branching_callable_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="cannot be traced"):
        Composition(lambda y: y if y > 0 else -y, "mse")


def test_a_callable_that_takes_an_index_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no symbolic counterpart"):
        Composition(lambda y: y[..., 0], "mse")


def test_numeric_exponent_of_the_far_tail_agrees_with_the_symbolic_one() -> None:
    composition = Composition("y/(1+abs(y)**3)**(1/3)", "abs(e)**3")
    assert composition.intrinsic_exponent(np.array([1e4]))[0] == pytest.approx(1.1, abs=1e-4)
    assert not math.isnan(composition.intrinsic_exponent(np.array([1e9]))[0])


def test_what_oscillates_and_dies_out_leaves_the_tail_as_it_is() -> None:
    """``1 - tanh m`` outlives the bump, whose own size has no limit form."""
    composition = Composition("tanh(y)+0.1*sin(y)*exp(-y**2)", "mse")
    assert (composition.asymptotic().exact, composition.asymptotic().tail) == ("1", "exp(-4 m)")
    with mp.workdps(200):
        for margin in (-9.0, 2.0, 5.0, 12.0):
            f, slope = (mp.diff(lambda y: mp.tanh(y) + mp.sin(y) * mp.exp(-(y**2)) / 10, margin, n) for n in (0, 1))
            true = float(mp.log(2 * (1 - f) * slope))
            assert float(composition.log_error_signal(np.array([margin]), 1)[0]) == pytest.approx(true, abs=1e-9)


def test_an_oscillation_that_wins_has_no_exponent() -> None:
    limits = {one.location: one.exponent for one in Composition("y+3*sin(y)", "mse").all_asymptotes()}
    assert limits["y -> inf"] is None


def test_roots_are_continuous_and_jumps_are_refused_wherever_they_are() -> None:
    cube_root = {side.location: side.exact for side in Composition("sign(y)*abs(y)**(1/3)", "mse").all_asymptotes()}
    # g = (y^(1/3) - 1) y^(-2/3) / 3: y^(-1/3) far out, y^(-2/3) at the origin.
    assert (cube_root["y -> inf"], cube_root["y = 0"]) == ("4", "5/2")
    for jumping in ("sign(y)", "sign(y-1)", "y+sign(y-0.3)/100"):
        with pytest.raises(InvalidInputError, match="it jumps at y = "):
            Composition(jumping, "mse")


@pytest.mark.parametrize(
    ("activation", "place", "tail"),
    [
        ("exp(-1/y**2)", "y = 0", "exp(-1/|y|^2)"),
        ("tanh(y)*exp(-2/abs(y-1))", "y = 1", "exp(-2/|y - 1|)"),
    ],
)
def test_zeros_faster_than_any_power_have_exponent_one(activation: str, place: str, tail: str) -> None:
    limits = {one.location: one for one in Composition(activation, "mse").all_asymptotes()}
    assert (limits[place].exact, limits[place].tail, limits[place].fluctuations) == ("1", tail, "small")


def test_a_steep_power_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing here has a factored form: with the patience of a test run SymPy would look for one for minutes.
    monkeypatch.setattr(time_budget, "PATIENCE", 1.0)
    # Powers of large numbers are off by many roundings: no falling slope, as the slope is (1 + |y|^97)^(-98/97) > 0.
    assert Composition("y/(1+abs(y)**97)**(1/97)", "mse").activation.range == (-1.0, 1.0)
