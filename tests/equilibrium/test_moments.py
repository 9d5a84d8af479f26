"""Drift, fluctuation and size against a two-pass reference, for fluctuations of any size."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.equilibrium import Moments, moments
from critlearn.network import NeuralSystem, feed_forward
from reference import mpmath_oracle as oracle
from reference.networks import Pairs, classes, logistic_cross_entropy, loop_of_autograd


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_moments_are_those_of_two_passes_of_numpy(batch_size: int) -> None:
    model, data = feed_forward(4, [6, 3], "softsign", seed=4), classes((200, 4))
    state = moments(NeuralSystem(model, Composition("sigmoid", "bce"), data), batch_size=batch_size)
    plain = nn.Sequential(model.hidden1, nn.Softsign(), model.hidden2, nn.Softsign(), model.output)
    unit = math.exp(state.log_unit)
    for name, gradient in zip(
        state.drift, loop_of_autograd(plain, logistic_cross_entropy, data.x, data.t).values(), strict=True
    ):
        changes = -gradient.numpy()
        drift, fluctuation = changes.mean(axis=0), changes.std(axis=0)
        np.testing.assert_allclose(unit * state.fluctuation[name].numpy(), fluctuation, rtol=1e-11)
        np.testing.assert_allclose(unit * state.size[name].numpy(), np.abs(changes).mean(axis=0), rtol=1e-11)
        assert np.array_equal(state.movers[name], (changes != 0).sum(axis=0))
        # A mean may cancel: its error is measured in units of the fluctuation.
        assert (np.abs(unit * state.drift[name].numpy() - drift) <= 1e-12 * fluctuation).all()


def exact_moments(margins: list[float], factors: list[float]) -> tuple[mp.mpf, mp.mpf]:
    """Mean and standard deviation of ``-dl/dy * factor`` for tanh and squared error at high precision."""
    with mp.workdps(60):
        changes = [
            -oracle.output_error("tanh", "mse", margin, 1) * factor
            for margin, factor in zip(margins, factors, strict=True)
        ]
        mean = sum(changes) / len(changes)
        return mean, mp.sqrt(sum((change - mean) ** 2 for change in changes) / len(changes))


@pytest.mark.parametrize("shift", [0.0, 115.0, 400.0])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_ratios_are_right_for_tiny_fluctuations(shift: float, batch_size: int) -> None:
    # Shift 115: fluctuations of 1e-200, whose squares are no floats; shift 400: 1e-694, itself none.
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(shift)
    x = torch.tensor([0.5, 0.1, 1.2, 0.3, -0.2], dtype=torch.float64)
    data = Pairs(x[:, None], torch.ones(5, dtype=torch.float64))
    state = moments(NeuralSystem(model, Composition("tanh", "mse"), data), batch_size=batch_size)
    margins = [float(value) + shift for value in x]
    for name, factors in (("bias", [1.0] * 5), ("weight", x.tolist())):
        drift, fluctuation = exact_moments(margins, factors)
        with mp.workdps(30):
            unit = mp.exp(mp.mpf(state.log_unit))
            assert float(unit * float(state.drift[name]) / drift) == pytest.approx(1, rel=1e-6)
            assert float(unit * float(state.fluctuation[name]) / fluctuation) == pytest.approx(1, rel=1e-6)
        assert float(state.drift[name] / state.fluctuation[name]) == pytest.approx(float(drift / fluctuation), rel=1e-9)
    assert state.frozen_count == 0


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_variable_far_smaller_than_the_output_error_has_moments_too(batch_size: int) -> None:
    # A hidden tanh at 230: its slope is 4 exp(-460) = 4e-200, whose square is no float.
    model = feed_forward(1, [1], "tanh", seed=0)
    with torch.no_grad():
        for value, number in zip(model.parameters(), (1.0, 230.0, 0.5, 0.0), strict=True):
            value.fill_(number)
    x = [-1.0, 0.0, 0.5]
    data = Pairs(torch.tensor(x, dtype=torch.float64)[:, None], torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
    state = moments(NeuralSystem(model, Composition("identity", "mse"), data), batch_size=batch_size)
    with mp.workdps(60):
        # y = 0.5 tanh(..) = 0.5, so dl/dy = 2 (0.5 - t), and d/db = dl/dy * 0.5 / cosh^2
        changes = [
            -2 * (mp.mpf("0.5") - t) * mp.mpf("0.5") / mp.cosh(value + 230) ** 2
            for value, t in zip(x, (1, -1, 1), strict=True)
        ]
        mean = sum(changes) / 3
        fluctuation = mp.sqrt(sum((change - mean) ** 2 for change in changes) / 3)
    unit = math.exp(state.log_unit)
    assert unit * float(state.drift["hidden1.bias"]) == pytest.approx(float(mean), rel=1e-9)
    assert unit * float(state.fluctuation["hidden1.bias"]) == pytest.approx(float(fluctuation), rel=1e-9)


def test_frozen_variables_are_found_and_left_out() -> None:
    # The second hidden unit is dead: relu of negative numbers only.
    model = feed_forward(2, [2], "relu", seed=0)
    with torch.no_grad():
        model.hidden1.weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, -1.0]]))
        model.hidden1.bias.copy_(torch.tensor([1.0, -1.0]))
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = Pairs(x, torch.ones(50, dtype=torch.float64))
    state = moments(NeuralSystem(model, Composition("sigmoid", "bce"), data), batch_size=16)
    # Two weights and a bias into the dead unit, and the weight out of it.
    assert state.frozen_count == 4
    assert state.frozen["hidden1.weight"].tolist() == [[False, False], [True, True]]
    assert state.frozen["output.weight"].tolist() == [[False, True]]
    assert state.movers["hidden1.weight"].tolist() == [[50, 50], [0, 0]]
    assert state.samples == 50


def test_where_no_sample_has_an_error_everything_is_frozen() -> None:
    model = nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    state = moments(NeuralSystem(model, Composition("identity", "mse"), Pairs(x[:, None], x)), batch_size=1)
    assert state.frozen_count == 2
    assert state.fraction_at_equilibrium(0.1) == 0.0


def test_the_fraction_counts_variables_within_the_tolerance() -> None:
    drift = torch.tensor([0.05, -0.1, 0.11, -3.0, 0.0], dtype=torch.float64)
    frozen = torch.tensor([False, False, False, False, True])
    fluctuation = torch.where(frozen, 0.0, 1.0).double()
    movers = torch.where(frozen, 0.0, 20.0).double()
    state = Moments({"q": drift}, {"q": fluctuation}, {"q": drift.abs()}, {"q": movers}, 0.0, 20)
    assert state.fraction_at_equilibrium(0.1) == 0.5
    assert state.fraction_at_equilibrium(0.01) == 0.0
    assert state.fraction_at_equilibrium(5.0) == 1.0
