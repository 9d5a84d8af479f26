"""A user's own network is taken apart where its forward is a chain: nothing underflows, and nothing else changes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.result import ALL_EXACT, HIGH_PRECISION
from critlearn.network import NeuralSystem
from reference.deep_tanh_oracle import log_gradients
from reference.networks import classes, loop_of_autograd, seeded, tanh_squared


class Deep(nn.Module):
    """Six dense layers with tanh, called in all the ways there are."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.block = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5))
        self.fourth, self.fifth, self.last = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 1)
        self.tanh = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = self.block(x).tanh()
        x = functional.tanh(self.fourth(functional.dropout(x, 0.5, self.training)))
        return self.last(self.tanh(self.fifth(x)))


class Inner(nn.Module):
    """A chain in a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.gain = Deep(), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain(self.deep(x.flatten(1)) * 2)


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.dense, self.out = nn.Conv2d(1, 3, 3), nn.Linear(12, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.convolution(x)), 2)
        x = functional.gelu(self.dense(torch.flatten(x, 1)))
        return self.out(functional.softplus(x, 2.0))


class _Decreed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, y: Tensor) -> Tensor:
        return torch.tanh(y)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 3 * gradient


def _skip(net: "Odd", x: Tensor) -> Tensor:
    return x + net.second(torch.tanh(x))


def _in_place(net: "Odd", x: Tensor) -> Tensor:
    return net.second(net.first(x).clone().mul_(2.0).relu_())


def _written(net: "Odd", x: Tensor) -> Tensor:
    x = net.first(x)
    x += 1.0
    return net.second(functional.relu(x, True))


def _own_slope(net: "Odd", x: Tensor) -> Tensor:
    return net.second(_Decreed.apply(net.first(x)))


def _sideways(net: "Odd", x: Tensor) -> Tensor:
    return net.second(torch.tanh(net.first(x).t()).t())


def _branching(net: "Odd", x: Tensor) -> Tensor:
    return net.second(net.first(x) if len(x.shape) == 2 and float(x.detach().sum()) < 99 else x)


class Odd(nn.Module):
    """Two dense layers, and something between that is no chain, or leaves no trace."""

    def __init__(self, form: Callable[["Odd", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.out, self.form = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1), form

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.form(self, self.first(x))))


def _names(system: NeuralSystem) -> list[str]:
    return [type(layer).__name__ for _, layer in PerSampleGradients(system).layers]


@pytest.mark.parametrize("gain", [3.0, 200.0])
def test_a_chain_of_six_layers_agrees_with_high_precision(gain: float) -> None:
    model = seeded(Deep).float()
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(gain)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(3)) * 2
    t = torch.tensor([1.0, -1.0, 1.0])
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    found = {}
    for item in PerSampleGradients(system).batch(x, t):
        every = torch.arange(system.parameters[item.name].numel())
        found[item.name] = (item.grad_sample.entries(every).logs()[0] + item.log_scale[:, None]).numpy()
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    weights, biases = ([getattr(layer, part).detach().numpy() for layer in layers] for part in ("weight", "bias"))
    deepest = 0.0
    for sample in range(3):
        reference = log_gradients(weights, biases, x[sample].numpy(), float(t[sample]), 1500)
        for name, pair in zip(names, reference, strict=True):
            for part, expected in zip(("weight", "bias"), pair, strict=True):
                assert np.abs(found[f"{name}.{part}"][sample] - expected.ravel()).max() < 1e-5
                deepest = min(deepest, float(expected.min()))
    assert deepest < (-1000 if gain > 10 else -10)
    measured = measure(system)
    assert measured["all"].zeros == 0
    assert (measured.log_floor, measured.floor_reference) == (None, ALL_EXACT)


@pytest.mark.parametrize(("make", "shape"), [(Deep, (7, 5)), (Inner, (7, 5, 1)), (Pictures, (7, 1, 6, 6))])
def test_gradients_of_chains_are_those_of_autograd(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    model, data = seeded(make), classes(shape)
    system = NeuralSystem(model, Composition("tanh", "mse"), data)
    assert len(_names(system)) > 6
    _check(system)


def _check(system: NeuralSystem) -> None:
    """Gradients are those of a loop of autograd calls."""
    x, t = system.dataset.x, system.dataset.t  # type: ignore[attr-defined]
    expected = loop_of_autograd(system.model, tanh_squared, x, t)
    for item in PerSampleGradients(system, quiet=True).batch(x, t):
        found = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        assert torch.allclose(found, expected[item.name].flatten(1), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("form", [_skip, _in_place, _written, _own_slope, _sideways, _branching])
def test_what_is_no_chain_stays_whole(form: Callable[[Odd, Tensor], Tensor]) -> None:
    system = NeuralSystem(seeded(lambda: Odd(form)), Composition("tanh", "mse"), classes((7, 3)))
    assert _names(system) == ["Odd"]
    _check(system)


class Tuples(nn.Module):
    """A chain through a call that returns several tensors, of which one is used."""

    def __init__(self, core: nn.Module, form: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.core, self.out, self.form = core, nn.Linear(4, 1), form

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.form(self.core, x))


@pytest.mark.parametrize(
    ("core", "form"),
    [
        (lambda: nn.LSTM(3, 4, batch_first=True), lambda core, x: core(x)[0][:, -1]),
        (lambda: nn.GRU(3, 4, batch_first=True), lambda core, x: core(x)[0][:, -1]),
        (lambda: nn.RNN(3, 4, 2, batch_first=True), lambda core, x: core(x)[0].mean(dim=1)),
        (lambda: nn.Linear(3, 4), lambda core, x: torch.tanh(core(x)).max(dim=1)[0]),
        (lambda: nn.Linear(3, 4), lambda core, x: torch.tanh(core(x)).max(dim=1).values),
        (lambda: nn.Linear(3, 4), lambda core, x: core(x).chunk(2, dim=1)[0].sum(1)),
        (lambda: nn.Linear(3, 4), lambda core, x: core(x).split(2, dim=1)[0].sum(1)),
        (lambda: nn.Linear(3, 4), lambda core, x: torch.sort(core(x), dim=1)[0][:, 0]),
        (lambda: nn.Linear(3, 4), lambda core, x: core(x).unbind(1)[0]),
    ],
)
@pytest.mark.filterwarnings("error:.*automatic differentiation")
def test_a_chain_goes_on_behind_a_call_that_returns_a_tuple(
    core: Callable[[], nn.Module], form: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    system = NeuralSystem(seeded(lambda: Tuples(core(), form)), Composition("tanh", "mse"), classes((7, 4, 3)))
    assert len(_names(system)) > 1
    _check(system)


def test_samples_that_are_in_order_by_chance_are_not_a_chain_that_sorts_them() -> None:
    data = classes((7, 3))
    data.x.copy_(data.x.sort(dim=0)[0])
    net = seeded(lambda: nn.Sequential(nn.Linear(3, 3), Odd(lambda net, x: x.sort(dim=0)[0])))
    with pytest.raises(InvalidInputError, match="couples the samples"):
        measure(NeuralSystem(net, Composition("tanh", "mse"), data))


def test_hooks_keep_a_module_whole() -> None:
    model = seeded(Deep)
    model.register_forward_hook(lambda module, given, output: 2 * output)
    system = NeuralSystem(model, Composition("tanh", "mse"), classes((7, 5)))
    assert _names(system) == ["Deep"]
    _check(system)


def test_a_single_sample_is_enough() -> None:
    system = NeuralSystem(seeded(Deep), Composition("tanh", "mse"), classes((1, 5)))
    assert len(_names(system)) > 6
    _check(system)


def test_chains_of_functions_have_a_reference() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.sigmoid(self.first(torch.flatten(x, 1))) ** 2)

    measured = measure(NeuralSystem(seeded(Plain), Composition("tanh", "mse"), classes((7, 3))))
    assert (measured.log_floor, measured.floor_reference) == (None, HIGH_PRECISION)
