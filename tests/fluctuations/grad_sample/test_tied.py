"""A table that is an embedding and the output's weight: gradients summed over both uses, some samples at a time."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations import Quantities, measure
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.grad_sample.protocol import Entries
from critlearn.fluctuations.grad_sample.tied import TiedGradSample
from critlearn.fluctuations.moments.running_moments import running_moments
from critlearn.network import NeuralSystem
from reference.networks import seeded
from reference.plain_gradients import assert_same_counts, plain_gradients

WORDS = 7


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(WORDS, 4), nn.Linear(4, WORDS, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(x).mean(dim=1)))


def _system() -> NeuralSystem:
    generator = torch.Generator().manual_seed(2)
    x, t = (torch.randint(WORDS, shape, generator=generator) for shape in ((10, 3), (10,)))
    return NeuralSystem(seeded(Tied), nn.CrossEntropyLoss(), TensorDataset(x, t))


@pytest.fixture(autouse=True)
def written_out(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of samples that are written out together, where there is room for one."""
    seen: list[int] = []
    entries = TiedGradSample.entries

    def noted(self: TiedGradSample, index: Tensor | None = None) -> Entries:
        if index is None:
            seen.append(self.samples)
        return entries(self, index)

    monkeypatch.setattr("critlearn.fluctuations.grad_sample.tied.WRITTEN_OUT", 1)
    monkeypatch.setattr("critlearn.fluctuations.grad_sample.protocol.WRITTEN_OUT", 1)
    monkeypatch.setattr(TiedGradSample, "entries", noted)
    return seen


@pytest.mark.parametrize("mini_batch", [1, 2])
def test_counts_of_a_tied_table_are_those_of_autograd(mini_batch: int, written_out: list[int]) -> None:
    system = _system()
    found = measure(system, batch_size=5, groups=2, exact=True, quantities=Quantities(mini_batch=mini_batch))
    x, t = system.dataset.tensors  # type: ignore[attr-defined]
    (values,) = plain_gradients(system.model, nn.CrossEntropyLoss(), x, t).values()
    assert_same_counts(found["table.weight"], values.reshape(-1, mini_batch, values.shape[1]).mean(axis=1), 2)
    assert max(written_out) == 1


def test_moments_of_a_tied_table_are_those_of_autograd(written_out: list[int]) -> None:
    system = _system()
    x, t = system.dataset.tensors  # type: ignore[attr-defined]
    (values,) = plain_gradients(system.model, nn.CrossEntropyLoss(), x, t).values()
    moments = running_moments(PerSampleGradients(system), system.boundary(4)).entries["table.weight"]
    unit = math.exp(moments.log_unit)
    assert torch.allclose(moments.drift * unit, -torch.from_numpy(values.mean(axis=0)), rtol=1e-9, atol=1e-15)
    assert torch.allclose(moments.fluctuation * unit, torch.from_numpy(values.std(axis=0)), rtol=1e-9, atol=1e-15)
    assert max(written_out) == 1
