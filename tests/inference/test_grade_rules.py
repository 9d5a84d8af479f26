"""Windows that need no power law of their own, and windows where there are no values."""

import math

import numpy as np
import pytest

from critlearn.inference import Criteria, Grade, Histogram, fit_power_law
from critlearn.inference.grade_rules import FINITE_AT_ZERO
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law

FEW = Criteria(replicates=50)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["exponential", "gaussian", "student"])
def test_the_flat_start_of_a_density_is_no_power_law(kind: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    draws = {
        "exponential": generator.exponential(size=20_000),
        "gaussian": np.abs(generator.standard_normal(20_000)),
        "student": np.abs(generator.standard_t(3, 20_000)),
    }
    fit = fit_power_law(draws[kind], criteria=FEW)
    if kind == "student":
        # Its tail is one, of exponent 4, which few values reach.
        assert not fit.established or fit.exponent == pytest.approx(4.0, abs=0.8)
        return
    assert fit.grade is Grade.COMPATIBLE
    assert {FINITE_AT_ZERO, kind} & set(fit.rivals)


@pytest.mark.parametrize("sigma", [3.0, 4.0])
def test_a_piece_of_a_wide_lognormal_is_told_from_a_power_law(sigma: float) -> None:
    fit = fit_power_law(np.exp(sigma * np.random.default_rng(1).standard_normal(20_000)), criteria=FEW)
    assert fit.grade is Grade.COMPATIBLE
    assert "lognormal" in fit.rivals
    assert fit.rival is not None
    assert fit.rival.name == "lognormal"
    assert fit.to_dict()["rival"]["bic_gain"] > 0


def test_a_power_law_beside_a_lognormal_body_is_left_alone() -> None:
    generator = np.random.default_rng(2)
    body = np.exp(-np.abs(1.5 * generator.standard_normal(10_000)))
    values = np.concatenate([power_law(1.5, 1.0, 1e3, 10_000, 2), body])
    fit = fit_power_law(values, criteria=FEW)
    assert fit.grade is Grade.POWER_LAW
    assert fit.rival is not None
    assert fit.rival.bic_gain < -100


def test_a_window_far_wider_than_the_values_is_rejected() -> None:
    values = power_law(1.0, 1e-4, 1.0, 5_000, 0)
    fit = fit_power_law(values, (1e-8, 1e4), criteria=FEW)
    assert fit.grade is Grade.REJECTED
    assert "beyond the values" in fit.reason
    # A steep tail has no values far out, and needs none.
    steep = fit_power_law(power_law(2.5, 1.0, math.inf, 5_000, 0), (1.0, 1e8), criteria=FEW)
    assert steep.exponent == pytest.approx(2.5, abs=4 * 1.5 / 5_000**0.5)


def test_zeros_alone_are_answered_alike() -> None:
    answers = [fit_power_law(np.zeros(100)), fit_power_law(np.zeros(100, dtype=int), discrete=True)]
    for fit in answers:
        assert fit.grade is Grade.TOO_FEW
        assert (fit.zeros, fit.reason) == (100, "all values are exact zeros")


@pytest.mark.parametrize(("k", "low", "high", "noise"), [(1.0, 1e-4, 1.0, 1e-3), (1.5, 1e-2, 10.0, 2e-2)])
def test_a_law_above_a_floor_of_noise_is_found(k: float, low: float, high: float, noise: float) -> None:
    """The floor is flat, and wider in decades than the law."""
    values = power_law(k, low, high, 50_000, 7) + noise * np.random.default_rng(8).standard_normal(50_000)
    fit = fit_power_law(np.abs(values))
    # Over less than two decades a drift by 0.2 is hardly excluded: a lognormal may be named.
    assert fit.grade is Grade.POWER_LAW or (fit.grade is Grade.COMPATIBLE and fit.rivals == ("lognormal",))
    assert fit.window is not None
    assert fit.window.lo > noise
    # What noise leaves at the lower end of the window bends the law by a few hundredths.
    assert fit.exponent == pytest.approx(k, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_pooling_over_scales_is_no_power_law(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.abs(generator.standard_normal(50_000)) * np.exp(2 * generator.standard_normal(50_000))
    assert not fit_power_law(values, seed=seed, criteria=FEW).established


def test_a_window_beyond_the_values_is_one_for_all_kinds_of_data() -> None:
    """Empty bins that were given, or that a sketch has everywhere, are known to be empty."""
    values = power_law(1.0, 1e-4, 1.0, 5000, 9)
    edges = np.geomspace(1e-8, 1e4, 601)
    for data in (values, LogSketch.from_values(values), Histogram(np.histogram(values, edges)[0], edges)):
        fit = fit_power_law(data, Window(1e-8, 1e4))
        assert fit.grade is Grade.REJECTED
        assert "reaches beyond the values" in fit.reason
        # The decades are those of the values.
        assert fit.decades == pytest.approx(4.0, abs=0.03)
