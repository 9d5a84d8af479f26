"""Limits at the ends of the line: numbers far out tend to them, and expansions by hand give them."""

import math

import numpy as np
import pytest

from critlearn.compositions import Asymptote, Composition, find_activation, find_loss
from critlearn.compositions.tails.ends import asymptote_at_end, mirrored
from critlearn.numerics.time_budget import Allowance


def at_end(activation: str, loss: str, t: float, end: int, seconds: float = 5.0) -> Asymptote:
    budgets = {"symbolic": Allowance(seconds), "numeric": Allowance(seconds)}
    return asymptote_at_end(find_activation(activation), find_loss(loss), t, end, **budgets)


@pytest.mark.parametrize(
    ("activation", "loss", "end", "exponent", "tail", "fluctuations"),
    [
        ("softsign", "mse", 1, 4 / 3, "m^-3", "small"),  # gap m^-1, slope m^-2
        ("tanh", "bce", 1, 1, "exp(-2 m)", "small"),
        ("tanh", "mae", 1, 1, "exp(-2 m)", "small"),
        ("tanh", "bce", -1, None, "constant", "constant"),  # exp(-2 m) of the slope cancels exp(2 m) of the loss
        ("erf", "mse", 1, 1, "exp(-2 m^2)", "small"),
        ("identity", "mse", 1, 0, "e", "large"),
        ("identity", "cauchy", 1, 2, "e^-1", "small"),
        ("identity", "welsch", 1, 1, "exp(-e^2)", "small"),
        ("asinh", "mse", 1, 2, "|y|^-1 ln(|y|)", "small"),
        ("elu", "mse", -1, 1, "exp(-|y|)", "small"),  # the output tends to -1, the target is 1
        ("square", "mse", -1, 2 / 3, "|y|^3", "large"),
    ],
)
def test_limits_by_hand(
    activation: str, loss: str, end: int, exponent: float | None, tail: str, fluctuations: str
) -> None:
    found = at_end(activation, loss, 1.0, end)
    assert found.exponent == (None if exponent is None else pytest.approx(exponent, abs=1e-15))
    assert (found.tail, found.fluctuations, found.place) == (tail, fluctuations, end * math.inf)


@pytest.mark.parametrize("activation", ["softsign", "isru", "slow-softsign", "algebraic-3"])
@pytest.mark.parametrize("loss", ["mse", "bce", "focal"])
def test_exponents_far_out_tend_to_the_limit(activation: str, loss: str) -> None:
    limit = at_end(activation, loss, 1.0, 1).exponent
    assert limit is not None
    far = Composition(activation, loss).intrinsic_exponent(np.array([1e3, 1e5]))
    assert abs(far[1] - limit) <= abs(far[0] - limit) + 1e-9
    assert abs(far[1] - limit) < 2e-3


def test_without_time_for_rules_the_limit_is_extrapolated_and_says_so() -> None:
    budgets = {"symbolic": Allowance(0.0), "numeric": Allowance(30.0)}
    found = asymptote_at_end(find_activation("isru"), find_loss("mse"), 1.0, 1, **budgets)
    assert (found.method, found.exact) == ("numeric", None)
    assert found.uncertainty is not None
    assert abs(found.exponent - 6 / 5) <= found.uncertainty + 1e-12 < 1e-3  # m^-5
    nothing = {"symbolic": Allowance(0.0), "numeric": Allowance(0.0)}
    assert asymptote_at_end(find_activation("isru"), find_loss("mse"), 1.0, 1, **nothing).exponent is None


def test_the_other_end_of_an_even_error_signal_is_taken_over() -> None:
    identity, mse = find_activation("identity"), find_loss("mse")
    upper = at_end("identity", "mse", 0.0, 1)
    lower = mirrored(identity, mse, 0.0, upper)
    assert lower is not None
    assert (lower.exponent, lower.tail, lower.place) == (upper.exponent, upper.tail, -math.inf)
    assert mirrored(identity, mse, 1.0, upper) is None
    assert mirrored(find_activation("tanh"), mse, 1.0, upper) is None
