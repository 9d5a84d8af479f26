"""Functions that a user's forward calls: their slopes against mpmath where torch's own are zero."""

import pickle
from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.network import ActivationModule, tail_exact
from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.exact_functions import exact_activation


class Calling(nn.Module):
    """A user's module that calls a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.gain = function, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.function(x)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[mp.mpf], mp.mpf]]] = {
    "torch.tanh": (torch.tanh, mp.tanh),
    "Tensor.tanh": (Tensor.tanh, mp.tanh),
    "torch.sigmoid": (torch.sigmoid, lambda y: 1 / (1 + mp.exp(-y))),
    "expit": (torch.special.expit, lambda y: 1 / (1 + mp.exp(-y))),
    "softsign": (functional.softsign, lambda y: y / (1 + abs(y))),
    "gelu": (functional.gelu, lambda y: y * mp.erfc(-y / mp.sqrt(2)) / 2),
}


def slope(model: nn.Module, at: float) -> tuple[float, float]:
    x = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    y = model(x)
    return float(y.detach()), float(torch.autograd.grad(y.sum(), x)[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("at", [0.4, -3.0, -11.0, -25.0])
def test_slopes_are_exact_in_the_tail(name: str, at: float) -> None:
    function, oracle = FUNCTIONS[name]
    value, found = slope(tail_exact(Calling(function)), at)
    with mp.workdps(80):
        expected = float(mp.diff(oracle, mp.mpf(at)))
        assert value == pytest.approx(float(oracle(mp.mpf(at))), rel=1e-12)
    assert found == pytest.approx(expected, rel=1e-10, abs=0)
    assert found != 0


def test_plain_torch_has_lost_the_slope() -> None:
    assert slope(Calling(torch.tanh), -25.0)[1] == 0


def test_only_functions_of_one_tensor_are_replaced() -> None:
    assert isinstance(exact_activation(torch.tanh, {}), ActivationModule)
    assert isinstance(exact_activation(functional.gelu, {}), ExactGelu)
    assert exact_activation(functional.gelu, {"approximate": "tanh"}) is None
    assert exact_activation(torch.tanh, {"out": torch.zeros(1)}) is None
    assert exact_activation(torch.exp, {}) is None


def test_a_copy_survives_storage_and_stays_exact() -> None:
    stored = pickle.loads(pickle.dumps(tail_exact(Calling(torch.tanh))))
    assert slope(stored, -25.0) == slope(tail_exact(Calling(torch.tanh)), -25.0)
    assert isinstance(stored, Calling)
