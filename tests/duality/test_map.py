"""The duality map against a plain loop of autograd calls, for networks of many kinds."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from critlearn.compositions import Composition
from critlearn.duality import DualityMap
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem, feed_forward
from reference.networks import (
    Residual,
    classes,
    logistic_cross_entropy,
    loop_of_autograd,
    seeded,
    softsign_absolute,
    tanh_squared,
)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 1)
    )


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1))


def attention() -> nn.Module:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.value = nn.Linear(4, 4), nn.Linear(4, 4)
            # A bias of the keys would shift all logits alike: its gradient is zero but for rounding.
            self.key = nn.Linear(4, 4, bias=False)
            self.out = nn.Linear(12, 1)

        def forward(self, x: Tensor) -> Tensor:
            weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2), dim=-1)
            return self.out((weights @ self.value(x)).flatten(1))

    return Attention()


def recurrent() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = nn.Linear(7, 5), nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            state = x.new_zeros(len(x), 5)
            for step in range(x.shape[1]):
                state = torch.tanh(self.cell(torch.cat([x[:, step], state], dim=1)))
            return self.out(state)

    return Recurrent()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)), (7, 6), 1),
    "without biases": (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 1)), (7, 6), 1),
    "several outputs": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), (7, 6), 3),
    "shared weights": (Residual, (7, 6), 1),
    "convolutional": (convolutional, (5, 2, 6, 6), 1),
    "normalised": (normalised, (7, 6), 1),
    "attention": (attention, (5, 3, 4), 1),
    "recurrent": (recurrent, (5, 3, 2), 1),
}
LOSSES = {
    ("tanh", "mse"): tanh_squared,
    ("sigmoid", "bce"): logistic_cross_entropy,
    ("softsign", "mae"): softsign_absolute,
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("names", LOSSES, ids="+".join)
def test_agrees_with_a_loop_of_autograd(network: str, names: tuple[str, str]) -> None:
    make, shape, outputs = NETWORKS[network]
    model, data = seeded(make), classes(shape, outputs=outputs)
    lr = 0.3
    changes = DualityMap(NeuralSystem(model, Composition(*names), data), lr)(data.x, data.t)
    expected = loop_of_autograd(model, LOSSES[names], data.x, data.t)
    assert changes.keys() == expected.keys()
    for name, gradient in expected.items():
        assert changes[name].shape == gradient.shape
        # Relative to the sample's gradient of the variable: single entries may be sums that cancel.
        size = gradient.flatten(1).norm(dim=1)
        difference = (changes[name] + lr * gradient).flatten(1).norm(dim=1)
        assert bool((difference <= 1e-12 * lr * size).all())


def test_every_entry_agrees_where_nothing_cancels() -> None:
    # One hidden layer and one output: each entry is a product, so each is right to 1e-12 by itself.
    model, data = feed_forward(6, [5], "tanh", seed=2), classes((9, 6))
    changes = DualityMap(NeuralSystem(model, Composition("sigmoid", "bce"), data))(data.x, data.t)
    plain = nn.Sequential(model.hidden1, nn.Tanh(), model.output)
    expected = loop_of_autograd(plain, logistic_cross_entropy, data.x, data.t)
    for (name, change), gradient in zip(changes.items(), expected.values(), strict=True):
        torch.testing.assert_close(change, -gradient, rtol=1e-12, atol=0, msg=name)


def test_the_mean_change_is_a_step_of_gradient_descent() -> None:
    model, data = seeded(NETWORKS["dense"][0]), classes((20, 6))
    changes = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data), 0.1)(data.x, data.t)
    before = [value.detach().clone() for value in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    (tanh_squared(model(data.x).flatten(), data.t) / 20).backward()
    optimiser.step()
    for change, old, new in zip(changes.values(), before, model.parameters(), strict=True):
        torch.testing.assert_close(change.mean(dim=0), new.detach() - old, rtol=1e-10, atol=1e-14)


def test_frozen_parameters_are_no_variables() -> None:
    model, data = seeded(NETWORKS["dense"][0]), classes((3, 6))
    model[0].weight.requires_grad_(False)
    changes = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))(data.x, data.t)
    assert set(changes) == {"0.bias", "2.weight", "2.bias"}


def test_it_leaves_the_network_as_it_was() -> None:
    model, data = seeded(NETWORKS["dense"][0]), classes((3, 6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))(data.x, data.t)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_single_precision_stays_single() -> None:
    data = classes((4, 6))
    system = NeuralSystem(feed_forward(6, [5], "tanh", seed=2, dtype=torch.float32), Composition("tanh", "mse"), data)
    changes = DualityMap(system)(data.x.float(), data.t.float())
    assert all(change.dtype == torch.float32 for change in changes.values())


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan, math.inf])
def test_rates_that_are_no_rates_are_refused(lr: float) -> None:
    data = classes((3, 6))
    with pytest.raises(InvalidInputError, match="learning rate must be positive and finite"):
        DualityMap(NeuralSystem(seeded(NETWORKS["dense"][0]), Composition("tanh", "mse"), data), lr)
