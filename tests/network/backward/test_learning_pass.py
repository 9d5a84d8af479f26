"""The learning pass against a loop of ordinary backward passes, and against mpmath where these give zero."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import nn

from critlearn.compositions import ACTIVATIONS, Composition
from critlearn.network import ActivationModule, CompositionLoss, NeuralSystem, feed_forward
from critlearn.network.backward.learning_pass import learning_pass
from reference import mpmath_oracle as oracle
from reference.networks import Pairs, classes, loop_of_autograd, seeded, tanh_squared


def test_scaled_gradients_are_those_of_a_loop_of_autograd() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3)))
    data = classes((6, 5), outputs=3)
    scaled = learning_pass(NeuralSystem(model, Composition("tanh", "mse"), data), data.x, data.t)
    for name, expected in loop_of_autograd(model, tanh_squared, data.x, data.t).items():
        factor = scaled.log_scale.exp().reshape(-1, *[1] * (expected.dim() - 1))
        torch.testing.assert_close(factor * scaled.gradients[name], expected, rtol=1e-12, atol=0)


def test_the_largest_output_error_of_each_sample_has_size_one() -> None:
    model = nn.Linear(2, 3, dtype=torch.float64)
    data = classes((5, 2), outputs=3)
    scaled = learning_pass(NeuralSystem(model, Composition("softsign", "mse"), data), data.x, data.t)
    # The gradient with respect to a bias of the last layer is the output error itself.
    torch.testing.assert_close(scaled.gradients["bias"].abs().amax(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", "bce"), ("tanh", "mse"), ("erf", "mse")])
def test_gradients_far_below_the_smallest_float_are_known_by_their_logarithm(activation: str, loss: str) -> None:
    # y = 400 x + 5: at x = 1.5 tanh's squared error has a gradient of exp(-2420), at which autograd gives 0.
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(400.0)
        model.bias.fill_(5.0)
    x = torch.tensor([[0.25], [1.5]], dtype=torch.float64)
    data = Pairs(x, torch.ones(2, dtype=torch.float64))
    scaled = learning_pass(NeuralSystem(model, Composition(activation, loss), data), data.x, data.t)
    for i, value in enumerate((105.0, 605.0)):
        true = oracle.output_error(activation, loss, value, 1)
        for name, factor in (("bias", 1.0), ("weight", float(x[i, 0]))):
            gradient = float(scaled.gradients[name][i].reshape(()))
            assert math.copysign(1, gradient) == mp.sign(true)
            log_size = math.log(abs(gradient)) + float(scaled.log_scale[i])
            assert abs(log_size - float(mp.log(abs(true) * factor))) < 1e-6
    assert float(loop_of_autograd(model, tanh_squared, x, data.t)["bias"].abs().max()) == 0


def test_a_saturated_network_keeps_its_gradients_where_autograd_gives_zeros() -> None:
    # One hidden tanh at pre-activation 30, where 1 - tanh^2 is 0 in float64 from 19.1 on.
    model = feed_forward(1, [1], "tanh", seed=0)
    with torch.no_grad():
        for value, number in zip(model.parameters(), (30.0, 0.0, 2.0, 0.5), strict=True):
            value.fill_(number)
    data = Pairs(torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    scaled = learning_pass(NeuralSystem(model, Composition("sigmoid", "bce"), data), data.x, data.t)
    with mp.workdps(60):
        hidden = mp.tanh(30)
        error = -1 / (1 + mp.exp(2 * hidden + mp.mpf("0.5")))
        expected = {
            "output.bias": error,
            "output.weight": error * hidden,
            "hidden1.bias": error * 2 / mp.cosh(30) ** 2,
            "hidden1.weight": error * 2 / mp.cosh(30) ** 2,
        }
        for name, true in expected.items():
            got = float(scaled.gradients[name].reshape(())) * math.exp(float(scaled.log_scale[0]))
            assert got == pytest.approx(float(true), rel=1e-12)


def test_a_vanishing_error_has_no_gradient_and_disturbs_no_other() -> None:
    # Linear output: the first sample is hit exactly.
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    data = Pairs(torch.tensor([[2.0], [3.0]]).double(), torch.tensor([2.0, 1.0]).double())
    scaled = learning_pass(NeuralSystem(model, Composition("identity", "mse"), data), data.x, data.t)
    assert scaled.log_scale[0] == -math.inf
    assert torch.equal(scaled.gradients["weight"][0], torch.zeros(1, 1, dtype=torch.float64))
    # d/dw (w x - t)^2 = 2 (3 - 1) 3 = 12
    assert float(scaled.gradients["weight"][1]) * math.exp(scaled.log_scale[1]) == pytest.approx(12.0, rel=1e-14)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "identity"])
def test_slope_of_an_activation_module_matches_mpmath(name: str) -> None:
    y = torch.tensor([-300.0, -20.0, -1.3, 0.0, 0.7, 12.0, 25.0, 340.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ActivationModule(name)(y).sum(), y)
    with mp.workdps(60):
        true = [float(oracle.SLOPE[name](mp.mpf(value))) for value in y.tolist()]
    # Denormal numbers have no relative precision to speak of; below them erf's slope is 0.
    np.testing.assert_allclose(slope.numpy(), true, rtol=1e-12, atol=1e-307)


@pytest.mark.parametrize(
    ("activation", "loss"), [("sigmoid", "bce"), ("tanh", "mse"), ("softsign", "bce"), ("arctan", "mse")]
)
def test_gradient_of_a_composition_loss_matches_mpmath(activation: str, loss: str) -> None:
    margins = [0.3, 8.0, 40.0, 160.0]
    y = torch.tensor(margins, dtype=torch.float64, requires_grad=True)
    value = CompositionLoss(Composition(activation, loss))(y, torch.ones_like(y))
    (gradient,) = torch.autograd.grad(value, y)
    true = [float(oracle.output_error(activation, loss, margin, 1) / len(margins)) for margin in margins]
    np.testing.assert_allclose(gradient.numpy(), true, rtol=1e-6, atol=0)


def test_the_loss_of_a_batch_is_its_mean() -> None:
    y, t = torch.tensor([[[0.2], [-1.0]], [[1.0], [-1.0]]], dtype=torch.float64)
    expected = sum((math.tanh(a) - b) ** 2 for a, b in zip((0.2, -1.0), (1.0, -1.0), strict=True)) / 2
    assert float(CompositionLoss(Composition("tanh", "mse"))(y, t)) == pytest.approx(expected, rel=1e-12)
