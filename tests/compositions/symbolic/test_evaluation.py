"""Sides of numbers: 0 and -0 are one."""

import mpmath as mp
import numpy as np
import pytest
import torch

from critlearn.compositions.symbolic.evaluation import side_of


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_minus_zero_is_on_the_side_of_zero(kind: type) -> None:
    numbers = np.array([-np.inf, -1e-40, -0.0, 0.0, 1e-40, np.inf], dtype=kind)
    expected = [-1, -1, 1, 1, 1, 1]
    assert side_of(numbers).tolist() == expected
    assert side_of(torch.from_numpy(numbers)).tolist() == expected
    assert [side_of(mp.mpf(float(number))) for number in numbers] == expected


def test_a_side_keeps_the_type_and_has_no_derivative() -> None:
    at = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    assert side_of(at).dtype == torch.float32
    assert not side_of(at).requires_grad
    (slope,) = torch.autograd.grad((at * side_of(at)).sum(), at)
    assert slope.tolist() == [-1, 1, 1]
