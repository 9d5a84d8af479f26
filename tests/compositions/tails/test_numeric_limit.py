"""Numeric limits against known ones, and refusal where there is none."""

import time

import mpmath as mp
import pytest

from critlearn.compositions.tails.numeric_limit import numeric_limit
from critlearn.numerics.time_budget import BudgetExceededError, time_budget


@pytest.mark.parametrize(
    ("function", "limit"),
    [
        (lambda s: (4 * s + 1) / (3 * s + 7), 4 / 3),
        (lambda s: 1 + 1 / mp.sqrt(s), 1.0),
        (lambda s: (1 + 1 / s) ** s, float(mp.e)),
        (lambda s: 2 + mp.exp(-s), 2.0),
        (lambda s: mp.mpf(5), 5.0),
    ],
)
def test_limits_are_within_their_error(function: object, limit: float) -> None:
    found = numeric_limit(function)  # type: ignore[arg-type]
    assert found is not None
    assert abs(found.value - limit) <= found.error + 1e-12
    assert found.error < 1e-3


@pytest.mark.parametrize("function", [mp.sin, mp.log, lambda s: 1 / mp.log(s), lambda s: mp.sqrt(-s)])
def test_no_limit_is_claimed_where_none_is_seen(function: object) -> None:
    assert numeric_limit(function) is None  # type: ignore[arg-type]


def test_time_budget_stops_python_that_would_not_end() -> None:
    def endless() -> None:
        while True:
            abs_of(1)

    def abs_of(value: int) -> int:
        return value

    started = time.process_time()
    with pytest.raises(BudgetExceededError), time_budget(0.05):
        endless()
    assert time.process_time() - started < 2
