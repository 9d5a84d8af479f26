"""Inverse of channels against closed forms and roots found in many digits."""

import math

import mpmath
import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.prediction import parse_density
from critlearn.prediction.push_forward.branches import Branch, branches_of
from critlearn.prediction.push_forward.channel import BiasChannel, WeightChannel
from critlearn.prediction.push_forward.inversion import inverse, inverses


def test_the_zero_of_a_squared_error_is_reached_to_the_last_digit_of_its_place() -> None:
    channel = BiasChannel(Composition("identity", "mse"))
    for low, high, side in ((-1.0, 1.0, -1), (1.0, 2.0, 1)):
        # The zero itself has ln delta = -inf; the branch ends right beside it.
        ends = (low, 1 - 2e-16) if side < 0 else (1 + 4e-16, high)
        branch = Branch(*ends, *channel.log_fluctuation(np.array(ends)))
        log_delta = np.linspace(-30, 0, 301)
        found = inverse(channel, branch, log_delta)
        np.testing.assert_allclose(found, 1 + side * np.exp(log_delta) / 2, rtol=0, atol=4.5e-16)


def test_an_exponential_tail_is_inverted_where_the_error_is_below_the_smallest_float() -> None:
    channel = BiasChannel(Composition("sigmoid", "bce"))
    branch = Branch(0.0, 5000.0, *channel.log_fluctuation(np.array([0.0, 5000.0])))
    log_delta = np.linspace(-4999, -1, 997)
    found = inverse(channel, branch, log_delta)
    # 1 - sigmoid(y) = delta: y = ln(1/delta - 1).
    exact = np.array([float(mpmath.log(mpmath.exp(-mpmath.mpf(u)) - 1)) for u in log_delta])
    np.testing.assert_allclose(found, exact, rtol=1e-15, atol=1e-15)


def test_a_root_of_tiny_size_is_found_to_its_own_last_digit() -> None:
    channel = WeightChannel(BiasChannel(Composition("identity", "mse")))
    # |2 x (x - 1)| = delta: x = (1 - sqrt(1 - 2 delta)) / 2 ~ delta / 2.
    branch = Branch(1e-300, 0.5, *channel.log_fluctuation(np.array([1e-300, 0.5])))
    log_delta = np.linspace(-600, -1, 401)
    found = inverse(channel, branch, log_delta)
    with mpmath.workdps(600):
        exact = [float((1 - mpmath.sqrt(1 - 2 * mpmath.exp(mpmath.mpf(u)))) / 2) for u in log_delta]
    # ln delta = -600 itself is rounded to 600 units in its last place.
    np.testing.assert_allclose(found, exact, rtol=600 * 2.3e-16)


@pytest.mark.parametrize("activation", ["sin(5*y)", "softsign", "erf"])
def test_many_branches_are_inverted_together_as_each_by_itself(activation: str) -> None:
    channel = BiasChannel(Composition(activation, "mse"), target=0.5 if "sin" in activation else 1.0)
    branches = [b for b in branches_of(parse_density("normal(0,1)"), channel) if not b.constant]
    targets = [np.linspace(*sorted((b.log_low, b.log_high)), 57)[1:-1] for b in branches]
    for branch, target, found in zip(branches, targets, inverses(channel, branches, targets), strict=True):
        assert ((found >= branch.low) & (found <= branch.high)).all()
        first, _ = channel.derivatives(found)
        # A unit in the last place of x moves l by |l'| units; beside a fold l itself is rounded.
        allowed = 8 * 2.3e-16 * (np.abs(first) * np.maximum(np.abs(found), 1e-3) + np.abs(target) + 1)
        assert (np.abs(channel.log_fluctuation(found) - target) <= np.maximum(allowed, 1e-12)).all()


def test_values_beyond_a_branch_are_its_ends() -> None:
    channel = BiasChannel(Composition("tanh", "mse"))
    branch = Branch(0.0, 3.0, *channel.log_fluctuation(np.array([0.0, 3.0])))
    found = inverse(channel, branch, np.array([-math.inf, -100.0, 100.0]))
    np.testing.assert_array_equal(found, [3.0, 3.0, 0.0])
