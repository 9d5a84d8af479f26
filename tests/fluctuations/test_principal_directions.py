"""Principal directions from inner products of samples, against the singular vectors of the whole matrix of changes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.fluctuations.grad_sample import layer_gradients
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.principal_directions import principal_directions
from critlearn.network import NeuralSystem, feed_forward
from reference.networks import Pairs, Residual
from reference.plain_gradients import plain_gradients

SAMPLES, NUMBER = 24, 7


class Outside(nn.Module):
    """A network that uses the weight of its layer outside of it, too, so that no rule covers it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x))) + self.first.weight.sum()


def _dense() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(SAMPLES, 6, dtype=torch.float64)


def _convolution() -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    return model, torch.randn(SAMPLES, 2, 3, 3, dtype=torch.float64)


def _table() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)), torch.randint(9, (SAMPLES, 2))


def _without_rule() -> tuple[nn.Module, Tensor]:
    return Outside(), torch.randn(SAMPLES, 6, dtype=torch.float64)


def _system(case) -> tuple[NeuralSystem, dict[str, np.ndarray]]:  # type: ignore[no-untyped-def]
    """System of a case, and the changes of its variables, sample by sample."""
    torch.manual_seed(1)
    model, x = case()
    model, t = model.double(), torch.randint(3, (SAMPLES,))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    plain = plain_gradients(model, nn.CrossEntropyLoss(), x, t)
    return system, {name: -values for name, values in plain.items()}


def _assert_directions(system: NeuralSystem, changes: dict[str, np.ndarray], number: int = NUMBER) -> None:
    """Directions, shares and components are those of the singular value decomposition in NumPy."""
    generator = np.random.default_rng(2)
    vectors = [{name: generator.normal(size=rows.shape[1]) for name, rows in changes.items()} for _ in range(2)]
    found = principal_directions(
        PerSampleGradients(system, quiet=True),
        [{name: torch.from_numpy(part) for name, part in vector.items()} for vector in vectors],
        number=number,
    )
    joined = np.concatenate([changes[name] for name in changes], axis=1)
    _, singular, right = np.linalg.svd(joined - joined.mean(axis=0), full_matrices=False)
    unit = math.exp(found.log_unit)
    np.testing.assert_allclose(found.shares, singular[:number] ** 2 / (singular**2).sum(), rtol=1e-9)
    directions = found.combination.numpy().T @ joined / unit
    signs = np.sign((directions * right[:number]).sum(axis=1))
    np.testing.assert_allclose(directions * signs[:, None], right[:number], atol=1e-9)
    np.testing.assert_allclose(
        found.projections.numpy() * signs * unit, joined @ right[:number].T, atol=1e-9 * singular[0]
    )
    flat = np.stack([np.concatenate([vector[name] for name in changes]) for vector in vectors])
    np.testing.assert_allclose(found.components().numpy() * signs, flat @ right[:number].T, atol=1e-8)


@pytest.mark.parametrize("case", [_dense, _convolution, _table, _without_rule])
def test_directions_are_singular_vectors_of_the_changes(case) -> None:  # type: ignore[no-untyped-def]
    _assert_directions(*_system(case))


def test_gradients_that_come_in_pieces_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    system, changes = _system(_without_rule)
    gradients = PerSampleGradients(system, quiet=True)
    assert gradients.differentiated == {"first.weight"}
    # Five samples of 24 numbers at a time.
    monkeypatch.setattr(layer_gradients, "_WRITTEN_OUT", 5 * 24 * 8)
    x, t = system.dataset[:]
    starts = [item.start for item in gradients.batch(x, t) if item.name == "first.weight"]
    assert starts == [0, 5, 10, 15, 20]
    _assert_directions(system, changes)


def test_a_layer_that_is_used_twice_and_a_bare_parameter() -> None:
    torch.manual_seed(3)
    model, x = Residual().double(), torch.randn(SAMPLES, 6, dtype=torch.float64)
    t = torch.randint(2, (SAMPLES,)).double() * 2 - 1
    system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))
    plain = plain_gradients(model, nn.SoftMarginLoss(), x, t)
    _assert_directions(system, {name: -values for name, values in plain.items()})


def test_no_more_directions_than_the_samples_span() -> None:
    """Three variables span three dimensions, however many directions are asked for."""
    x = torch.randn(SAMPLES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    model = nn.Linear(2, 1).double()
    system = NeuralSystem(model, Composition("identity", "mse"), TensorDataset(x, x[:, :1].sin()))
    found = principal_directions(PerSampleGradients(system), [], number=20)
    assert found.shares.shape == (3,)
    assert float(found.shares.sum()) == pytest.approx(1, rel=1e-12)


def test_samples_are_spread_over_the_data_set() -> None:
    """Of 40 samples every 13th: the directions are those of these four alone."""
    data = Pairs(torch.randn(40, 3, dtype=torch.float64), torch.ones(40, dtype=torch.float64))
    model = feed_forward(3, [4], "tanh", seed=5)
    loss = Composition("sigmoid", "bce")
    found = principal_directions(PerSampleGradients(NeuralSystem(model, loss, data)), [], number=3, samples=4)
    few = [0, 13, 26, 39]
    alone = NeuralSystem(model, loss, Pairs(data.x[few], data.t[few]))
    expected = principal_directions(PerSampleGradients(alone), [], number=3)
    assert torch.allclose(found.shares, expected.shares, rtol=1e-12, atol=0)
    assert torch.allclose(found.combination, expected.combination, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 115.0, 400.0])
def test_changes_of_any_size_have_directions(shift: float) -> None:
    """At a shift of 400 changes are of size exp(-1600), no numbers; their shapes are those at 115 all the same."""
    model = nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.5]]))
        model.bias.fill_(shift)
    x = torch.randn(SAMPLES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    system = NeuralSystem(model, Composition("tanh", "mse"), Pairs(x, torch.ones(SAMPLES, dtype=torch.float64)))
    found = principal_directions(PerSampleGradients(system), [], number=3)
    margin = x.numpy() @ np.array([1.0, 0.5]) + shift
    # Far out 2 (1 - tanh m) (1 - tanh^2 m) is 16 exp(-4 m); near 0 it is what it is.
    log_size = np.log(2 * (1 - np.tanh(margin)) / np.cosh(margin) ** 2) if shift == 0 else np.log(16) - 4 * margin
    changes = np.exp(log_size - log_size.max())[:, None] * np.column_stack([x.numpy(), np.ones(SAMPLES)])
    singular = np.linalg.svd(changes - changes.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(found.shares, singular**2 / (singular**2).sum(), rtol=1e-7)
    scale = math.exp(found.log_unit - log_size.max())
    spread = found.projections.std(dim=0, correction=0).numpy() * scale
    np.testing.assert_allclose(spread, singular / math.sqrt(SAMPLES), rtol=1e-7)
