"""Embeddings that are called once for all samples, such as those of positions, against autograd of single samples."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from reference.plain_gradients import plain_gradients

TOKENS, WIDTH, SAMPLES = 4, 6, 5


class Sequences(nn.Module):
    """Tokens and positions, added in some way."""

    def __init__(self, positions: Callable[["Sequences", Tensor], Tensor]) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(9, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.last, self._positions = nn.Linear(WIDTH, 9), positions

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.words(x) + self._positions(self, x)))


def _row(net: Sequences, x: Tensor) -> Tensor:
    return net.places(torch.arange(x.shape[1]))


def _one_sample(net: Sequences, x: Tensor) -> Tensor:
    return net.places(torch.arange(x.shape[1])[None])


def _row_of_one_sample(net: Sequences, x: Tensor) -> Tensor:
    return net.places(torch.arange(x.shape[1])).unsqueeze(0)


def _for_each(net: Sequences, x: Tensor) -> Tensor:
    return net.places(torch.arange(x.shape[1]).expand(x.shape))


def _twice(net: Sequences, x: Tensor) -> Tensor:
    return net.places(torch.arange(x.shape[1])) * net.places(torch.arange(x.shape[1]).flip(0))


@pytest.mark.parametrize("samples", [TOKENS, SAMPLES])
@pytest.mark.parametrize(
    ("positions", "by_rule"),
    [(_row, True), (_one_sample, True), (_for_each, True), (_twice, True), (_row_of_one_sample, False)],
)
def test_positions_have_gradients_of_each_sample(
    positions: Callable[[Sequences, Tensor], Tensor], by_rule: bool, samples: int
) -> None:
    torch.manual_seed(2)
    model = Sequences(positions).double()
    x, t = torch.randint(9, (samples, TOKENS)), torch.randint(9, (samples, TOKENS))
    with warnings.catch_warnings():
        # That automatic differentiation is used is said.
        warnings.simplefilter("ignore")
        system = NeuralSystem(model, nn.CrossEntropyLoss(reduction="sum"), TensorDataset(x, t))
        gradients = PerSampleGradients(system)
    assert ("places.weight" not in gradients.differentiated) == by_rule
    found = {item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None] for item in gradients.batch(x, t)}

    class Loss(nn.Module):
        def forward(self, y: Tensor, t: Tensor) -> Tensor:
            return nn.functional.cross_entropy(y.flatten(0, 1), t.flatten(), reduction="sum")

    for name, expected in plain_gradients(model, Loss(), x, t).items():
        assert torch.allclose(found[name], torch.from_numpy(expected), rtol=1e-9, atol=1e-12), name
