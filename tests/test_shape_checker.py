"""The checker of the test run refuses wrong types and shapes, of arguments and of results."""

from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float

from critlearn.numerics.log_sketch import LogSketch
from shape_checker import FIRST, ONE_OF, begin_test, check, checked

Vector = Float[np.ndarray, "n"]


def _joined(left: Vector, right: Vector) -> Vector:
    return np.append(left, right)


def _first(left: Vector, right: Vector) -> Vector:
    return left


def _half(number: float) -> float:
    return "no number" if number == 1 else number / 2  # type: ignore[return-value]


def _named(number: float) -> "Unknown":  # type: ignore[name-defined]
    return number


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    return checked(function, typechecker=check)


def test_sizes_that_have_one_name_must_be_equal() -> None:
    two, three = np.zeros(2), np.zeros(3)
    assert _checked(_first)(two, two) is two
    for function, arguments in ((_first, (two, three)), (_joined, (two, two)), (_first, (two, 2.0))):
        with pytest.raises(jaxtyping.TypeCheckError):
            _checked(function)(*arguments)


def test_types_without_a_shape_are_checked() -> None:
    half = _checked(_half)
    assert half(3) == 1.5
    for number in (1.0, "3"):
        with pytest.raises(jaxtyping.TypeCheckError):
            half(number)
    assert _checked(_named)(2.0) == 2.0


def test_the_first_calls_of_each_test_and_one_of_many_are_checked() -> None:
    half = _checked(_half)

    def refused() -> bool:
        try:
            return half(1.0) != "no number"
        except jaxtyping.TypeCheckError:
            return True

    for _ in range(2):
        begin_test()
        places = [place for place in range(1, 3 * ONE_OF + 1) if refused()]
        assert places == [*range(1, FIRST + 1), ONE_OF, 2 * ONE_OF, 3 * ONE_OF]


@pytest.mark.usefixtures("without_shape_checker")
def test_switched_off_it_refuses_nothing() -> None:
    assert _checked(_half)(1) == "no number"
    assert _checked(_joined)(np.zeros(2), np.zeros(3)).size == 5


def test_the_package_is_checked() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        LogSketch.from_values("no array")  # type: ignore[arg-type]
