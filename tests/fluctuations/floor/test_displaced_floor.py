"""Floors that only displaced numbers show: complements that are rounded away, underflow, and passes that fall back."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn.fluctuations import Fluctuations, Quantities, measure
from critlearn.network import NeuralSystem
from reference.own_loss import OwnLoss

DTYPES = (torch.float32, torch.float64)


class Applied(nn.Module):
    """Dense layer, a function written out by the user, dense layer."""

    def __init__(self, width: int, form: Callable[[Tensor], Tensor], bias: float, gain: float) -> None:
        super().__init__()
        self.first, self.last, self.form = nn.Linear(2, width), nn.Linear(width, 1), form
        with torch.no_grad():
            self.first.bias += bias
            self.first.weight *= gain

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.form(self.first(x))) + 0 * x.sum(dim=1, keepdim=True)


def measured(model: nn.Module, x: Tensor, precision: torch.dtype | None = None, **series: int) -> Fluctuations:
    system = NeuralSystem(model, OwnLoss(), TensorDataset(x, torch.zeros(len(x))))
    kept = {name.replace("__", "."): tuple(range(number)) for name, number in series.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure(system, precision=precision, exact=True, quantities=Quantities(series=kept))


def _shifted(y: Tensor) -> Tensor:
    shifted = torch.cat([y[:, :1] + 60, y[:, 1:]], dim=1)
    return (torch.logsumexp(shifted, dim=1) - shifted[:, 0])[:, None].expand(-1, y.shape[1])


def _after_sigmoid(y: Tensor) -> Tensor:
    return functional.binary_cross_entropy(torch.sigmoid(y), torch.ones_like(y), reduction="none")


# What is written in a user's own operations cannot be made exact. In truth the gradients are far below rounding.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("form", "bias", "gain", "width"),
    [
        (lambda y: 1 - torch.exp(-torch.exp(-y)).square(), 60.0, 1.0, 3),
        (lambda y: (1 - 1 / (1 + torch.exp(-y))) * 3, 60.0, 1.0, 3),
        (_shifted, 0.0, 1.0, 3),
        (lambda y: functional.layer_norm(y, (2,)), 0.0, 1e7, 2),
        (lambda y: functional.rms_norm(y, (1,), eps=1e-6), 0.0, 1e7, 1),
        (_after_sigmoid, 60.0, 1.0, 3),
    ],
)  # fmt: skip
def test_complements_that_are_rounded_away_have_a_floor(
    form: Callable[[Tensor], Tensor], bias: float, gain: float, width: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = Applied(width, form, bias, gain).to(dtype)
    found = measured(model, torch.randn(64, 2, dtype=dtype), first__weight=2 * width)
    assert found.log_floor is not None
    assert -50 < found.log_floor < -20
    logs = found.series.log_size["first.weight"]
    assert float(np.nanmax(logs)) < found.log_floor + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "form",
    [
        functional.silu, torch.sigmoid, torch.exp, functional.softplus,
        lambda y: torch.softmax(torch.cat([0 * y[:, :1], y], dim=1), dim=1)[:, 1:],
        lambda y: 1e-200 * torch.exp(y / 2),
    ],
)  # fmt: skip
def test_what_underflows_to_zero_has_a_floor(form: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Applied(3, form, -800.0, 1.0)
    found = measured(model.to(dtype), torch.randn(64, 2, dtype=dtype))
    assert found["first.weight"].zeros > 0
    assert found.log_floor is not None
    assert -760 < found.log_floor < -600


class Language(nn.Module):
    """Causal language model of one block, which computes its own loss."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(11, width), nn.Embedding(7, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down, self.head = nn.Linear(width, 64), nn.Linear(64, width), nn.Linear(width, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        later = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool).triu(1)
        x = self.embed(inputs) + self.places(torch.arange(inputs.shape[1]).expand(inputs.shape))
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=later, need_weights=False)[0]
        y = self.head(x + self.down(functional.gelu(self.up(self.norm2(x)))))
        return functional.cross_entropy(y.transpose(1, 2), labels, reduction="none").mean(dim=1)


@pytest.mark.parametrize(("width", "heads"), [(16, 2), (8, 1), (32, 4)])
def test_a_pass_that_falls_back_to_double_precision_has_the_floor_of_double(width: int, heads: int) -> None:
    torch.manual_seed(0)
    model, tokens = Language(width, heads), torch.randint(11, (64, 8))
    floors = []
    for precision in (None, torch.float64):
        found = measured(model, tokens, precision, attention__in_proj_bias=3 * width)
        keys = found.series.log_size["attention.in_proj_bias"][:, width : 2 * width]
        # The gradients of the keys' biases are 0 in truth.
        assert found.log_floor is not None
        assert float(keys.max()) < found.log_floor < -25
        floors.append(found.log_floor)
    assert floors[0] == pytest.approx(floors[1], abs=1)


def test_batches_in_single_precision_have_the_floor_of_single() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.norm(x)
            return self.head((x + self.attention(h, h, h, need_weights=False)[0]).mean(dim=1))

    torch.manual_seed(0)
    model, x = Attention(), torch.randn(64, 5, 8)
    plain = measured(model, x, attention__in_proj_bias=24)
    # The first batch has numbers beyond single precision, the others have not.
    x[:16] *= 1e-33
    later = measured_in_batches(model, x)
    for found in (plain, later):
        keys = found.series.log_size["attention.in_proj_bias"][16:, 8:16]
        assert found.log_floor is not None
        assert float(keys.max()) < found.log_floor


def measured_in_batches(model: nn.Module, x: Tensor) -> Fluctuations:
    system = NeuralSystem(model, OwnLoss(), TensorDataset(x, torch.zeros(len(x))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = Quantities(series={"attention.in_proj_bias": tuple(range(24))})
        return measure(system, exact=True, batch_size=16, quantities=kept)


class OwnGate(nn.Module):
    """Function of the user's with parameters of its own, which is differentiated by ``torch.func``."""

    def __init__(self, form: Callable[[Tensor], Tensor], gain: float) -> None:
        super().__init__()
        self.w, self.c = nn.Parameter(torch.full((8,), gain)), nn.Parameter(torch.randn(8))
        self.d, self.form = nn.Parameter(0.1 * torch.randn(8)), form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(self.w * x) * self.c + 0.01 * self.d * x


# Closed form: the factor of c is e^-40 or less, and never 0.
@pytest.mark.parametrize(
    "form",
    [
        lambda z: 1 - torch.sigmoid(z),
        lambda z: 1 - torch.tanh(z) ** 2,
        lambda z: functional.softplus(z) - z,
        lambda z: torch.logsumexp(torch.stack([z, 0 * z]), 0) - z,
        lambda z: 1 - torch.stack([z, 0 * z]).softmax(0)[0],
    ],
)
def test_what_a_layer_without_a_rule_rounds_away_has_a_floor(form: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.linspace(1, 2, 200, dtype=torch.float64)[:, None]
    found = measured(nn.Sequential(OwnGate(form, 40.0), nn.Linear(8, 1)).double(), x)
    assert found["0.c"].zeros > 0
    assert found.log_floor is not None
    assert -45 < found.log_floor < -20


class Gate(nn.Module):
    """A gate that is closed for large inputs: its complement is a difference."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.kept, self.rest = (nn.Linear(1, 8, bias=False) for _ in range(3))
        nn.init.constant_(self.gate.weight, 40.0)

    def forward(self, x: Tensor) -> Tensor:
        return (1 - torch.sigmoid(self.gate(x))) * self.kept(torch.ones_like(x)) + 0.01 * self.rest(x)


def test_the_floor_is_found_on_samples_from_all_over_the_data_set() -> None:
    torch.manual_seed(0)
    # Sorted: the gate of the first samples is half open.
    x = torch.linspace(0.01, 2, 200, dtype=torch.float64)[:, None]
    found = measured(nn.Sequential(Gate(), nn.Linear(8, 1)).double(), x)
    assert found["0.kept.weight"].zeros > 0
    assert found.log_floor is not None
    assert -45 < found.log_floor < -20


@pytest.mark.parametrize("seed", range(3))
def test_rounding_that_is_counted_lies_below_the_floor(seed: int) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = nn.Embedding(20, 16), nn.Linear(16, 20)
            self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

        def forward(self, tokens: Tensor) -> Tensor:
            h = self.words(tokens)
            mixed = functional.scaled_dot_product_attention(self.q(h), self.k(h), self.v(h), is_causal=True)
            return self.head(h + mixed)

    torch.manual_seed(seed)
    tokens = torch.randint(20, (64, 9))
    system = NeuralSystem(
        Attention(), nn.CrossEntropyLoss(reduction="sum"), TensorDataset(tokens[:, :-1], tokens[:, 1:])
    )
    found = measure(system, quantities=Quantities(series={"k.bias": tuple(range(16))}))
    # The same number is added to all scores of a query: the gradient is 0 in truth.
    logs = found.series.log_size["k.bias"]
    assert found.log_floor is not None
    assert float(np.max(logs)) < found.log_floor
