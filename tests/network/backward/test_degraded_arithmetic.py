"""Passes with fewer digits, or a smaller range, against NumPy's single precision and plain thresholds."""

import math

import numpy as np
import pytest
import torch

from critlearn.network.backward.degraded_arithmetic import DegradedArithmetic, flushed, log_gain, rounded


def numbers(count: int = 2000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = torch.randint(-20, 20, (count,), generator=generator).double()
    return torch.randn(count, generator=generator, dtype=torch.float64) * 10.0**size


def test_double_precision_is_rounded_to_the_digits_of_single_precision() -> None:
    value = numbers()
    assert torch.equal(rounded(value), torch.from_numpy(value.numpy().astype(np.float32).astype(np.float64)))


def test_single_precision_keeps_half_of_its_digits() -> None:
    value = numbers().float()
    off = ((rounded(value).double() - value.double()) / value.double()).abs()
    # 12 of 24 binary digits are left: the last one counts 2^-11 of the first, and rounding is off by half of it.
    assert 2.0**-14 < float(off.max()) <= 2.0**-12
    assert torch.equal(rounded(rounded(value)), rounded(value))


def test_too_large_for_splitting_stays() -> None:
    value = torch.tensor([1e305, -1e308, math.inf], dtype=torch.float64)
    assert torch.equal(rounded(value), value)


def test_small_numbers_are_zero() -> None:
    value = torch.tensor([2.0**-499, -(2.0**-499), 2.0**-501, -(2.0**-501), 0.0], dtype=torch.float64)
    assert flushed(value).tolist() == [2.0**-499, -(2.0**-499), 0.0, 0.0, 0.0]


@pytest.mark.parametrize("degrade", [rounded, flushed])
def test_every_operation_is_degraded_also_on_the_way_back(degrade) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([1.1, 0.7], dtype=torch.float64, requires_grad=True)
    tiny = torch.tensor([2.0**-300, 1.0], dtype=torch.float64)
    with DegradedArithmetic(degrade):
        y = x * tiny * tiny
        (gradient,) = torch.autograd.grad(y.sum(), x)
    step = degrade(degrade(x.detach() * tiny) * tiny)
    assert torch.equal(y.detach(), step)
    assert torch.equal(gradient, degrade(tiny * tiny))
    assert (float(gradient[0]) == 0) is (degrade is flushed)


def test_results_in_place_are_degraded_and_views_and_integers_are_not() -> None:
    value = numbers(6)
    with DegradedArithmetic(rounded):
        view = value.reshape(2, 3)
        total = torch.zeros(2, 3, dtype=torch.float64)
        total += view
        count = torch.arange(6) + 2**30
    assert view.data_ptr() == value.data_ptr()
    assert torch.equal(total, rounded(value).reshape(2, 3))
    assert count.tolist() == list(range(2**30, 2**30 + 6))


def test_gain_is_that_of_the_digits_or_of_the_range() -> None:
    assert log_gain(rounded, torch.float64) == pytest.approx(math.log(2.0**53 / 2.0**24))
    # ln 2^-500 against the smallest normal number of double precision, 2^-1022.
    assert log_gain(flushed, torch.float64) == pytest.approx(522 * math.log(2))
