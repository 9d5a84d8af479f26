"""Per-sample gradients against a loop of automatic differentiation, in logarithms, whatever gives them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
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


class Scheduled(nn.Module):
    """A chain, part of which depends on numbers that are no variables and change during training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.temperature, self.straight = 1.0, False

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x) / self.temperature
        return self.last(y if self.straight else torch.tanh(y))


class Squeezed(nn.Module):
    """Leaves out the first dimension where there is one sample."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.last(y * torch.tanh(y)).squeeze()


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


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_network_may_leave_out_the_dimension_of_one_sample(outputs: int) -> None:
    model = seeded(lambda: Squeezed(outputs)).double()
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64)
    t = torch.randn(SAMPLES, outputs, generator=generator, dtype=torch.float64).squeeze()
    gradients = PerSampleGradients(NeuralSystem(model, nn.MSELoss(reduction="sum"), TensorDataset(x, t)))
    assert not gradients.differentiated
    found = {item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None] for item in gradients.batch(x, t)}
    for sample in range(SAMPLES):
        loss = ((model(x[sample]) - t[sample]) ** 2).sum()
        for name, value in zip(
            found, torch.autograd.grad(loss, [model.get_parameter(name) for name in found]), strict=True
        ):
            torch.testing.assert_close(found[name][sample], value.flatten(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("change", [{"temperature": 3.0}, {"straight": True}, {}])
def test_gradients_follow_the_network_when_it_changes(change: dict[str, object]) -> None:
    system = _system(seeded(Scheduled))
    before = PerSampleGradients(system)
    with torch.no_grad():
        system.model.first.weight.mul_(1.5)
    for name, value in change.items():
        setattr(system.model, name, value)
    x, t = next(system.boundary(SAMPLES))
    expected = plain_gradients(system.model, nn.MSELoss(), x, t)
    for gradients in (before.renewed(), before.renewed().with_displaced_numbers(torch.float64)):
        found = _logs(gradients)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], np.log(np.abs(values)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("places", [1, 3, 40])
@pytest.mark.parametrize("entries", [5, 60, 600])
@pytest.mark.parametrize("blocks", [1, 2])
def test_chosen_entries_of_sums_over_places(places: int, entries: int, blocks: int) -> None:
    """Of few entries each is summed on its own, of many all are formed."""
    generator = torch.Generator().manual_seed(5)
    errors, inputs = (
        torch.randn(7, blocks, places, width, generator=generator, dtype=torch.float64) for width in (30, 25)
    )
    index = torch.randperm(blocks * 30 * 25, generator=generator)[:entries]
    expected = np.einsum("sbpo,sbpi->sboi", errors.numpy(), inputs.numpy()).reshape(7, -1)[:, index.numpy()]
    found = OuterProducts(errors, inputs).entries(index).values.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
