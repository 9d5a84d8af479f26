"""Dense layers without the zeros of their inputs: against sums in exact arithmetic, and gradients against autograd."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.fluctuations import Quantities
from critlearn.network.backward.sparse_inputs import SparseInputs
from reference.networks import loop_of_autograd


@pytest.fixture(autouse=True)
def _whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small layers too, which are not worth it."""
    monkeypatch.setattr("critlearn.network.backward.sparse_inputs._WORTH", 0)


def _sparse(shape: tuple[int, int], share: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < share)


def _layer(width: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Weights of single precision, held in double precision."""
    torch.manual_seed(width)
    return nn.Linear(width, outputs, bias=bias).double().requires_grad_(False)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 70),
    outputs=st.integers(1, 40),
    samples=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.05, 0.2]),
    bias=st.booleans(),
    double=st.booleans(),
)
def test_outputs_are_the_exact_sums_to_rounding(
    width: int, outputs: int, samples: int, share: float, bias: bool, double: bool
) -> None:
    x, layer = _sparse((samples, width), share, width + outputs), _layer(width, outputs, bias=bias)
    got = SparseInputs(layer)(x.double() if double else x)
    if got is None:
        # A small sample may by chance hold too few zeros.
        assert x[::8].count_nonzero() > 0.35 * x[::8].numel()
        return
    assert got.dtype == torch.float64
    weight, shift = layer.weight.numpy(), layer.bias.numpy() if bias else np.zeros(outputs)
    for sample, output in np.ndindex(samples, outputs):
        # Products of numbers of single precision are exact in double precision, and fsum adds them exactly.
        terms = [float(shift[output]), *(x.double().numpy()[sample] * weight[output])]
        bound = (width + 1) * 2.0**-53 * sum(map(abs, terms))
        assert abs(float(got[sample, output]) - math.fsum(terms)) <= bound


def test_it_is_left_to_torch_where_it_is_not_worth_it_or_not_the_same() -> None:
    layer = _layer(8, 3)
    x = _sparse((16, 8), 0.1, 0)
    assert SparseInputs(layer)(x) is not None
    assert SparseInputs(layer)(torch.ones(16, 8)) is None
    assert SparseInputs(layer)(x[:, None]) is None
    assert SparseInputs(layer)(x[:, :7]) is None
    assert SparseInputs(layer)(x[:0]) is None
    beyond, infinite = copy.deepcopy(layer), copy.deepcopy(layer)
    beyond.weight[0, 0] = 1 / 3
    infinite.weight[0, 0] = math.inf
    assert SparseInputs(beyond)(x) is None
    assert SparseInputs(infinite)(x) is None


def test_inputs_that_are_no_numbers_are_passed_on() -> None:
    x = torch.zeros(2, 8)
    x[1, 5] = math.nan
    output = SparseInputs(_layer(8, 3))(x)
    assert output is not None
    assert output[0].isfinite().all()
    assert output[1].isnan().all()


def _gradients(model: nn.Module, x: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Changes by plain autograd in double precision, shape (sample, variable)."""
    loss = nn.CrossEntropyLoss()
    found = loop_of_autograd(copy.deepcopy(model).double(), lambda y, label: loss(y[None], label.long()), x.double(), t)
    return {name: -value.flatten(1) for name, value in found.items()}


@pytest.mark.parametrize("averaged", [False, True])
def test_fluctuations_of_sparse_data_are_those_of_autograd(monkeypatch: pytest.MonkeyPatch, averaged: bool) -> None:
    used = []
    called = SparseInputs.__call__

    def noted(self: SparseInputs, x: Tensor) -> Tensor | None:
        used.append(output := called(self, x))
        return output

    monkeypatch.setattr(SparseInputs, "__call__", noted)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 7), nn.Tanh(), nn.Linear(7, 4))
    x, t = _sparse((40, 30), 0.2, 1), torch.randint(4, (40,))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    options = Quantities(without_drift=True, mini_batch=4) if averaged else Quantities(units=("0.weight",), series=20)
    flu = measure(system, batch_size=16, exact=True, quantities=options)
    assert any(output is not None for output in used)
    for name, changes in _gradients(model, x, t).items():
        if averaged:
            changes = (changes - changes.mean(dim=0)).reshape(10, 4, -1).mean(dim=1)
        sizes = np.sort(np.log(changes[changes != 0].abs().numpy()))
        below = np.concatenate([[0], np.cumsum(flu[name].counts)])
        assert flu[name].zeros == int((changes == 0).sum())
        # Rounding may carry what lies within it of an edge to the other side, and nothing else.
        assert (np.searchsorted(sizes, flu[name].edges - 1e-9) <= below).all()
        assert (below <= np.searchsorted(sizes, flu[name].edges + 1e-9)).all()


def test_a_lazy_minus_sign_is_no_obstacle() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 7), nn.Tanh(), nn.Linear(7, 4))
    x, t = _sparse((40, 30), 0.2, 1), torch.randint(4, (40,))
    lazy = torch.complex(x, -x).conj().imag
    assert lazy.is_neg()
    systems = [NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(each, t)) for each in (x, lazy)]
    plain, got = (measure(system, exact=True) for system in systems)
    assert dict(got) == dict(plain)
