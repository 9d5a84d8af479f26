"""Per-sample gradients against a loop of automatic differentiation, in logarithms, whatever gives them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from reference.networks import seeded
from reference.plain_gradients import plain_gradients

SAMPLES = 6


class Outside(nn.Module):
    """A dense layer whose weight a function uses too: its rule alone would be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)) + nn.functional.linear(x, self.first.weight))


def _chain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def _system(model: nn.Module, *, single: bool = False) -> NeuralSystem:
    generator = torch.Generator().manual_seed(3)
    x, t = (torch.randn(SAMPLES, width, generator=generator, dtype=torch.float64) for width in (4, 2))
    # From saturated samples to those with hardly any error.
    x = x * torch.logspace(-3, 1, SAMPLES, dtype=torch.float64)[:, None]
    kind = torch.float32 if single else torch.float64
    return NeuralSystem(model.to(kind), nn.MSELoss(), TensorDataset(x.to(kind), t.to(kind)))


def _logs(gradients: PerSampleGradients) -> dict[str, np.ndarray]:
    x, t = next(gradients.system.boundary(SAMPLES))
    found: dict[str, list[np.ndarray]] = {}
    for item in gradients.batch(x, t):
        found.setdefault(item.name, []).append((item.grad_sample.entries().logs()[0] + item.log_scale[:, None]).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


@pytest.mark.parametrize(("make", "differentiated"), [(_chain, set()), (Outside, {"first.weight"})])
@pytest.mark.filterwarnings("ignore:.*automatic differentiation")
def test_gradients_of_each_sample(make: type[nn.Module], differentiated: set[str]) -> None:
    system = _system(seeded(make))
    gradients = PerSampleGradients(system)
    assert gradients.differentiated == differentiated
    x, t = next(system.boundary(SAMPLES))
    found = _logs(gradients)
    for name, values in plain_gradients(system.model, nn.MSELoss(), x, t).items():
        np.testing.assert_allclose(found[name], np.log(np.abs(values)), rtol=0, atol=1e-9)


def test_other_precisions_and_displaced_numbers_leave_the_first_pass_as_it_is() -> None:
    gradients = PerSampleGradients(_system(seeded(_chain)))
    exact = _logs(gradients)
    single = gradients.in_precision(torch.float32)
    assert (single.precision, gradients.precision) == (torch.float32, torch.float64)
    displaced = gradients.with_displaced_numbers(torch.float64)
    for name, logs in _logs(single).items():
        difference = np.abs(logs - exact[name]).max()
        assert 0 < difference < 1e-3
    differences = [np.abs(logs - exact[name]).max() for name, logs in _logs(displaced).items()]
    assert 0 < max(differences) < 1e-9
    assert all(np.array_equal(logs, exact[name]) for name, logs in _logs(gradients).items())
