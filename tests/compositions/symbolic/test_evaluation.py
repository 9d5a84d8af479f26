"""Half-lines of numbers, of which 0 and -0 are on one, and constants to as many digits as are asked for."""

from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
import torch

from critlearn.compositions.symbolic.evaluation import evaluate, half_line_of
from critlearn.compositions.symbolic.functions import s


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_minus_zero_is_on_the_half_line_of_zero(kind: type) -> None:
    numbers = np.array([-np.inf, -1e-40, -0.0, 0.0, 1e-40, np.inf], dtype=kind)
    expected = [-1, -1, 1, 1, 1, 1]
    assert half_line_of(numbers).tolist() == expected
    assert half_line_of(torch.from_numpy(numbers)).tolist() == expected
    assert [half_line_of(mp.mpf(float(number))) for number in numbers] == expected


def test_a_half_line_keeps_the_type_and_has_no_derivative() -> None:
    at = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    assert half_line_of(at).dtype == torch.float32
    assert not half_line_of(at).requires_grad
    (slope,) = torch.autograd.grad((at * half_line_of(at)).sum(), at)
    assert slope.tolist() == [-1, 1, 1]


@pytest.mark.parametrize(
    ("constant", "exact"), [(sp.E, lambda: +mp.e), (sp.pi, lambda: +mp.pi), (sp.Rational(1, 3), lambda: mp.mpf(1) / 3)]
)
def test_constants_have_the_digits_of_the_numbers_beside_them(constant: sp.Expr, exact: Callable[[], mp.mpf]) -> None:
    with mp.workdps(50):
        assert abs(evaluate(constant * s, {s: mp.mpf(2)}) - 2 * exact()) < mp.mpf(10) ** -48
