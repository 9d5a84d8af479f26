"""Differences by logarithms against mpmath, also where exponentials underflow."""

import mpmath
import numpy as np
import pytest
import torch

from critlearn.inverse_design.log_differences import LOG_ZERO, log_difference

PAIRS = [(0.0, -1.0), (-800.0, -801.0), (-801.0, -800.0), (5.0, 5.0 - 1e-9), (-3.0, LOG_ZERO), (LOG_ZERO, -3.0)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("library", [np, torch])
def test_differences_of_exponentials(first: float, second: float, library: object) -> None:
    numbers = [np.array([x]) for x in (first, second)]
    a, b = numbers if library is np else map(torch.from_numpy, numbers)
    sign, log_size = log_difference(library, a, b)
    with mpmath.workdps(60):
        true = mpmath.exp(mpmath.mpf(first)) - mpmath.exp(mpmath.mpf(second))
        assert float(sign[0]) == mpmath.sign(true)
        assert float(log_size[0]) == pytest.approx(float(mpmath.log(abs(true))), abs=1e-6)


def test_equal_numbers_leave_nothing() -> None:
    sign, log_size = log_difference(np, np.array([-2.0]), np.array([-2.0]))
    assert (log_size == LOG_ZERO).all()
    assert sign[0] == 0
