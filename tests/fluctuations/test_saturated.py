"""Networks that saturate inside: fluctuations against closed forms, far below where a complement ``1 - p`` vanishes."""

import warnings
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn.compositions import OutputLoss
from critlearn.fluctuations import Fluctuations, Quantities, measure
from critlearn.network import NeuralSystem
from reference.own_loss import OwnLoss

DTYPES = (torch.float32, torch.float64)


def measured(model: nn.Module, loss: nn.Module | OutputLoss, x: Tensor, t: Tensor, **kept: int) -> Fluctuations:
    """Fluctuations with the series of the first entries of some variables."""
    series = {name.replace("__", "."): tuple(range(number)) for name, number in kept.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure(NeuralSystem(model, loss, TensorDataset(x, t)), quantities=Quantities(series=series), exact=True)


def with_weights(model: nn.Module, dtype: torch.dtype, **values: list[float] | list[list[float]]) -> nn.Module:
    model = model.to(dtype)
    for name, value in values.items():
        model.get_parameter(name.replace("__", ".")).data.copy_(torch.tensor(value, dtype=torch.float64))
    return model


class Plain(nn.Module):
    """Dense layer, softmax, dense layer, in one ``forward``."""

    def __init__(self, skip: float) -> None:
        super().__init__()
        self.first, self.last, self.skip = nn.Linear(1, 2), nn.Linear(2, 1), skip

    def forward(self, x: Tensor) -> Tensor:
        # With a skip connection it is no chain, and is differentiated whole.
        return self.last(functional.softmax(self.first(x), dim=-1)) + (self.skip * x if self.skip else 0)


class Chain(Plain):
    """The same as a chain of operations."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.softmax(self.first(x), dim=-1))


def softmax_sequence() -> nn.Module:
    model = nn.Sequential()
    model.first, model.softmax, model.last = nn.Linear(1, 2), nn.Softmax(dim=1), nn.Linear(2, 1)
    return model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("make", "gains"),
    [
        (softmax_sequence, (3.0, 50.0, 500.0)),
        (lambda: Chain(0.0), (3.0, 50.0, 500.0)),
        # Differentiated whole, it has numbers down to 1e-308.
        (lambda: Plain(0.5), (3.0, 50.0, 300.0)),
    ],
)
def test_softmax_inside_a_network(make: Callable[[], nn.Module], gains: tuple[float, ...], dtype: torch.dtype) -> None:
    x = torch.linspace(1, 2, 50, dtype=torch.float64).to(dtype)[:, None]
    for gain in gains:
        model = with_weights(
            make(), dtype, first__weight=[[gain], [0.0]], first__bias=[0.25, 0.5], last__weight=[[1.5, -0.75]],
            last__bias=[0.25],
        )  # fmt: skip
        found = measured(model, nn.MSELoss(), x, torch.full_like(x, 7), first__bias=2)
        logs = found.series.log_size["first.bias"]
        expected = []
        with mp.workdps(60):
            for number in x[:, 0].tolist():
                margin = mp.mpf(gain) * number - mp.mpf("0.25")
                p = 1 / (1 + mp.exp(-margin))
                other = 1 / (1 + mp.exp(margin))
                skip = getattr(model, "skip", 0.0)
                error = 2 * (mp.mpf("1.5") * p - mp.mpf("0.75") * other + mp.mpf("0.25") + skip * number - 7)
                expected.append(float(mp.log(abs(error * mp.mpf("2.25") * p * other))))
        # The margin itself is rounded in the precision of the pass, double for a chain.
        assert np.abs(logs - np.array(expected)[:, None]).max() < 1e-9
        assert np.abs(logs[:, 0] - logs[:, 1]).max() < 1e-12
        assert bool((found.series.negative["first.bias"][:, 0] != found.series.negative["first.bias"][:, 1]).all())
        assert found["first.bias"].zeros == 0
        # Probabilities below 1e-308, which the last weights multiply, are lost: that has a floor.
        assert found.log_floor is None or found.log_floor < min(expected) or gain == 500


class CrossEntropyInside(nn.Module):
    """Computes its own loss; the input holds the class too."""

    def __init__(self, form: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.form = nn.Linear(1, 3), form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(self.linear(x[:, :1]), x[:, 1].long())


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda y, t: functional.cross_entropy(y, t, reduction="none"),
    "soft targets": lambda y, t: functional.cross_entropy(y, functional.one_hot(t, 3).to(y.dtype), reduction="none"),
    "nll of log_softmax": lambda y, t: functional.nll_loss(torch.log_softmax(y, dim=1), t, reduction="none"),
    "gather": lambda y, t: -functional.log_softmax(y, dim=-1).gather(1, t[:, None]).squeeze(1),
    "module": lambda y, t: nn.CrossEntropyLoss(reduction="none")(y, t),
    "tokens": lambda y, t: functional.cross_entropy(
        torch.stack([y, y], dim=1).transpose(1, 2), torch.stack([t, t], dim=1), reduction="none"
    ).mean(dim=1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_inside_forward(form: str, dtype: torch.dtype) -> None:
    size, classes = torch.linspace(0.5, 2, 60, dtype=torch.float64).to(dtype), torch.tensor([0, 1, 2]).repeat(20)
    x = torch.stack([size, classes.to(dtype)], dim=1)
    for gain in (2.0, 60.0, 300.0):
        model = with_weights(
            CrossEntropyInside(FORMS[form]), dtype, linear__weight=[[gain], [0.0], [1.0]], linear__bias=[0.0] * 3
        )
        found = measured(model, OwnLoss(), x, torch.zeros(60, dtype=dtype), linear__bias=3)
        expected = np.zeros((60, 3))
        with mp.workdps(400):
            for sample, (number, true) in enumerate(zip(size.tolist(), classes.tolist(), strict=True)):
                powers = [mp.exp(mp.mpf(weight) * number) for weight in (gain, 0.0, 1.0)]
                for unit, power in enumerate(powers):
                    error = power / mp.fsum(powers) - (unit == true)
                    expected[sample, unit] = float(mp.log(abs(error)))
        logs = found.series.log_size["linear.bias"]
        assert np.abs(logs - expected).max() < (1e-9 if dtype == torch.float64 else 1e-4)
        assert found.log_floor is None or found.log_floor < expected.min()


class Attention(nn.Module):
    """Self-attention by torch or by hand, and the mean of its output over tokens."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.query, self.key, self.value, self.last = (nn.Linear(2, 2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        if self.form == "by hand":
            scores = q @ k.transpose(1, 2) / 2**0.5
            later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
            y = torch.softmax(scores.masked_fill(later, -torch.inf), dim=-1) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.last(y).mean(dim=1)[:, :1]


@pytest.mark.parametrize("form", ["by hand", "torch"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_with_large_logits(form: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Attention(form).to(dtype)
    model.query.weight.data *= 25
    model.query.bias.data *= 25
    x = torch.randn(8, 3, 2, dtype=dtype)
    found = measured(model, OwnLoss(), x, torch.zeros(8, dtype=dtype), query__bias=2)
    logs, compared = found.series.log_size["query.bias"], 0
    with mp.workdps(300):
        weights = {name: mp.matrix(value.double().tolist()) for name, value in model.named_parameters()}
        for sample, tokens in enumerate(x.double().tolist()):
            for unit in range(2):

                def output(moved: mp.mpf, unit: int = unit, tokens: list[list[float]] = tokens) -> mp.mpf:
                    return _attended(weights, tokens, unit, moved)

                step = mp.mpf(10) ** -120
                true = mp.log(abs((output(step) - output(-step)) / (2 * step)))
                if true > -700:
                    compared += 1
                    assert logs[sample, unit] == pytest.approx(
                        float(true), abs=1e-6 if dtype == torch.float64 else 3e-3
                    )
    assert compared > 10


def _attended(weights: dict[str, mp.matrix], tokens: list[list[float]], unit: int, moved: mp.mpf) -> mp.mpf:
    """First output of `Attention`, with one entry of the query's bias moved."""

    def dense(name: str, x: mp.matrix) -> mp.matrix:
        return weights[f"{name}.weight"] * x + weights[f"{name}.bias"]

    entered = [mp.matrix(token) for token in tokens]
    q, k, v = ([dense(name, token) for token in entered] for name in ("query", "key", "value"))
    total = mp.mpf(0)
    for at in range(len(entered)):
        query = q[at].copy()
        query[unit] += moved
        powers = [mp.exp((query.T * k[other])[0] / mp.sqrt(2)) for other in range(at + 1)]
        y = sum((v[other] * powers[other] for other in range(at + 1)), mp.matrix(2, 1)) / mp.fsum(powers)
        total += dense("last", y)[0]
    return total / len(entered)
