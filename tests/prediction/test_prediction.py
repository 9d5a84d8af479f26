"""Predicted exponents and windows against hand-derived values."""

import math

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.prediction import parse_density, predict_from_margins, predict_toy, predict_toy_from_data


@pytest.mark.parametrize(
    ("activation", "loss", "exact"),
    [
        ("sigmoid", "bce", "1"),
        ("tanh", "mse", "1"),
        ("softsign", "mse", "4/3"),
        ("softsign", "bce", "3/2"),
        ("arctan", "mse", "4/3"),
    ],
)
def test_uniform_inputs_show_the_exponent_of_the_composition(activation: str, loss: str, exact: str) -> None:
    prediction = predict_toy(Composition(activation, loss), parse_density("uniform(-0.3,2.3)"), 5.0, 0.0)["bias"]
    assert prediction.exact == exact
    assert prediction.window is not None
    assert prediction.window.decades >= 1
    inside = (prediction.distribution.centres > prediction.window.log_lo) & (
        prediction.distribution.centres < prediction.window.log_hi
    )
    assert np.abs(prediction.distribution.local_exponent[inside] - prediction.exponent).max() <= 0.05


@pytest.mark.parametrize(("weight", "scale"), [(2.08, 0.7), (4.0, 0.5), (1.0, 2.0)])
def test_exponential_inputs_lower_the_exponent(weight: float, scale: float) -> None:
    # g ~ exp(-w x) and p(x) ~ exp(-x / scale) give k = 1 - 1 / (scale w).
    prediction = predict_toy(Composition("sigmoid", "bce"), parse_density(f"laplace(1,{scale})"), weight, 0.0)["bias"]
    assert prediction.exponent == pytest.approx(1 - 1 / (scale * weight), abs=1e-9)
    assert prediction.exact is None


def test_weight_on_a_power_law_error_has_one_power_of_the_margin_more() -> None:
    # delta_w = |x| m^-3 with m = w x: m^-2 and k = 3/2; a wide range of inputs is needed to get there.
    prediction = predict_toy(Composition("softsign", "mse"), parse_density("uniform(1,2000)"), 5.0, 0.0)["weight"]
    assert prediction.exact == "3/2"


def test_gaussian_inputs_give_no_wide_window() -> None:
    prediction = predict_toy(Composition("sigmoid", "bce"), parse_density("normal(1,1)"), 2.0, 0.0)["bias"]
    assert prediction.exact is None
    assert prediction.window is None or prediction.window.decades < 1.5


def test_linear_output_is_not_critical() -> None:
    prediction = predict_toy(Composition("identity", "mse"), parse_density("normal(1,1)"), 1.0, 0.0)["bias"]
    assert prediction.exact == "0"


def test_learning_rate_only_moves_the_window() -> None:
    composition, inputs = Composition("softsign", "bce"), parse_density("uniform(-0.3,2.3)")
    unit = predict_toy(composition, inputs, 5.0, 0.0)["bias"].window
    small = predict_toy(composition, inputs, 5.0, 0.0, lr=1e-3)["bias"].window
    assert unit is not None
    assert small is not None
    assert small.log_lo - unit.log_lo == pytest.approx(math.log(1e-3), abs=0.03)


def test_prediction_from_margins_approaches_that_from_their_density() -> None:
    generator = np.random.default_rng(3)
    inputs = parse_density("normal(3,1)")
    margins = inputs.sample(200_000, generator)
    empirical = predict_from_margins(Composition("sigmoid", "bce"), margins).distribution
    exact = predict_toy(Composition("sigmoid", "bce"), inputs, 1.0, 0.0)["bias"].distribution
    at = np.linspace(-5.0, -1.5, 15)
    difference = np.interp(at, empirical.centres, empirical.local_exponent) - np.interp(
        at, exact.centres, exact.local_exponent
    )
    # A kernel of bandwidth h widens a Gaussian's variance by h^2 = 0.03, so the slopes, of size 3 at most, are off by
    # 0.1; the scatter of the slope at 200,000 observations is below 0.03.
    assert np.abs(difference).max() < 0.2


def test_prediction_from_observed_inputs_approaches_that_from_their_density() -> None:
    inputs = parse_density("normal(1.5,1)")
    x = inputs.sample(100_000, np.random.default_rng(8))
    classes = np.where(np.arange(x.size) % 4 == 0, -1.0, 1.0)
    composition = Composition("softsign", "mse")
    observed = predict_toy_from_data(composition, classes * x, classes, 2.0, 0.0)
    exact = predict_toy(composition, inputs, 2.0, 0.0)
    for name in ("bias", "weight"):
        one, two = observed[name].distribution, exact[name].distribution
        at = np.linspace(-4.0, -0.5, 20)
        cumulative = [np.interp(at, part.edges[1:], np.cumsum(part.mass)) for part in (one, two)]
        # The kernel of width 0.19 moves probability by less than this; the scatter of 100,000 draws is 0.002.
        np.testing.assert_allclose(cumulative[0], cumulative[1], atol=0.02)


def test_what_does_not_exist_is_null_in_plain_values() -> None:
    prediction = predict_toy(Composition("softsign", "bce"), parse_density("normal(1,1)"), 3.0, 0.0)["bias"]
    plain = prediction.to_dict()
    assert plain["exponent"] is None
    assert plain["window"] is None
    assert all(value is None or math.isfinite(value) for value in prediction.curve()["exponent"])
