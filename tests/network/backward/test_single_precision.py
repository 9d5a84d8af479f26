"""Parts of a pass in single precision: as good as stated beside double precision, and left where they would lose."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from critlearn.network.backward.single_precision import SMALLEST, fits, size_range
from critlearn.network.exact.attention import exact_attention
from critlearn.numerics.kernels.float_range import single_range
from reference.plain_gradients import plain_gradients

BOUND = 2e-5
"""Stated bound: difference from double precision in units of the variable's largest gradient of the sample."""


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, x: Tensor, t: Tensor) -> None:
        self.x, self.t = x, t

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.t[index]


class Mixer(nn.Module):
    """Dense layers over tokens round one attention."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.norm, self.outer = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.inner(x))
        h = self.norm(h + self.attention(h, h, h, need_weights=False)[0])
        return self.outer(h.mean(dim=1))


def _convolutional(activation: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), activation, nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), activation, nn.Flatten(),
        nn.Linear(20, 7), nn.Tanh(), nn.Linear(7, 3),
    )  # fmt: skip


def _system(kind: str, activation: nn.Module, gain: float = 1.0) -> NeuralSystem:
    torch.manual_seed(2)
    model = _convolutional(activation) if kind == "convolutional" else Mixer(activation)
    x = torch.randn(5, 1, 8, 8) if kind == "convolutional" else torch.randn(5, 9, 6)
    with torch.no_grad():
        next(model.parameters()).mul_(gain)
    return NeuralSystem(model, nn.CrossEntropyLoss(), Pairs(x, torch.randint(3, (5,))))


def _gradients(system: NeuralSystem, precision: torch.dtype | None) -> tuple[dict[str, Tensor], PerSampleGradients]:
    source = PerSampleGradients(system, precision=precision)
    x, t = next(system.boundary(5))
    return {
        item.name: item.grad_sample.dense().double() * item.log_scale.exp()[:, None] for item in source.batch(x, t)
    }, source


def _by_autograd(system: NeuralSystem) -> dict[str, Tensor]:
    """Gradients of single samples in double precision by torch alone."""
    model = system.model.double()
    x, t = next(system.boundary(5))
    rows: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for sample, target in zip(x.double(), t, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(sample[None]), target[None]).backward()
        for name, value in model.named_parameters():
            assert value.grad is not None
            rows[name].append(value.grad.flatten().clone())
    return {name: torch.stack(part) for name, part in rows.items()}


@pytest.mark.parametrize("kind", ["convolutional", "tokens"])
@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.ReLU(), nn.GELU(), nn.SiLU()], ids=lambda part: type(part).__name__
)
def test_gradients_in_single_precision_keep_their_stated_bound(kind: str, activation: nn.Module) -> None:
    system = _system(kind, activation)
    found, source = _gradients(system, None)
    assert source.mixed
    assert source.last_in_single
    # The bias of attention keys has no gradient but rounding: compared in units of the layer's largest.
    for name, expected in _by_autograd(system).items():
        unit = expected.abs().amax(dim=1, keepdim=True)
        assert ((found[name] - expected).abs() <= BOUND * unit).all(), name


@pytest.mark.parametrize("kind", ["convolutional", "tokens"])
def test_saturated_batches_are_taken_in_double_precision(kind: str) -> None:
    """tanh' is below 1e-38 for many units: logarithms of the gradients as with a pass in double precision."""
    system = _system(kind, nn.Tanh(), gain=3000.0)
    found, _ = _gradients(system, None)
    expected, _ = _gradients(system, torch.float64)
    smallest = min(float(part[part != 0].abs().min()) for part in expected.values())
    assert smallest < 1e-45
    for name in expected:
        assert torch.equal(found[name], expected[name])


def test_functions_with_small_derivatives_are_left_in_double_precision() -> None:
    assert not _gradients(_system("tokens", nn.Softplus()), None)[1].mixed


def test_flat_and_double_networks_are_in_double_precision() -> None:
    flat = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    data = Pairs(torch.randn(4, 4), torch.randint(3, (4,)))
    assert not PerSampleGradients(NeuralSystem(flat, nn.CrossEntropyLoss(), data)).mixed
    system = _system("convolutional", nn.ReLU())
    system.model.double()
    assert not PerSampleGradients(system).mixed


class Tied(nn.Module):
    """A table of words that is the output's weight too."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.inner, self.head = nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 7, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.gelu(self.inner(self.words(x)))).mean(dim=1)


def test_tied_weights_in_one_link_stay_in_single_precision() -> None:
    torch.manual_seed(2)
    data = Pairs(torch.randint(7, (5, 4)), torch.randint(7, (5,)))
    system = NeuralSystem(Tied(), nn.CrossEntropyLoss(), data)
    found, source = _gradients(system, None)
    assert source.mixed
    for name, expected in _by_autograd_of_tokens(system).items():
        assert ((found[name] - expected).abs() <= BOUND * expected.abs().amax(dim=1, keepdim=True)).all(), name


def _by_autograd_of_tokens(system: NeuralSystem) -> dict[str, Tensor]:
    model = system.model.double()
    x, t = next(system.boundary(5))
    found = plain_gradients(model, nn.CrossEntropyLoss(), x, t)
    return {name: torch.from_numpy(values) for name, values in found.items()}


def test_range_of_sizes_by_bits() -> None:
    assert single_range(np.array([0.0, -3.0, 1e-41, 2.5], dtype=np.float32)) == (float(np.float32(1e-41)), 3.0)
    assert single_range(np.zeros(3, dtype=np.float32)) == (math.inf, 0.0)
    values = torch.randn(4, 5, 6)
    expected = (float(values.abs().min()), float(values.abs().max()))
    assert size_range(values.transpose(0, 2)) == expected
    assert size_range(values[:, ::2]) == (float(values[:, ::2].abs().min()), float(values[:, ::2].abs().max()))


@pytest.mark.parametrize(("scale", "mask"), [(None, 0.0), (30.0, 0.0), (None, -150.0), (0.01, 0.0), (None, -math.inf)])
def test_attention_is_judged_by_its_own_scale_and_mask(scale: float | None, mask: float) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 5, 4, generator=generator).requires_grad_() for _ in range(3))
    added = torch.zeros(5, 5)
    added[:, -1] = mask
    scores = (q @ k.transpose(1, 2)).double() * (0.5 if scale is None else scale) + added
    # Keys that are excluded altogether have no weight that could be lost.
    small = bool(((scores.softmax(dim=-1) < SMALLEST) & ~torch.isneginf(added)).any())
    assert fits(exact_attention(q, k, v, added, scale=scale)) == (not small)
