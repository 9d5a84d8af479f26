"""Orders of zeros measured close by: the error holds where corrections fall slowly, and what has no order has none."""

from collections.abc import Callable

import mpmath
import pytest

from critlearn.compositions.tails.local_order import measured_order

ORDER = mpmath.sqrt(2)


def with_corrections(*terms: tuple[float, float]) -> Callable[[mpmath.mpf], tuple[mpmath.mpf, ...]]:
    """Slope of ``ln(r^n (1 + sum c r^p))``."""
    exact = [(mpmath.mpf(c), mpmath.mpf(p)) for c, p in terms]

    def slopes(r: mpmath.mpf) -> tuple[mpmath.mpf, ...]:
        whole = 1 + sum(c * r**p for c, p in exact)
        return (ORDER / r + sum(c * p * r ** (p - 1) for c, p in exact) / whole,)

    return slopes


@pytest.mark.parametrize(
    ("terms", "most"),
    [
        (((1, 0.1),), 0.05),
        (((1, 0.16), (1, 0.2)), 0.05),
        (((1, 0.2), (3, 0.4)), 0.01),
        (((1, 0.25), (2, 0.3)), 1e-3),
        (((1, 1 / 3), (-2, 0.5)), 1e-3),
        (((1, 0.5), (1, 0.6)), 1e-5),
        (((2, 0.7), (5, 0.8)), 1e-6),
        (((1, 1.0), (1, 2.0)), 1e-15),
    ],
)
def test_the_error_covers_what_the_extrapolation_misses(terms: tuple[tuple[float, float], ...], most: float) -> None:
    found = measured_order(with_corrections(*terms), mpmath.mpf(0), 1)
    assert found is not None
    assert abs(found.value - float(ORDER)) <= found.error < most


@pytest.mark.parametrize("power", [-1.0, 0.5, 1.0, 2.0])
def test_beside_a_logarithm_the_error_is_as_large_as_what_it_leaves(power: float) -> None:
    """``r^n ln(r)^power``."""
    found = measured_order(lambda r: (ORDER / r + power / (r * mpmath.log(r)),), mpmath.mpf(0), 1)
    assert found is not None
    assert abs(found.value - float(ORDER)) <= found.error < 0.1 * abs(power)


def test_an_exponential_of_the_inverse_distance_has_no_order() -> None:
    """``exp(-1/r)``: ``r lambda' = 1/r`` grows without end."""
    assert measured_order(lambda r: (1 / r**2,), mpmath.mpf(0), 1) is None
