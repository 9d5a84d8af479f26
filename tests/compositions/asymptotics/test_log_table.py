"""Tables of logarithms against values in many digits: as fine as needed, and no further than they hold."""

import math

import mpmath
import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.compositions.asymptotics.log_table import Row, tabulated
from critlearn.errors import InvalidInputError


@pytest.mark.parametrize("power", [9, 41, 99])
def test_steep_powers_inside_a_saturating_output(power: int) -> None:
    composition = Composition(f"erf(y**{power})", "mse")
    # Where ln|delta| is not below -500.
    end = 250 ** (1 / (2 * power))
    margins = np.concatenate([np.linspace(0.3, 0.98, 12), np.linspace(0.985, end, 60)])

    def exact(y: float) -> float:
        with mpmath.workdps(50):
            u = mpmath.mpf(y) ** power
            slope = 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-u * u) * power * mpmath.mpf(y) ** (power - 1)
            return float(mpmath.log(2 * mpmath.erfc(u) * slope))

    found = composition.log_error_signal(margins, 1.0)
    # A unit in the last place of y is power^2 times as much in the exponent.
    np.testing.assert_allclose(found, [exact(y) for y in margins], rtol=2e-9, atol=1e-8)


@pytest.mark.parametrize("end", [3.0, -3.0])
def test_nodes_are_added_where_the_function_bends(end: float) -> None:
    def row(u: float) -> Row:
        # -exp(30 u) - u, of ln x, on one side of 0 only.
        sign = math.copysign(1.0, end)
        e = math.exp(30 * sign * u - 60)
        return (-e - u, -30 * sign * e - 1, -900 * e, -27000 * sign * e)

    table = tabulated(row, 0.0, end)
    assert table is not None
    u = np.linspace(min(0.0, end), max(0.0, end), 1001)
    wanted = np.array([row(float(one))[0] for one in u])
    kept = np.abs(wanted) < 400
    found = table.taylor(0, u, np.exp(u), np)
    np.testing.assert_allclose(found[kept], wanted[kept], rtol=3e-9, atol=3e-9)
    assert np.diff(table.nodes).min() < 1 / 32 < np.diff(table.nodes).max()


def test_a_table_ends_where_values_do() -> None:
    def row(u: float) -> Row | None:
        return (u, 1.0, 0.0, 0.0) if u < 0.7 else None

    table = tabulated(row, 0.0, 3.0)
    assert table is not None
    assert 0.7 - 1 / 32 < table.stop < 0.7
    # A power law goes on as one.
    assert table.taylor(0, np.array([5.0]), np.exp(np.array([5.0])), np)[0] == pytest.approx(5.0, rel=1e-12)


def test_what_no_table_can_follow_is_refused() -> None:
    def row(u: float) -> Row:
        f = 3e4
        return (math.sin(f * u), f * math.cos(f * u), -(f**2) * math.sin(f * u), -(f**3) * math.cos(f * u))

    with pytest.raises(InvalidInputError, match="changes too fast"):
        tabulated(row, 0.0, 14.0)
