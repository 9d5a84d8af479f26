"""Hooks that a user has registered take part in outputs and gradients, on whatever module they are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, tail_exact
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import is_exact

_GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(7, 4, generator=_GENERATOR, dtype=torch.float64)
T = torch.where(torch.randn(7, 2, generator=_GENERATOR, dtype=torch.float64) > 0, 1.0, -1.0).double()


class Own(nn.Module):
    """A network of a user's own, which is a chain but for its hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.squash, self.last = nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.squash(self.first(x)))


def _doubled(module: nn.Module, given: Any, produced: Tensor) -> Tensor:
    return 2 * produced


def _doubled_before(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (2 * given[0],)


def _tripled_back(
    module: nn.Module, received: tuple[Tensor | None, ...], given: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    return tuple(None if part is None else 3 * part for part in received)


def _tripled_before_back(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(3 * part for part in given)


HOOKS = {
    "register_forward_hook": _doubled,
    "register_forward_pre_hook": _doubled_before,
    "register_full_backward_hook": _tripled_back,
    "register_full_backward_pre_hook": _tripled_before_back,
}
NETWORKS = {
    "sequence": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)),
    "gelu": lambda: nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)),
    "chain": lambda: nn.Sequential(Own()),
    "saturating": lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2), nn.Tanh()),
}


def _by_autograd(model: nn.Module, loss: nn.Module) -> dict[str, Tensor]:
    rows: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for sample in range(len(X)):
        model.zero_grad()
        loss(model(X[sample : sample + 1]), T[sample : sample + 1]).backward()
        for name, value in model.named_parameters():
            rows[name].append(value.grad.flatten().clone())  # type: ignore[union-attr]
    return {name: torch.stack(row) for name, row in rows.items()}


@pytest.mark.filterwarnings("ignore:.*per-sample gradients by automatic", "ignore:Full backward hook is firing")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("place", [0, 1, 2, -1, None])
def test_gradients_are_those_of_torch(network: str, kind: str, place: int | None) -> None:
    torch.manual_seed(0)
    model = NETWORKS[network]().double()
    parts = [module for module in model.modules() if not any(module.children())]
    getattr(model if place is None else parts[place], kind)(HOOKS[kind])
    loss = nn.MSELoss()
    torch.testing.assert_close(tail_exact(model)(X), model(X), rtol=1e-13, atol=1e-15)
    expected = _by_autograd(model, loss)
    system = NeuralSystem(model, loss, TensorDataset(X, T))
    for item in PerSampleGradients(system).batch(X, T):
        found = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        torch.testing.assert_close(found, expected[item.name], rtol=1e-10, atol=1e-13)


def test_a_module_with_hooks_counts_as_inexact() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    assert is_exact(model)
    model[0].register_forward_hook(_doubled)
    assert not is_exact(model)


def test_no_loss_takes_an_activation_with_hooks_from_a_network() -> None:
    model = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()).double()
    model[1].register_forward_hook(_doubled)
    nn.init.constant_(model[0].bias, 9.0)
    with pytest.raises(InvalidInputError, match="without hooks"):
        NeuralSystem(model, nn.BCELoss(), TensorDataset(X, (T + 1) / 2))
