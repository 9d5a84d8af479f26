"""Dense networks: reproducible, named, and exact in every module."""

import pytest
import torch
from torch import nn

from critlearn.errors import InvalidInputError
from critlearn.network import draw_gaussian_weights, feed_forward, is_exact


def test_a_seed_gives_the_same_network_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first = feed_forward(4, [5, 3], "tanh", seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    second = feed_forward(4, [5, 3], "tanh", seed=7)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    third = feed_forward(4, [5, 3], "tanh", seed=8)
    assert not torch.equal(first.output.weight, third.output.weight)


def test_layers_are_named_and_shaped() -> None:
    shapes = {name: tuple(value.shape) for name, value in feed_forward(4, [5, 3], "relu", seed=0).named_parameters()}
    assert shapes == {
        "hidden1.weight": (5, 4),
        "hidden1.bias": (5,),
        "hidden2.weight": (3, 5),
        "hidden2.bias": (3,),
        "output.weight": (1, 3),
        "output.bias": (1,),
    }


def test_it_computes_what_its_formula_says() -> None:
    model = feed_forward(3, [4], "softsign", seed=1)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pre = x @ model.hidden1.weight.T + model.hidden1.bias
    expected = (pre / (1 + pre.abs())) @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model(x), expected, rtol=1e-13, atol=1e-15)


def test_catalogue_networks_are_exact_and_plain_tanh_is_not() -> None:
    assert is_exact(feed_forward(2, [3], "tanh", seed=0))
    assert is_exact(feed_forward(2, [3], "relu", seed=0))
    assert is_exact(feed_forward(2, [], "relu", seed=0))
    assert not is_exact(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))


def test_bad_widths_and_names_are_refused() -> None:
    for inputs, hidden in ((0, [3]), (2, [0]), (2, [3, -1])):
        with pytest.raises(InvalidInputError, match="positive"):
            feed_forward(inputs, hidden, "tanh", seed=0)
    with pytest.raises(InvalidInputError, match='unknown hidden activation "rellu"; did you mean "relu"'):
        feed_forward(2, [3], "rellu", seed=0)


def test_gaussian_weights_have_the_variance_that_is_asked_for() -> None:
    network = feed_forward(40, [60, 50], "tanh", seed=0)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    draw_gaussian_weights(network, 2.5, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for layer in (network.hidden1, network.hidden2):
        scaled = layer.weight.detach().flatten() * layer.in_features**0.5
        # The variance of the mean square of n normal numbers is 2 variance^2 / n.
        assert abs(float(scaled.square().mean()) - 2.5) < 4 * 2.5 * (2 / scaled.numel()) ** 0.5
        assert abs(float(scaled.mean())) < 4 * (2.5 / scaled.numel()) ** 0.5
        assert not bool(layer.bias.detach().any())
