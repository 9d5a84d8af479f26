"""Values at rising precision against closed forms; what never agrees is said to have no digits."""

import mpmath
import pytest

from critlearn.numerics.precision_ladder import resolved


def same(a: mpmath.mpf, b: mpmath.mpf) -> bool:
    return b != 0 and abs(a - b) < mpmath.mpf(10) ** -15 * abs(b)


@pytest.mark.parametrize(("x", "digits"), [(5, 60), (40, 120), (200, 480)])
def test_cancelling_values_are_those_of_a_form_that_does_not_cancel(x: int, digits: int) -> None:
    # 1 - tanh x = 2 / (exp(2 x) + 1) has 0.87 x leading zeros: with these and 15 more digits it is right for once.
    value, sufficient = resolved(lambda: 1 - mpmath.tanh(x), (30, 60, 120, 240, 480), same)
    assert value is not None
    assert abs(value / (2 / (mpmath.exp(2 * x) + 1)) - 1) < 1e-14
    assert sufficient == digits


def test_what_changes_with_every_precision_is_not_resolved() -> None:
    value, digits = resolved(lambda: mpmath.mpf(mpmath.mp.dps), (10, 20, 40), same)
    assert (value, digits) == (40, None)


def test_a_precision_without_a_value_is_passed_over() -> None:
    tried = []

    def value_of() -> mpmath.mpf | None:
        tried.append(mpmath.mp.dps)
        return None if mpmath.mp.dps < 30 else mpmath.sqrt(2)

    assert resolved(value_of, (10, 20, 30, 60, 120), same)[1] == 60
    assert tried == [10, 20, 30, 60]


def test_the_precision_of_the_caller_is_left_as_it_was() -> None:
    before = mpmath.mp.dps
    resolved(lambda: mpmath.pi + 0, (50, 100), same)
    assert mpmath.mp.dps == before
