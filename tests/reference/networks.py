"""Small networks and data sets for tests, and the gradients that a plain loop of autograd calls gives them."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset


class Pairs(TensorDataset):
    """Pairs (x, t) with the tensors as attributes."""

    def __init__(self, x: Tensor, t: Tensor) -> None:
        super().__init__(x, t)
        self.x, self.t = x, t


class Residual(nn.Module):
    """A network that is no chain: a shared layer used twice, a skip connection and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6)
        self.gain = nn.Parameter(torch.tensor([0.7]))
        self.out = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.sin(self.shared(x))
        return self.out(x + self.gain * torch.nn.functional.softplus(self.shared(hidden))).squeeze(-1)


def seeded(make: Callable[[], nn.Module], seed: int = 3) -> nn.Module:
    """Double-precision network in evaluation mode, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double().eval()


def classes(shape: tuple[int, ...], seed: int = 5, outputs: int = 1) -> Pairs:
    """Normal inputs with random classes -1, +1."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    t = torch.randint(0, 2, (shape[0], outputs), generator=generator).double() * 2 - 1
    return Pairs(x, t if outputs > 1 else t[:, 0])


def loop_of_autograd(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor
) -> dict[str, Tensor]:
    """Gradient of each sample's loss by one ordinary backward pass for each sample."""
    model = copy.deepcopy(model)
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    rows: dict[str, list[Tensor]] = {name: [] for name in named}
    for i in range(len(x)):
        value = loss(model(x[i : i + 1]).reshape(-1), t[i].reshape(-1))
        gradients = torch.autograd.grad(value, list(named.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(named, gradients, strict=True):
            rows[name].append(gradient)
    return {name: torch.stack(row) for name, row in rows.items()}


def tanh_squared(y: Tensor, t: Tensor) -> Tensor:
    """Plain torch: squared error of tanh outputs."""
    return ((torch.tanh(y) - t) ** 2).sum()


def logistic_cross_entropy(y: Tensor, t: Tensor) -> Tensor:
    """Plain torch: cross-entropy of a sigmoid, classes -1 and +1."""
    return nn.functional.softplus(-t * y).sum()


def softsign_absolute(y: Tensor, t: Tensor) -> Tensor:
    """Plain torch: absolute error of softsign outputs."""
    return (nn.functional.softsign(y) - t).abs().sum()
