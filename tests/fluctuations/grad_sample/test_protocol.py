"""Every form of per-sample gradients under the same tests, against one backward pass for each sample."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.fluctuations.counting.cpu import CpuCounter
from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.convolution import unfolded
from critlearn.fluctuations.grad_sample.sparse_rows import SparseRows, exact_zeros
from critlearn.fluctuations.grad_sample.tied import TiedGradSample, summed_over_uses
from critlearn.fluctuations.grad_sample.unfolded_products import UnfoldedProducts
from reference.plain_gradients import assert_same_counts

SAMPLES, WIDTH, OUTPUTS, TOKENS, ROWS = 6, 5, 3, 4, 7


@dataclass(frozen=True)
class Case:
    """One form, and its gradients by automatic differentiation, one sample after the other: (sample, variable)."""

    grad_sample: GradSample
    expected: Tensor
    units: int


def _autograd(weight: Tensor, loss: Callable[[Tensor, int], Tensor]) -> Tensor:
    rows = []
    for sample in range(SAMPLES):
        value = weight.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(value, sample), value)
        rows.append(gradient.flatten())
    return torch.stack(rows)


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _dense(logs: bool) -> Case:
    errors, inputs = _normal(1, SAMPLES, OUTPUTS), _normal(2, SAMPLES, WIDTH)
    inputs[0, 1] = errors[2, 0] = 0.0
    form = errors[:, None, None], inputs[:, None, None]
    expected = _autograd(
        _normal(3, OUTPUTS, WIDTH), lambda weight, k: (functional.linear(inputs[k], weight) * errors[k]).sum()
    )
    return Case(OuterProducts(*form, form[0].abs().log() if logs else None), expected, OUTPUTS)


def _sequence() -> Case:
    errors, inputs = _normal(4, SAMPLES, TOKENS, OUTPUTS), _normal(5, SAMPLES, TOKENS, WIDTH)
    expected = _autograd(
        _normal(6, OUTPUTS, WIDTH), lambda weight, k: (functional.linear(inputs[k], weight) * errors[k]).sum()
    )
    return Case(OuterProducts(errors[:, None], inputs[:, None]), expected, OUTPUTS)


def _convolution() -> Case:
    layer = nn.Conv1d(4, 6, 2, groups=2, padding=1).double()
    inputs, errors = _normal(7, SAMPLES, 4, 5), _normal(8, SAMPLES, 6, 6)

    def loss(weight: Tensor, k: int) -> Tensor:
        return (functional.conv1d(inputs[k : k + 1], weight, padding=1, groups=2) * errors[k]).sum()

    by_group = errors.reshape(SAMPLES, 2, 3, 6).transpose(2, 3)
    return Case(UnfoldedProducts(by_group, inputs, partial(unfolded, layer)), _autograd(layer.weight.detach(), loss), 6)


TOKEN = torch.randint(ROWS, (SAMPLES, 2), generator=torch.Generator().manual_seed(9))
TOKEN[1] = TOKEN[0] = torch.tensor([2, 5])


def _table_rows(errors: Tensor) -> SparseRows:
    keys, place = (torch.arange(SAMPLES)[:, None] * ROWS + TOKEN).flatten().unique(return_inverse=True)
    values = errors.new_zeros(len(keys), WIDTH).index_add(0, place, errors.flatten(0, 1))
    return SparseRows(values, keys // ROWS, keys % ROWS, ROWS, SAMPLES)


def _embedding() -> Case:
    errors = _normal(10, SAMPLES, 2, WIDTH)
    expected = _autograd(
        _normal(11, ROWS, WIDTH), lambda table, k: (functional.embedding(TOKEN[k], table) * errors[k]).sum()
    )
    return Case(_table_rows(errors), expected, ROWS)


def _tied() -> Case:
    errors, inputs, below = _normal(12, SAMPLES, ROWS), _normal(13, SAMPLES, WIDTH), _normal(14, SAMPLES, 2, WIDTH)
    scale = _normal(15, SAMPLES)

    def loss(table: Tensor, k: int) -> Tensor:
        used = (functional.linear(inputs[k], table) * errors[k]).sum() * scale[k].exp()
        return used + (functional.embedding(TOKEN[k], table) * below[k]).sum()

    uses = [(OuterProducts(errors[:, None, None], inputs[:, None, None]), scale)]
    uses += [(_table_rows(below), torch.zeros_like(scale))]
    form, unit = summed_over_uses(uses)
    assert isinstance(form, TiedGradSample)
    return Case(form, _autograd(_normal(16, ROWS, WIDTH), loss) * (-unit).exp()[:, None], ROWS)


def _written_out(logs: bool) -> Case:
    values = _dense(logs=False).expected
    return Case(Materialised(values, values.abs().log() if logs else None), values, OUTPUTS)


CASES = {
    "dense": partial(_dense, logs=False),
    "dense, logarithms": partial(_dense, logs=True),
    "sequence": _sequence,
    "convolution": _convolution,
    "embedding": _embedding,
    "tied": _tied,
    "written out": partial(_written_out, logs=False),
    "written out, logarithms": partial(_written_out, logs=True),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def _assert_close(found: Tensor, expected: Tensor) -> None:
    """Relative differences: exact zeros are exact zeros, whatever the size of the others."""
    assert found.shape == expected.shape
    assert torch.equal(found == 0, expected == 0)
    assert torch.allclose(found, expected, rtol=1e-10, atol=0)


def test_entries_and_their_logarithms(case: Case) -> None:
    index = torch.tensor([0, 7, 3, case.expected.shape[1] - 1])
    for found, expected in (
        (case.grad_sample.entries(), case.expected),
        (case.grad_sample.entries(index), case.expected[:, index]),
    ):
        _assert_close(found.values, expected)
        logs, positive = found.logs()
        assert torch.equal(positive[expected != 0], expected[expected != 0] > 0)
        assert torch.allclose(logs, expected.abs().log(), rtol=0, atol=1e-10)


def test_facts(case: Case) -> None:
    assert (case.grad_sample.samples, case.grad_sample.precision) == (SAMPLES, torch.float64)
    assert case.grad_sample.in_range


@pytest.mark.parametrize("exact", [True, False])
def test_counts(case: Case, exact: bool) -> None:
    counter = CpuCounter(2, exact=exact)
    scale = 3 * _normal(17, SAMPLES)
    case.grad_sample.count(counter, scale, torch.arange(SAMPLES))
    assert_same_counts(counter.sketch(), (case.expected * scale.exp()[:, None]).numpy(), 2)


def test_counts_of_units(case: Case) -> None:
    for unit, part in enumerate(case.grad_sample.units(case.units)):
        expected = case.expected.unflatten(1, (case.units, -1))[:, unit]
        counter = CpuCounter(2, exact=True)
        part.count(counter, torch.zeros(SAMPLES, dtype=torch.float64), torch.arange(SAMPLES))
        assert_same_counts(counter.sketch(), expected.numpy(), 2)


def test_linear_combinations(case: Case) -> None:
    weight = _normal(18, SAMPLES).abs()
    rows = torch.tensor([4, 1, 1])
    _assert_close(case.grad_sample.select(rows).dense(), case.expected[rows])
    _assert_close(case.grad_sample.scaled(weight).dense(), case.expected * weight[:, None])
    means = (case.expected * weight[:, None]).reshape(-1, 3, case.expected.shape[1]).mean(dim=1)
    averaged = case.grad_sample.averaged(weight, 3)
    assert averaged.samples == SAMPLES // 3
    _assert_close(averaged.dense(), means)
    assert torch.allclose(case.grad_sample.weighted_sum(weight), weight @ case.expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("written_out", [1, 1 << 22])
def test_projections_and_inner_products(case: Case, written_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critlearn.fluctuations.grad_sample.protocol.WRITTEN_OUT", written_out)
    direction, weight = _normal(19, case.expected.shape[1]), _normal(20, SAMPLES).exp()
    assert torch.allclose(case.grad_sample.projected(direction), case.expected @ direction, rtol=1e-10, atol=1e-13)
    weighted = case.expected * weight[:, None]
    assert torch.allclose(case.grad_sample.inner_products(weight), weighted @ weighted.T, rtol=1e-10, atol=1e-13)


def test_means_that_cancel_are_exact_zeros(case: Case) -> None:
    """Twice 1/10 less three times 1/15 of the same sample: zero but for rounding."""
    rows = torch.tensor([[4] * 5, [3] * 5])
    weight = torch.tensor([[0.1, 0.1, -1 / 15, -1 / 15, -1 / 15]] * 2, dtype=torch.float64)
    assert not case.grad_sample.combined(rows, weight).dense().any()


@pytest.mark.parametrize("written_out", [1, 1 << 22])
def test_moments(case: Case, written_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("protocol", "outer_products"):
        monkeypatch.setattr(f"critlearn.fluctuations.grad_sample.{module}.WRITTEN_OUT", written_out)
    weight = -_normal(19, SAMPLES).abs()
    found = case.grad_sample.moments(weight)
    expected = (case.expected * weight[:, None]).numpy()
    assert found.samples == SAMPLES
    np.testing.assert_allclose(found.mean * found.peak, expected.mean(axis=0), rtol=1e-10, atol=1e-14)
    deviation = (found.squares / SAMPLES).sqrt() * found.peak
    # Where products are not written out, sums of one sign are in single precision.
    rounding = 1e-9 if written_out > 1 else 2e-6
    np.testing.assert_allclose(deviation, expected.std(axis=0), rtol=rounding, atol=1e-14)
    np.testing.assert_allclose(found.size * found.peak, np.abs(expected).mean(axis=0), rtol=rounding, atol=0)
    assert np.array_equal(found.movers, (expected != 0).sum(axis=0))


def test_runs_are_all_samples_in_order(case: Case) -> None:
    variables = case.expected.shape[1]
    runs = list(case.grad_sample.runs(4 * variables, torch.device("cpu"), multiple=3))
    assert [run.tolist() for run in runs] == [[0, 1, 2], [3, 4, 5]]
    assert [len(run) for run in case.grad_sample.runs(4 * variables, torch.device("cpu"))] == [4, 2]


def test_products_below_the_smallest_number_keep_logarithm_and_sign() -> None:
    errors = torch.tensor([[1e-300, -1e-250, 0.0]], dtype=torch.float64)[:, None, None]
    inputs = torch.tensor([[1e-200, -1e-100, 0.0, 1e-310]], dtype=torch.float64)[:, None, None]
    form = OuterProducts(errors, inputs, errors.abs().log())
    index = torch.tensor([5, 0, 1, 11])
    logs, positive = (part[0].reshape(3, 4) for part in form.entries().logs())
    expected = errors[0, 0, 0, :, None].abs().log() + inputs[0, 0, 0].abs().log()
    assert torch.allclose(logs, expected, rtol=1e-14, atol=0)
    signs = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    nonzero = ~torch.isneginf(expected)
    assert torch.equal(positive[nonzero], signs[nonzero])
    some, some_positive = (part[0] for part in form.entries(index).logs())
    assert torch.equal(some, logs.flatten()[index])
    assert torch.equal(some_positive[:3], signs.flatten()[index[:3]])
    smaller_form = form.scaled(torch.tensor([1e-100], dtype=torch.float64))
    smaller, smaller_positive = (part[0].reshape(3, 4) for part in smaller_form.entries().logs())
    assert torch.allclose(smaller, expected + math.log(1e-100), rtol=1e-14, atol=0)
    assert torch.equal(smaller_positive[nonzero], signs[nonzero])
    assert not form.in_range


def test_all_zeros_are_counted_without_being_written_out() -> None:
    form, log_scale = exact_zeros(50_000, torch.zeros(4, dtype=torch.float64))
    counter = CpuCounter(2)
    form.count(counter, log_scale, torch.arange(4))
    assert counter.sketch().zeros == counter.sketch().count == 200_000


def test_single_precision_stays_single_but_for_weighted_sums() -> None:
    errors, inputs = torch.ones(3, 1, 2, 2), torch.full((3, 1, 2, 4), 1 / 3)
    form = OuterProducts(errors, inputs)
    assert form.averaged(torch.ones(3).double(), 3).precision == torch.float32
    total = form.weighted_sum(torch.ones(3, dtype=torch.float64))
    assert torch.equal(total, torch.full((8,), float(np.float32(1 / 3)) * 6, dtype=torch.float64))
