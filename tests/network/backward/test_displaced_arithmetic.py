"""Passes in which every operation is off by its rounding: by how much, and what is left alone."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from critlearn.network.backward.displaced_arithmetic import DisplacedArithmetic


def numbers(count: int = 3000) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_results_are_off_by_about_one_spacing_of_numbers(kind: torch.dtype) -> None:
    x = numbers().to(kind)
    with DisplacedArithmetic():
        y = x + 3
    off = ((y.double() - (x + 3).double()) / (x + 3).double()).abs() / torch.finfo(kind).eps
    # By none, one or two units, and the displacement itself is rounded too.
    assert float(off.max()) <= 2.5
    assert bool((y.abs() <= (x + 3).abs()).all())
    assert 0.2 < float((off == 0).double().mean()) < 0.5


def test_a_complement_that_is_rounded_away_is_of_the_size_of_rounding() -> None:
    y = torch.full((1000,), 50.0, dtype=torch.float64, requires_grad=True)
    with DisplacedArithmetic():
        rest = 1 - torch.sigmoid(y)
        (slope,) = torch.autograd.grad(torch.sigmoid(y).sum(), y)
    assert bool((1 - torch.sigmoid(y) == 0).all())
    for found in (rest.detach(), slope):
        assert 1e-17 < float(found.abs().max()) < 1e-15


def test_products_that_underflow_are_no_zeros_and_true_zeros_stay() -> None:
    tiny = torch.tensor([1e-200, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([-800.0, 800.0, -math.inf, 1.0], dtype=torch.float64)
    with DisplacedArithmetic():
        square = tiny * tiny
        (slope,) = torch.autograd.grad((square * torch.tensor([1e-300, 1.0, 1.0], dtype=torch.float64)).sum(), tiny)
        powers = [torch.exp(x), torch.softmax(x, 0), functional.softplus(x[:1]), torch.sigmoid(x)]
        positive = torch.relu(x)
    assert [float(value) > 0 for value in square] == [True, False, True]
    assert [float(value) > 0 for value in slope] == [True, False, True]
    assert [[float(value) > 0 for value in part] for part in powers] == [
        [True, True, False, True], [True, True, False, True], [True], [True, True, False, True],
    ]  # fmt: skip
    assert positive.tolist() == [0, 800, 0, 1]


def test_what_is_moved_or_chosen_stays_and_integers_too() -> None:
    x, place = numbers(12).reshape(3, 4), torch.tensor([2, 0])
    first = torch.zeros(3, 1, dtype=torch.long)
    moves = [
        lambda x: x.clone(), lambda x: x.t().contiguous(), lambda x: torch.cat([x, x]), lambda x: x[place],
        lambda x: x.gather(1, first), lambda x: x.masked_fill(x > 0, 0.0), lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.amax(1), lambda x: x.float().double(), lambda x: -x, lambda x: x.abs(), lambda x: x - x,
        lambda x: functional.max_pool1d(x, 2), lambda x: functional.pad(x, (1, 1)), lambda x: x.clamp(min=0.1),
        lambda x: functional.embedding(place, x),
    ]  # fmt: skip
    with DisplacedArithmetic():
        moved = [move(x) for move in moves]
        count = torch.arange(6) + 2**30
        total = torch.zeros(3, 4, dtype=torch.float64)
        total += x
    plain = [move(x) for move in moves]
    for one, other in zip(moved, plain, strict=True):
        assert torch.equal(one, other)
    assert count.tolist() == list(range(2**30, 2**30 + 6))
    assert not torch.equal(total, x)
    assert torch.allclose(total, x, rtol=1e-15, atol=0)


def test_it_is_the_same_each_time_and_leaves_the_global_generator() -> None:
    state, found = torch.random.get_rng_state(), []
    for _ in range(2):
        with DisplacedArithmetic():
            found.append(numbers().exp())
    assert torch.equal(*found)
    with DisplacedArithmetic():
        torch.ones(3) * 2
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_acts_within_vmap() -> None:
    x = numbers(6).reshape(2, 3)
    with DisplacedArithmetic():
        found = torch.func.vmap(torch.func.grad(lambda row: (row.exp() * row).sum()))(x)
    exact = x.exp() * (1 + x)
    assert torch.allclose(found, exact, rtol=1e-14, atol=0)
    assert not torch.equal(found, exact)
