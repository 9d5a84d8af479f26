"""Tail theorem of products that are simulated: which factor rules is known from how they were drawn."""

import math

import numpy as np
import pytest

from critlearn.comparison.agreement import Agreement
from critlearn.comparison.ladder import halves as from_halves
from critlearn.comparison.ladder.tail_theorem import TailTheorem, tail_theorem
from critlearn.comparison.predicted_exponent import quantile_window
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window

SAMPLES = 400_000


def power_law(exponent: float, uniform: np.ndarray) -> np.ndarray:
    """``ln x`` of a law ``x^-k``: on (0, 1] for k < 1, from 1 on for k > 1."""
    return np.log(uniform) / (1 - exponent)


def examined(log_error: np.ndarray, log_path: np.ndarray, window: Window | None = None) -> TailTheorem:
    """Tail theorem of a product, by sketches of its factors and of itself."""
    group = np.arange(log_error.size) % 64
    with np.errstate(invalid="ignore"):
        sketches = [
            LogSketch.from_logs(logs, group=group, groups=64) for logs in (log_error, log_path, log_error + log_path)
        ]
    error, path, product = (from_halves.of_sketch(sketch, 1) for sketch in sketches)
    chosen = quantile_window(sketches[2], 0.001, 0.05) if window is None else window
    assert chosen is not None
    measured = product.exponent(chosen)
    assert measured is not None
    middle = float(log_path[np.isfinite(log_path)].mean())
    found = tail_theorem(error.shifted(middle).exponent(chosen), path, measured, chosen)
    assert found is not None
    return found


def test_lognormal_path_factors_leave_the_exponent_of_the_errors() -> None:
    draw = np.random.default_rng(0)
    found = examined(power_law(0.6, draw.random(SAMPLES)), draw.normal(size=SAMPLES))
    assert found.finite
    assert found.depth_matters is False
    assert found.exponent == pytest.approx(0.6, abs=0.02)
    assert found.measured.value == pytest.approx(0.599, abs=0.02)
    assert found.agreement is Agreement.AGREES


@pytest.mark.parametrize(("path", "rules", "follows"), [(0.3, False, 0.6), (0.8, True, 0.8)])
def test_path_factors_with_a_tail_rule_only_if_it_is_the_heavier_one(path: float, rules: bool, follows: float) -> None:
    draw = np.random.default_rng(1)
    found = examined(power_law(0.6, draw.random(SAMPLES)), power_law(path, draw.random(SAMPLES)))
    assert found.path is not None
    assert found.path.value == pytest.approx(path, abs=3 * found.path.standard_error + 1e-3)
    assert found.depth_matters is rules
    assert found.exponent == pytest.approx(follows, abs=0.02)
    assert found.measured.value == pytest.approx(follows, abs=0.03)
    assert found.agreement is Agreement.AGREES


def test_saturated_units_rule_and_dead_ones_only_make_zeros() -> None:
    draw = np.random.default_rng(2)
    # 1 - tanh^2 of pre-activations with an exponential tail exp(-a/2): c ~ 4 exp(-2 a), of density c^(1/4 - 1).
    pre_activation = draw.exponential(2.0, SAMPLES)
    saturated = np.log(4.0) - 2 * pre_activation - 2 * np.log1p(np.exp(-2 * pre_activation))
    error = power_law(0.3, draw.random(SAMPLES))
    found = examined(error, saturated)
    assert found.depth_matters
    assert found.exponent == pytest.approx(0.75, abs=0.02)
    assert found.agreement is Agreement.AGREES
    dead = np.where(draw.random(SAMPLES) < 0.4, -np.inf, math.log(0.5))
    # Of the units that live the path factor is one number: it has no tail, and the errors rule.
    found = examined(error, dead)
    assert found.path is None
    assert found.depth_matters is False
    assert found.exponent == pytest.approx(0.3, abs=0.02)
    assert found.agreement is Agreement.AGREES


@pytest.mark.parametrize(("path", "rules", "follows"), [(1.3, True, 1.3), (2.5, False, 1.6)])
def test_above_one_the_large_end_decides(path: float, rules: bool, follows: float) -> None:
    draw = np.random.default_rng(3)
    error, factor = (power_law(k, draw.random(SAMPLES)) for k in (1.6, path))
    window = quantile_window(LogSketch.from_logs(error + factor), 0.95, 0.999)
    found = examined(error, factor, window)
    assert found.end == "large"
    assert found.depth_matters is rules
    assert found.exponent == pytest.approx(follows, abs=0.03)
    assert found.measured.value == pytest.approx(follows, abs=0.06)
    assert found.agreement is not Agreement.DISAGREES


def test_equal_exponents_leave_it_open() -> None:
    draw = np.random.default_rng(4)
    found = examined(power_law(0.5, draw.random(4000)), power_law(0.5, draw.random(4000)))
    assert found.finite is None
    assert found.exponent is None
    assert found.agreement is Agreement.CANNOT_TELL
    assert "cannot tell which of them rules" in found.summary()


def test_dependent_factors_are_found_out() -> None:
    # Large margins in saturated units: the path factor falls with the error, and the product's exponent is neither's.
    draw = np.random.default_rng(5)
    error = power_law(0.5, draw.random(SAMPLES))
    found = examined(error, 0.5 * error + draw.normal(0, 0.1, SAMPLES))
    # delta = e^1.5 has the exponent 1 - 0.5 / 1.5, while the path factor alone has 1 - 0.5 / 0.5 = 0.
    assert found.measured.value == pytest.approx(2 / 3, abs=0.02)
    assert found.exponent == pytest.approx(0.5, abs=0.02)
    assert found.agreement is Agreement.DISAGREES
