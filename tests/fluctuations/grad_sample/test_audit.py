"""Modules of a user's own that treat some samples unlike others: counts are those of autograd all the same."""

import warnings
from collections.abc import Callable
from functools import reduce

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations, Quantities, measure, measure_part
from critlearn.network import NeuralSystem
from reference.networks import seeded
from reference.plain_gradients import assert_same_counts, plain_gradients

SAMPLES = 12


class Two(nn.Module):
    """Two dense layers, passed in some way."""

    def __init__(self, form: Callable[["Two", Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.form = nn.Linear(4, 5), nn.Linear(5, 2), form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(self, x)


class Experts(nn.Module):
    """Each sample goes to one of three experts."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(4, 2) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.bucketize(x[:, 0], torch.tensor([-0.5, 0.5], dtype=x.dtype))
        y = torch.zeros(len(x), 2, dtype=x.dtype)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                y = y.index_add(0, rows, expert(x[rows]))
        return y


def _sorting(net: Two, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    return net.second(torch.tanh(net.first(x[order])))[order.argsort()]


def _weight_for_some(net: Two, x: Tensor) -> Tensor:
    y = net.second(torch.tanh(net.first(x)))
    some = x[:, 0] > 0.9
    wide = torch.cat([x, x[:, :1]], dim=1)
    return y + some[:, None] * functional.linear(wide, net.second.weight) if bool(some.any()) else y


def _gated(net: Two, x: Tensor) -> Tensor:
    wide = torch.cat([x, x[:, :1]], dim=1)
    gate = torch.relu(x[:, :1] - 0.9)
    return net.second(torch.tanh(net.first(x))) + gate * functional.linear(wide, net.second.weight)


def _data(first: list[float]) -> tuple[Tensor, Tensor]:
    """Inputs whose first numbers are given, and targets of very different sizes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64)
    t = torch.randn(SAMPLES, 2, generator=generator, dtype=torch.float64)
    x[:, 0] = torch.tensor(first, dtype=torch.float64)
    return x, t * (3 * t[:, :1]).exp()


def _measured(model: nn.Module, x: Tensor, t: Tensor, quantities: Quantities | None = None) -> Fluctuations:
    with warnings.catch_warnings():
        # That automatic differentiation is used is said.
        warnings.simplefilter("ignore")
        system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t))
        return measure(system, batch_size=4, groups=2, exact=True, quantities=quantities)


# The samples 0, 3, 7 and 11 are looked at beforehand.
IN_ORDER = [-9.0, -2.0, -3.0, -1.0, 4.0, 1.0, -5.0, 0.0, 0.8, 0.7, 0.6, 0.5]
LIKE_ALL = [0.1, 0.2, 0.3, 0.4, 0.5, 1.5, 0.6, -0.5, 0.7, 2.0, 0.1, 0.2]


@pytest.mark.parametrize(("form", "first"), [(_sorting, IN_ORDER), (_weight_for_some, LIKE_ALL), (_gated, LIKE_ALL)])
def test_what_a_module_does_to_some_samples_only_is_counted(
    form: Callable[[Two, Tensor], Tensor], first: list[float]
) -> None:
    model, (x, t) = seeded(lambda: Two(form)), _data(first)
    found = _measured(model, x, t)
    for name, values in plain_gradients(model, nn.MSELoss(), x, t).items():
        assert_same_counts(found[name], values, 2)


@pytest.mark.parametrize("quantities", [None, Quantities(without_drift=True), Quantities(mini_batch=2)])
def test_samples_that_are_not_sent_to_an_expert_count_as_zeros(quantities: Quantities | None) -> None:
    # None of the samples that are looked at, and none of the first batch, goes to the last expert.
    first = [-1.0, -1.0, 0.0, -1.0, 0.0, 1.0, 1.0, -1.0, -1.0, 2.0, 0.0, 0.0]
    model, (x, t) = seeded(Experts), _data(first)
    found = _measured(model, x, t, quantities)
    for name, values in plain_gradients(model, nn.MSELoss(), x, t).items():
        if quantities is not None and quantities.mini_batch > 1:
            values = values.reshape(-1, 2, values.shape[1]).mean(axis=1)
        if quantities is not None and quantities.without_drift:
            values = values - values.mean(axis=0)
        assert_same_counts(found[name], values, 2)


def test_an_expert_of_no_sample_is_refused() -> None:
    x, t = _data([0.0] * SAMPLES)
    with pytest.raises(InvalidInputError, match=r'"experts.0.weight" gets no gradient'):
        _measured(seeded(Experts), x, t)


def test_parts_do_not_depend_on_what_came_before_them() -> None:
    model, (x, t) = seeded(lambda: Two(_weight_for_some)), _data(LIKE_ALL)
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = measure(system, batch_size=4, groups=3)
        parts = [measure_part(system, part, 3, batch_size=4, groups=3) for part in range(3)]
    merged = reduce(Fluctuations.merge, parts)
    assert all(merged[name] == whole[name] for name in whole)


def test_a_use_by_few_samples_is_found_in_the_first_batch_and_holds_from_there_on() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64)
    t = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    x[:, 0] = x[:, 0].clamp(max=0.8)
    # One in fifty, none of them among the four that are looked at beforehand.
    x[40::50, 0] = 1.5
    model = seeded(lambda: Two(_weight_for_some))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = measure(NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t)), groups=2, exact=True)
    assert [str(one.message).partition(":")[0] for one in told] == ["second.weight"]
    for name, values in plain_gradients(model, nn.MSELoss(), x, t).items():
        assert_same_counts(found[name], values, 2)


class Rows(nn.Module):
    """Each sample is passed through a layer on its own, without a dimension of samples."""

    def __init__(self, layer: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, x: Tensor) -> Tensor:
        rows = [self._whole(self.layer(row)) for row in x]
        return self.last(torch.tanh(torch.stack(rows)).flatten(1))

    @staticmethod
    def _whole(found: Tensor | tuple[Tensor, ...]) -> Tensor:
        return found if isinstance(found, Tensor) else found[0]


class OneAttention(nn.Module):
    """Attention of one sample to itself."""

    def __init__(self) -> None:
        super().__init__()
        # Without biases: those of keys have gradients of rounding alone.
        self.attention = nn.MultiheadAttention(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


# Four samples are looked at beforehand: whatever has a first dimension of 4 could be taken for one of samples.
@pytest.mark.parametrize(
    ("layer", "shape", "width"),
    [
        (lambda: nn.Linear(4, 3), (4,), 3),
        (lambda: nn.LayerNorm(4), (4,), 4),
        (lambda: nn.Conv1d(4, 2, 3), (4, 5), 6),
        (lambda: nn.GRU(3, 2), (4, 3), 8),
        (lambda: nn.LSTM(3, 2, batch_first=True), (4, 3), 8),
        (OneAttention, (4, 4), 16),
    ],
)
@pytest.mark.parametrize("batch_size", [3, 4, 7])
def test_a_layer_that_is_called_for_each_sample_is_counted(
    layer: Callable[[], nn.Module], shape: tuple[int, ...], width: int, batch_size: int
) -> None:
    model = seeded(lambda: Rows(layer(), nn.Linear(width, 2)))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(9, *shape, generator=generator, dtype=torch.float64)
    t = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t))
    with pytest.warns(UserWarning, match="automatic differentiation of the whole network"):
        found = measure(system, batch_size=batch_size, groups=2, exact=True)
    for name, values in plain_gradients(model, nn.MSELoss(), x, t).items():
        assert_same_counts(found[name], values, 2)
