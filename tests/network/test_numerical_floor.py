"""The resolution floor of a user's own module lies where its gradients turn into rounding error."""

import copy
import math

import mpmath as mp
import numpy as np
import torch
from torch import nn

from critlearn.compositions import Composition
from critlearn.network import NeuralSystem, floor_between, learning_pass
from reference.networks import Pairs, seeded


def log_gradients(system: NeuralSystem, dtype: torch.dtype) -> np.ndarray:
    """``ln|gradient|`` of all samples and variables by a plain pass in one precision."""
    model, data = copy.deepcopy(system.model).to(dtype), system.dataset
    data = Pairs(data.x.to(dtype), data.t.to(dtype))
    scaled = learning_pass(NeuralSystem(model, system.loss, data), data.x, data.t)
    parts = [(part.double().abs().log().flatten(1) + scaled.log_scale[:, None]) for part in scaled.gradients.values()]
    return torch.cat([part.flatten() for part in parts]).numpy()


def floor_of(system: NeuralSystem) -> float | None:
    return floor_between(log_gradients(system, torch.float32), log_gradients(system, torch.float64))


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


def test_floor_is_the_upper_end_of_the_wrong_sizes() -> None:
    # By construction: all below -30 are off by 0.1, none above, in an order that tells nothing.
    true = np.random.default_rng(1).permutation(np.linspace(-60, 0, 4000))
    coarse = np.where(true < -30, true + 0.1, true + 0.001)
    floor = floor_between(coarse, true)
    assert floor is not None
    # A wrong value counts with the larger of its two sizes.
    assert -30 <= floor <= -29.3
    # What is large and wrong in the finer pass, or in the coarser one alone, is noise of that size.
    noise = np.full(40, -20.0)
    for pair in ((noise, noise - 12), (noise - 12, noise)):
        found = floor_between(np.concatenate([pair[0], true]), np.concatenate([pair[1], true]))
        assert found is not None
        assert found >= -20
    assert floor_between(true + 0.009, true) is None
    assert floor_between(np.full(4000, -np.inf), np.full(4000, -np.inf)) is None


def test_harmless_modules_have_no_floor() -> None:
    # Sine cancels nowhere near zero here: single and double precision agree.
    class Sine(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    model = seeded(lambda: nn.Sequential(nn.Linear(2, 16), Sine(), nn.Linear(16, 1)))
    x = torch.rand(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = Pairs(x, torch.ones(8, dtype=torch.float64))
    assert floor_of(NeuralSystem(model, Composition("tanh", "mse"), data)) is None


def test_floor_separates_right_from_wrong_gradients() -> None:
    system = saturated(torch.float32)
    floor = floor_of(system)
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
