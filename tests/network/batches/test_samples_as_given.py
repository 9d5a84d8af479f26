"""Boundary states are what a data set gives when it is asked, whatever it holds."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.equilibrium import equilibrate
from critlearn.errors import InvalidInputError

_GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(6, 4, generator=_GENERATOR, dtype=torch.float64)
T = torch.randn(6, 3, generator=_GENERATOR, dtype=torch.float64)
SCALED = (X - 0.5) / 0.1


class Scaling(Dataset[tuple[Tensor, Tensor]]):
    """One that holds raw inputs and gives scaled ones."""

    def __init__(self) -> None:
        self.x, self.t = X, T

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return (self.x[index] - 0.5) / 0.1, self.t[index]


class ScalingTensors(TensorDataset):
    """A data set of tensors that changes them too."""

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        x, t = super().__getitem__(index)
        return (x - 0.5) / 0.1, t


class Batches(TensorDataset):
    """One that changes whole batches, as a loader prefers."""

    def __getitems__(self, numbers: list[int]) -> list[tuple[Tensor, ...]]:
        return [((self.tensors[0][at] - 0.5) / 0.1, self.tensors[1][at]) for at in numbers]


def _network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(4, 3).double()


def _misleading() -> TensorDataset:
    """Tensors of its own, and others under the names x and t."""
    data = TensorDataset(SCALED, T)
    data.x, data.t = X, T + 1  # type: ignore[attr-defined]
    return data


@pytest.mark.parametrize("data", [Scaling(), ScalingTensors(X, T), Batches(X, T), _misleading()])
def test_samples_are_those_that_a_data_set_gives(data: Dataset[Any]) -> None:
    system = NeuralSystem(_network(), nn.MSELoss(), data)
    x, t = (torch.cat(parts) for parts in zip(*system.boundary(4), strict=True))
    assert torch.equal(x, SCALED)
    assert torch.equal(t, T)
    assert torch.equal(system.spread(6), SCALED)
    # By hand: d/dy of the mean over 3 outputs of (y - t)^2.
    error = 2 * (SCALED @ system.model.weight.T + system.model.bias - T) / 3  # type: ignore[union-attr, operator]
    sketch = measure(system, exact=True)["bias"]
    counted, _ = torch.histogram(error.detach().abs().log().flatten(), torch.as_tensor(sketch.edges))
    assert counted.tolist() == sketch.counts.tolist()


def test_training_sees_the_samples_that_a_data_set_gives() -> None:
    trained = []
    for data in (Scaling(), TensorDataset(SCALED, T)):
        system = NeuralSystem(_network(), nn.MSELoss(), data)
        run = equilibrate(system, epochs=3, batch_size=6, lr=0.01, stop_at_equilibrium=False)
        trained.append(run.system.model.state_dict())
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-12, atol=0)


class Given(Dataset[Any]):
    """A data set of whatever it is given."""

    def __init__(self, samples: list[Any]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Any:
        return self._samples[index]


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(x, t, 0) for x, t in zip(X, T, strict=True)], r"Linear.forward\(\) takes 2 .* give batch= a function"),
        (list(X), r"must give pairs \(x, t\), or dictionaries with labels; got Tensor: give batch= a function"),
        ([{"x": x, "t": t} for x, t in zip(X, T, strict=True)], "targets under one key; .* among x, t: give batch="),
        ([(x[: 2 + at], t) for at, (x, t) in enumerate(zip(X[:3], T, strict=False))], "do not make one tensor"),
        ([(x, None) for x in X], "targets of the data set must be tensors or numbers; got list"),
        ([({"a": x, "b": x}, t) for x, t in zip(X, T, strict=True)], '"a", which the forward of Linear does not take'),
    ],
)
def test_samples_that_are_no_pairs_of_tensors_are_refused(samples: list[Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(_network(), nn.MSELoss(), Given(samples))


def test_sparse_tensors_are_refused_in_a_line() -> None:
    with pytest.raises(InvalidInputError, match=r"^the data set must give dense tensors; got torch.sparse_coo: use"):
        NeuralSystem(_network(), nn.MSELoss(), TensorDataset(X.to_sparse(), T))
