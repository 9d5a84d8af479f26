"""How exponents come to their limits, against expansions by hand."""

import pytest

from critlearn.compositions import Composition

# lambda = ln|dh/dy| and the first term that is left of kappa = 1 + lambda'' / lambda'^2.
RIGHT = [
    ("softsign", "mse", "exact"),  # -3 ln(1 + m)
    ("tanh", "mse", "exponential"),  # -4 m + 3 exp(-2 m)
    ("tanh", "huber", "exponential"),  # the residual is small: as mse
    ("erf", "bce", "O(m^-2)"),  # -m^2: kappa = 1 - 1/(2 m^2)
    ("isru", "mse", "O(m^-2)"),  # -5 ln m + O(m^-2)
    ("arctan", "mse", "O(m^-2)"),  # -3 ln m + O(m^-2)
]
WRONG = [
    ("erf", "bce", "O(m^-2)"),  # ln m + O(m^-2): exp(m^2) of the loss cancels exp(-m^2) of the slope
    ("isru", "focal", "O(m^-2 ln(m))"),  # -ln m + c p ln p with p ~ m^-2
    ("softsign", "focal", "O(m^-1)"),  # -ln m + c ln(m)/m, of which the logarithms cancel in kappa
]


@pytest.mark.parametrize(("activation", "loss", "approach"), RIGHT)
def test_approach_at_large_margin(activation: str, loss: str, approach: str) -> None:
    assert Composition(activation, loss).asymptotic().approach == approach


@pytest.mark.parametrize(("activation", "loss", "approach"), WRONG)
def test_approach_at_large_negative_margin(activation: str, loss: str, approach: str) -> None:
    side = next(side for side in Composition(activation, loss).all_asymptotes() if side.location == "margin -> -inf")
    assert side.approach == approach


@pytest.mark.parametrize(
    ("output", "approach"),
    [
        ("y*log(2 + abs(y))", "slower than any power"),  # ln y + 2 ln ln y: kappa ~ 1/ln(y)
        ("y*(1 + (1 + y**2)**(-1/6))", "O(y^-(1/3))"),  # ln y + c y^-(1/3)
    ],
)
def test_approach_where_the_output_grows(output: str, approach: str) -> None:
    ends = [side for side in Composition(output, "mse").all_asymptotes() if side.location in ("y -> inf", "y -> -inf")]
    assert [side.approach for side in ends] == [approach] * 2


def test_approach_to_a_zero() -> None:
    """Near y0 the error of a curved output is c (y - y0) (1 + d (y - y0)): kappa is linear in the distance."""
    sides = Composition("y*log(2 + abs(y))", "mse").all_asymptotes()
    assert [side.approach for side in sides if "residual" in side.location] == ["O(|y - y0|)"]
