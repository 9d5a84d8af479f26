"""Networks that keep computed tensors are copied, and their gradients are those of torch."""

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, tail_exact
from critlearn.equilibrium import equilibrate
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network.backward.learning_pass import learning_pass
from reference.plain_gradients import plain_gradients

_GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(7, 4, generator=_GENERATOR, dtype=torch.float64)
T = torch.randn(7, 2, generator=_GENERATOR, dtype=torch.float64)


class Keeping(nn.Module):
    """A network that keeps what it computed, alone and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.h = torch.tanh(self.first(x))
        self.parts = [self.h, {"sum": self.h.sum()}]
        return self.last(self.h)


def _sequence(change: Callable[[nn.Linear], object]) -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    change(model[0])
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "keeping": Keeping,
    "pruned": lambda: _sequence(lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5)),
    "pruned bias": lambda: _sequence(lambda layer: prune.random_unstructured(layer, "bias", amount=2)),
    "weight norm": lambda: _sequence(torch.nn.utils.weight_norm),
    "spectral norm": lambda: _sequence(torch.nn.utils.spectral_norm),
}


def _by_autograd(model: nn.Module) -> dict[str, Tensor]:
    return {name: torch.from_numpy(rows) for name, rows in plain_gradients(model, nn.MSELoss(), X, T).items()}


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().double().eval()


@pytest.mark.filterwarnings("ignore:.*per-sample gradients by automatic", "ignore::FutureWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_torch(name: str) -> None:
    model = _network(name)
    # The last pass of the user's own leaves its operations in what is kept.
    expected = _by_autograd(model)
    torch.testing.assert_close(tail_exact(model)(X), model(X), rtol=1e-13, atol=1e-15)
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T))
    assert set(system.parameters) == set(expected)
    for _ in range(2):
        gradients = PerSampleGradients(system)
        found = dict.fromkeys(expected, torch.zeros(0))
        for item in gradients.batch(X, T):
            found[item.name] = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
        # Mapped over samples on the network itself, which leaves its traces there.
        scaled = learning_pass(system, X, T)
        for known, gradient in scaled.gradients.items():
            plain = gradient.flatten(1) * scaled.log_scale.exp()[:, None]
            torch.testing.assert_close(plain, expected[known], rtol=1e-9, atol=1e-13)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_itself_can_be_copied_as_before(name: str) -> None:
    model = _network(name)
    with torch.no_grad():
        model(X)
    NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T))
    torch.testing.assert_close(copy.deepcopy(model)(X), model(X), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*per-sample gradients by automatic", "ignore::FutureWarning")
def test_a_pruned_network_is_trained_and_stays_pruned() -> None:
    model = _network("pruned")
    run = equilibrate(NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T)), epochs=2, stop_at_equilibrium=False)
    trained = run.system.model[0]  # type: ignore[index]
    assert not torch.equal(trained.weight_orig, model[0].weight_orig)  # type: ignore[index]
    assert int((trained.weight == 0).sum()) == 10


class Before(nn.Module):
    """A network whose weights are computed once, before any pass."""

    def __init__(self) -> None:
        super().__init__()
        self.raw, self.last = nn.Parameter(torch.ones(4, dtype=torch.float64)), nn.Linear(4, 2).double()
        self.scale = self.raw.exp()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.scale * self.raw * x)


def test_what_no_pass_computes_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="compute it in forward"):
        NeuralSystem(Before(), nn.MSELoss(), TensorDataset(X, T))


def test_what_is_kept_but_not_used_is_no_matter() -> None:
    model = _network("keeping")
    model.losses = [model(X).sum()]  # type: ignore[assignment]
    NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T))


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    model = _network("keeping")
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(InvalidInputError, match="cannot be copied"):
        tail_exact(model)
