"""The resolution floor of a user's own module lies where its gradients turn into rounding error."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.network import NeuralSystem, feed_forward, resolution_floor
from reference.networks import Pairs, seeded


def saturated(dtype: torch.dtype) -> NeuralSystem:
    """Plain tanh units at pre-activations from 0 to 24: slopes from 1 to 1e-20, computed as 1 - tanh^2."""
    model = seeded(lambda: nn.Sequential(nn.Linear(1, 400), nn.Tanh(), nn.Linear(400, 1)))
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(0.1, 24, 400)[:, None])
        model[0].bias.zero_()
        model[2].weight.fill_(0.01)
        model[2].bias.zero_()
    x = torch.ones(4, 1, dtype=torch.float64)
    return NeuralSystem(model.to(dtype), Composition("identity", "mse"), Pairs(x, torch.zeros(4, dtype=torch.float64)))


def test_exact_networks_have_no_floor() -> None:
    data = Pairs(torch.ones(4, 1, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    assert (
        resolution_floor(NeuralSystem(feed_forward(1, [8], "tanh", seed=0), Composition("tanh", "mse"), data)) is None
    )


def test_harmless_modules_have_no_floor() -> None:
    # Sine cancels nowhere near zero here: single and double precision agree.
    class Sine(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    model = seeded(lambda: nn.Sequential(nn.Linear(2, 16), Sine(), nn.Linear(16, 1)))
    x = torch.rand(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = Pairs(x, torch.ones(8, dtype=torch.float64))
    assert resolution_floor(NeuralSystem(model, Composition("tanh", "mse"), data)) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_floor_separates_right_from_wrong_gradients(dtype: torch.dtype) -> None:
    system = saturated(dtype)
    floor = resolution_floor(system)
    assert floor is not None
    # True gradient of the first layer's biases: 2 y * 0.01 / cosh(w)^2.
    x, _ = next(system.boundary(1))
    y = system.model(x)
    (got,) = torch.autograd.grad((y**2).sum(), [system.model[0].bias])
    gain = float(system.model[2].weight[0, 0].detach())
    with mp.workdps(40):
        units = [mp.mpf(float(value)) for value in system.model[0].weight[:, 0].detach()]
        output = sum(mp.tanh(w) * mp.mpf(gain) for w in units)
        true = np.array([float(2 * output * mp.mpf(gain) / mp.cosh(w) ** 2) for w in units])
    wrong = np.abs(got.double().numpy() / true - 1) > 0.01
    log_true = np.log(true)
    # An estimate, not a bound: right within a decade and a half on the side of the wrong ones ...
    assert wrong[log_true > floor].mean() < 0.05
    # ... and not so high that it throws most of the good ones away.
    first_wrong = log_true[wrong].max()
    assert abs(floor - first_wrong) < 1.5 * math.log(10)
