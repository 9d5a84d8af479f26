"""Hugging Face's dense layer with transposed weights, against autograd of single samples."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from reference.plain_gradients import plain_gradients

Conv1D = pytest.importorskip("transformers.pytorch_utils").Conv1D


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = Conv1D(5, 4), Conv1D(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(x))).mean(dim=1)


@pytest.mark.parametrize("places", [1, 6])
def test_gradients_are_those_of_autograd_and_no_layer_is_differentiated(places: int) -> None:
    torch.manual_seed(0)
    model = Sequences().double()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape))
    x, t = torch.randn(7, places, 4, dtype=torch.float64), torch.randint(3, (7,))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients = PerSampleGradients(system)
    assert not gradients.differentiated
    found = {item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None] for item in gradients.batch(x, t)}
    for name, expected in plain_gradients(model, nn.CrossEntropyLoss(), x, t).items():
        assert torch.allclose(found[name], torch.from_numpy(expected), rtol=1e-9, atol=1e-12), name
