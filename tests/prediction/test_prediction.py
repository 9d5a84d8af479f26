"""Predicted exponents and windows against hand-derived values."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.prediction import (
    Prediction,
    caustics_of,
    parse_density,
    predict_from_density,
    predict_from_margins,
    predict_from_outputs,
    predict_toy,
    predict_toy_from_data,
)


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


def _exponential_softsign(y: torch.Tensor) -> torch.Tensor:
    """``y / (1 + y)`` above zero and ``exp(y) - 1`` below."""
    return torch.where(y > 0, y / (1 + y.abs()), torch.expm1(y.clamp(max=0)))


ASYMMETRIC = [("softplus", torch.nn.functional.softplus), ("exponential-softsign", _exponential_softsign)]
SAMPLES = 100_000


def _draw(weight: float, bias: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, three quarters of class +1, their classes, and pre-activations."""
    inputs = parse_density("normal(0.7,1)").sample(SAMPLES, np.random.default_rng(12))
    classes = np.where(np.arange(SAMPLES) % 4 == 0, -1.0, 1.0)
    return classes * inputs, classes, weight * classes * inputs + bias


def _sizes(function: Callable[[torch.Tensor], torch.Tensor], y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``|d (f(y) - t)^2 / dy|`` by automatic differentiation of the formula."""
    output = torch.from_numpy(y).requires_grad_(True)
    ((function(output) - torch.from_numpy(t)) ** 2).sum().backward()
    assert output.grad is not None
    return output.grad.abs().numpy()


def _shares_below(prediction: Prediction, log_sizes: np.ndarray) -> np.ndarray:
    return np.interp(log_sizes, prediction.distribution.edges[1:], np.cumsum(prediction.distribution.mass))


@pytest.mark.parametrize(("activation", "function"), ASYMMETRIC)
def test_each_class_has_the_error_of_its_own_target(activation: str, function: Callable) -> None:
    """Shares below ten sizes against draws, where one error for both classes would be off by 0.1 and more."""
    composition, inputs = Composition(activation, "mse"), parse_density("normal(0.7,1)")
    x, classes, y = _draw(2.0, 0.4)
    sizes = {"bias": _sizes(function, y, classes)}
    sizes["weight"] = sizes["bias"] * np.abs(x)
    # Equal shares of the classes: those of class +1 count a third.
    share = np.where(classes > 0, 1 / 3, 1.0)
    for name, prediction in predict_toy(composition, inputs, 2.0, 0.4).items():
        at = np.quantile(sizes[name], np.linspace(0.05, 0.95, 10))
        below = [float(share[sizes[name] <= size].sum() / share.sum()) for size in at]
        # Four standard errors of a share of 25,000 draws, the fewer ones.
        np.testing.assert_allclose(_shares_below(prediction, np.log(at)), below, atol=4 * 0.5 / math.sqrt(SAMPLES / 4))


@pytest.mark.parametrize(("activation", "function"), ASYMMETRIC)
def test_predictions_from_outputs_keep_the_classes_apart(activation: str, function: Callable) -> None:
    _, classes, y = _draw(2.0, 0.4)
    sizes = _sizes(function, y, classes)
    at = np.quantile(sizes, np.linspace(0.05, 0.95, 10))
    prediction = predict_from_outputs(Composition(activation, "mse"), y, classes)
    # The kernel of width 0.2 of an output that spreads by 2 moves probability by less than this.
    np.testing.assert_allclose(_shares_below(prediction, np.log(at)), np.linspace(0.05, 0.95, 10), atol=0.02)


def test_predictions_from_outputs_with_many_targets() -> None:
    """A linear output has the error of its residual; that of an exponential linear unit is taken as it comes."""
    generator = np.random.default_rng(3)
    y, t = generator.normal(2.0, 1.0, SAMPLES), generator.normal(0.0, 2.0, SAMPLES)
    for activation, function in (("identity", lambda z: z), ("elu", torch.nn.functional.elu)):
        sizes = _sizes(function, y, t)
        at = np.quantile(sizes, np.linspace(0.05, 0.95, 10))
        prediction = predict_from_outputs(Composition(activation, "mse"), y, t)
        np.testing.assert_allclose(_shares_below(prediction, np.log(at)), np.linspace(0.05, 0.95, 10), atol=0.02)


def test_two_classes_at_different_speeds_have_the_limit_of_the_faster() -> None:
    # delta ~ m^-3 for the one class, down to m = 11.5, and exp(-2 m) for the other: what is smaller is delta^-1.
    composition = Composition("exponential-softsign", "mse")
    prediction = predict_toy(composition, parse_density("uniform(-0.3,2.3)"), 5.0, 0.0)["bias"]
    assert prediction.exact == "1"
    assert prediction.window is not None
    assert prediction.window.lo == pytest.approx(2 * math.exp(-23.0), rel=0.05)


def test_margins_do_not_do_where_the_classes_differ() -> None:
    with pytest.raises(InvalidInputError, match="predict_from_outputs takes outputs and targets"):
        predict_from_margins(Composition("softplus", "mse"), np.linspace(-3.0, 3.0, 100))


@pytest.mark.usefixtures("without_shape_checker")
def test_outputs_and_targets_must_belong_together() -> None:
    with pytest.raises(InvalidInputError, match=r"got shapes \(3,\) and \(2,\)"):
        predict_from_outputs(Composition("tanh", "mse"), np.zeros(3), np.ones(2))


def test_softmax_is_taken_by_its_margin_wherever_a_composition_is() -> None:
    """Errors of the true class are 1 - p_t; those of three classes, from logits, against the predicted ones."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3)) * 2 + np.array([3.0, 0.0, 0.0])
    true = np.zeros(4000, dtype=np.int64)
    errors = -SoftmaxCrossEntropy().output_error(logits, true)[:, 0]
    prediction = predict_from_margins(SoftmaxCrossEntropy(), SoftmaxCrossEntropy().margins(logits, true))
    drawn = prediction.distribution.rvs(40_000, np.random.default_rng(1))  # logarithms
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        # The kernel, a third of the margins' deviation of 3, widens their density by a twentieth.
        assert np.quantile(drawn, share) == pytest.approx(np.log(np.quantile(errors, share)), abs=0.25)
    assert caustics_of(SoftmaxCrossEntropy()) == ()
    assert predict_from_density(SoftmaxCrossEntropy(), "uniform(0,20)").exponent == pytest.approx(1.0, abs=0.02)
