"""Predictions under another composition: the network held against it anew must give the same."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.utils.data import TensorDataset

from critlearn.comparison import predict
from critlearn.comparison.predicted_exponent import quantile_window
from critlearn.comparison.system_prediction import SystemPrediction
from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, feed_forward

SAME = 4e-3
"""Difference of distribution functions that is rounding: a path factor that is one number falls into the next bin."""


def _system(activation: str, loss: str) -> NeuralSystem:
    generator = torch.Generator().manual_seed(2)
    t = 2.0 * torch.randint(2, (2000,), generator=generator).double() - 1
    x = torch.randn(2000, 5, generator=generator, dtype=torch.float64) + 0.8 * t[:, None]
    model = feed_forward(5, [7, 6], "tanh", seed=0)
    with torch.no_grad():
        # Large margins, so that saturated and linear outputs differ.
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return NeuralSystem(model, Composition(activation, loss), TensorDataset(x, t))


def _apart(one: SystemPrediction, other: SystemPrediction) -> float:
    """Largest difference of two distribution functions of any quantity."""
    assert list(one) == list(other)
    farthest = 0.0
    for name in one:
        laws = [prediction[name].distribution for prediction in (one, other)]
        at = np.linspace(min(law.edges[0] for law in laws), max(law.edges[-1] for law in laws), 500)
        farthest = max(farthest, float(np.abs(laws[0].cumulative(at) - laws[1].cumulative(at)).max()))
    return farthest


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("other", [("softsign", "mse"), ("sigmoid", "mse"), ("exp(y)", "(f-t)**2")])
def test_the_same_network_held_against_the_other_loss(level: int, other: tuple[str, str]) -> None:
    # The second pass, which the prediction does without: path factors of each composition are counted anew.
    told = predict(_system("tanh", "mse"), level=level, lr=0.3).with_composition(*other)
    found = predict(_system(*other), level=level, lr=0.3)
    assert _apart(told, found) < SAME
    assert "tanh+mse" in told["output.bias"].source
    if level:
        window = quantile_window(found["hidden1.bias"].distribution)
        assert window is not None
        assert told["hidden1.bias"].exponent_on(window) == pytest.approx(
            found["hidden1.bias"].exponent_on(window), abs=2e-3
        )


def test_back_from_outputs_with_a_density_for_each_class() -> None:
    told = predict(_system("exp(y)", "(f-t)**2"), level=1).with_composition("tanh", "mse")
    assert _apart(told, predict(_system("tanh", "mse"), level=1)) < SAME


def test_it_says_what_was_kept_and_refuses_a_ladder() -> None:
    prediction = predict(_system("sigmoid", "bce"), level=2)
    other = prediction.with_composition("softsign", "mse")
    assert other.summary().splitlines()[0] == (
        "softsign+mse in place of sigmoid+bce, with margins and path factors as they are: another loss moves them when "
        "the network is trained with it"
    )
    assert other.to_dict()["trained_with"] == "sigmoid+bce"
    with pytest.raises(InvalidInputError, match=r"nothing was measured under softsign\+mse"):
        _ = other.ladder
    # Of a third one, what the network was trained with stays.
    third = other.with_composition("tanh", "mse")
    assert third.to_dict()["trained_with"] == "sigmoid+bce"
    assert prediction.to_dict()["trained_with"] is None


def test_the_scale_is_where_the_mean_loss_is_lowest() -> None:
    prediction = predict(_system("tanh", "mse"), level=1)
    scaled = prediction.with_composition("sigmoid", "bce").at_equilibrium_scale()
    margins = prediction.factors.values.values
    lowest = scipy.optimize.minimize_scalar(
        lambda log_scale: np.log1p(np.exp(-np.exp(log_scale) * margins)).mean(), bounds=(-5, 3), options={"xatol": 1e-9}
    )
    assert scaled.factors.scale == pytest.approx(np.exp(lowest.x), rel=1e-4)
    assert f"times {scaled.factors.scale:.3g}" in scaled.summary().splitlines()[0]
    # tanh(2 y) is the sigmoid of 4 y: outputs settle at a quarter, and nothing else changes.
    quarter = prediction.with_composition("tanh(2*y)", "bce").at_equilibrium_scale()
    assert quarter.factors.scale == pytest.approx(scaled.factors.scale / 4, rel=1e-6)
    assert _apart(quarter, scaled) < 1e-6
    with pytest.raises(InvalidInputError, match="take with_composition first"):
        prediction.at_equilibrium_scale()


def test_separated_samples_have_no_scale() -> None:
    system = _system("tanh", "mse")
    x, t = next(iter(system.boundary(2000)))
    with torch.no_grad():
        right = (system.model(x)[:, 0] * t.flatten()) > 0
    separated = NeuralSystem(system.model, system.loss, TensorDataset(x[right], t.flatten()[right]))
    with pytest.raises(InvalidInputError, match="no lowest mean"):
        predict(separated).with_composition("sigmoid", "bce").at_equilibrium_scale()


def test_the_margin_of_the_true_class_of_softmax() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3000, 5, generator=generator, dtype=torch.float64)
    t = torch.randint(3, (3000,), generator=generator)
    system = NeuralSystem(feed_forward(5, [6], "tanh", seed=0, outputs=3), SoftmaxCrossEntropy(), TensorDataset(x, t))
    prediction = predict(system, level=1)
    assert _apart(prediction.with_composition("softmax", "cross-entropy"), prediction) < 1e-12
    # 1 - p_t is the logistic function of minus the margin.
    assert _apart(prediction.with_composition("sigmoid", "bce"), prediction) < 1e-12
    # A loss of the margin whose error is exp(-m): another variable for the same kernel estimate.
    law = predict(system, level=2).with_composition("1-exp(-y)", "1-f*t")["output.bias"].distribution
    assert law.caustics == ()
    assert prediction.factors.values.values.size == 3000


def test_refusals() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    model = feed_forward(3, [4], "tanh", seed=0)
    one = predict(_system("tanh", "mse"))
    with pytest.raises(InvalidInputError, match="needs an output for each class"):
        one.with_composition("softmax", "cross-entropy")
    with pytest.raises(InvalidInputError, match="needs an activation that saturates"):
        one.with_composition("identity", "bce")
    real = NeuralSystem(model, Composition("identity", "mse"), TensorDataset(x, x.sum(dim=1)))
    with pytest.raises(InvalidInputError, match="depend on no margin"):
        predict(real, level=2).with_composition("tanh", "mse")
    two = feed_forward(3, [4], "tanh", seed=0, outputs=2)
    several = NeuralSystem(two, Composition("identity", "mse"), TensorDataset(x, x[:, :2]))
    with pytest.raises(InvalidInputError, match="depend on no margin"):
        predict(several, level=2).with_composition("tanh", "mse")
    t = torch.where(x[:, 0] > 0, 1.0, -1.0).double()
    hinge = NeuralSystem(model, Composition("identity", "max(1-f*t,0)**2"), TensorDataset(x * 10, t))
    with pytest.raises(InvalidInputError, match="have no error at all"):
        predict(hinge, level=2).with_composition("tanh", "mse")
