"""Windows keep logarithms, so that their ends may lie beyond the range of floats."""

import math

import pytest

from critlearn.numerics.window import Window, format_exp


def test_decades_are_exact_far_below_the_smallest_float() -> None:
    window = Window.from_logs(-2000 * math.log(10), -1990 * math.log(10))
    assert window.decades == pytest.approx(10, rel=1e-12)
    assert window.lo == 0.0
    assert Window.from_logs(0.0, 1000.0).hi == math.inf


def test_ends_above_the_largest_float_read_as_infinite() -> None:
    window = Window.from_logs(1e5, 1e6)
    assert (window.lo, window.hi) == (math.inf, math.inf)
    assert window.decades == pytest.approx(9e5 / math.log(10), rel=1e-12)


def test_ends_come_back() -> None:
    window = Window(1e-30, 0.25)
    assert window.lo == pytest.approx(1e-30, rel=1e-13)
    assert window.hi == pytest.approx(0.25, rel=1e-13)
    assert Window.from_logs(window.log_lo, window.log_hi) == window


@pytest.mark.parametrize(
    "ends",
    [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (1.0, math.nan), (1.0, math.inf)],
)
def test_ends_that_bound_nothing_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 < lo < hi"):
        Window(*ends)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (math.nan, 1.0), (-math.inf, 0.0), (0.0, math.inf)])
def test_logarithms_that_bound_nothing_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="log_lo < log_hi"):
        Window.from_logs(*ends)


@pytest.mark.parametrize(
    ("log_value", "text"),
    [
        (0.0, "1"),
        (-1000.0, "5.08e-435"),
        (1000.0, "1.97e+434"),
        (-30 * math.log(10), "1e-30"),
        (-1000.0001 * math.log(10), "1e-1000"),
    ],
)
def test_numbers_beyond_floats_are_written_as_numbers(log_value: float, text: str) -> None:
    assert format_exp(log_value) == text
