"""Trend of the loss against straight lines fitted elsewhere, its error rates by simulation, and the split R-hat."""

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.signal import lfilter
from scipy.stats import linregress, nct

from critlearn.equilibrium import loss_trend
from critlearn.equilibrium.criteria import LOSS_WINDOW
from critlearn.equilibrium.trend import loss_r_hat
from critlearn.errors import InvalidInputError

FLAT = [1.0 + 0.01 * (-1) ** i * (1 + i % 3) for i in range(LOSS_WINDOW)]


def stationary(losses: np.ndarray, check: int = 1) -> bool:
    trend = loss_trend(losses.tolist(), check=check)
    assert trend is not None
    return trend.stationary


@pytest.mark.parametrize("check", [1, 7, 97])
@pytest.mark.parametrize("size", [1.0, 1e-12, 1e9])
def test_the_line_is_that_of_linear_regression(check: int, size: float) -> None:
    generator = np.random.default_rng(check)
    losses = size * (1 - 0.004 * np.arange(LOSS_WINDOW) + 0.02 * generator.standard_normal(LOSS_WINDOW))
    found = loss_trend(losses.tolist(), check=check)
    assert found is not None
    line = linregress(np.arange(LOSS_WINDOW), losses)
    assert found.fall * found.scatter == pytest.approx(-line.slope, rel=1e-9)
    # Squared differences of white noise have twice its variance, but for the line that was taken off.
    residuals = losses - np.polyval([line.slope, line.intercept], np.arange(LOSS_WINDOW))
    of_differences = math.sqrt(np.mean(np.diff(residuals) ** 2) / 2)
    about_the_line = math.sqrt(np.sum(residuals**2) / (LOSS_WINDOW - 2))
    assert found.scatter == pytest.approx(min(of_differences, about_the_line), rel=1e-3)
    # A fall at the bound would give one as small as this with the probability of the check's level.
    error = math.sqrt(12 / (LOSS_WINDOW * (LOSS_WINDOW**2 - 1)))
    # SciPy's inverse of the noncentral law is exact to 6% of a level of 1e-5.
    level = nct.cdf(found.fall / error, 39.56, found.bound / error)
    assert level == pytest.approx(0.1 / (check * (check + 1)), rel=0.1)
    assert found.stationary == (found.bound < 0.1)


def test_only_the_last_losses_count() -> None:
    losses = np.random.default_rng(0).normal(size=LOSS_WINDOW).tolist()
    assert loss_trend([1e6, math.nan, *losses]) == loss_trend(losses)
    assert loss_trend(losses[1:]) is None


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 1e300])
def test_units_of_the_loss_do_not_matter(factor: float) -> None:
    losses = 1 + 0.1 * np.random.default_rng(1).normal(size=LOSS_WINDOW)
    here, there = loss_trend(losses.tolist()), loss_trend((factor * losses).tolist())
    assert here is not None
    assert there is not None
    assert there.fall == pytest.approx(here.fall, rel=1e-9)
    assert there.bound == pytest.approx(here.bound, rel=1e-9)
    assert there.scatter == pytest.approx(factor * here.scatter, rel=1e-9)


def test_a_large_constant_does_not_hide_the_trend() -> None:
    losses = 0.1 * np.random.default_rng(2).normal(size=LOSS_WINDOW) - 0.05 * np.arange(LOSS_WINDOW)
    near, far = loss_trend(losses.tolist()), loss_trend((1e4 + losses).tolist())
    assert near is not None
    assert far is not None
    # 1e-6 of the loss counts as scatter: 0.01 beside 0.1.
    assert far.fall == pytest.approx(near.fall, rel=6e-3)


def test_losses_that_are_constant_are_stationary_and_those_that_fall_smoothly_are_not() -> None:
    assert stationary(np.ones(LOSS_WINDOW))
    assert stationary(np.zeros(LOSS_WINDOW))
    # A full batch gives a smooth loss: what matters is its fall beside itself.
    epoch = np.arange(float(LOSS_WINDOW))
    assert stationary(1 - 1e-9 * epoch)
    assert not stationary(1 - 1e-5 * epoch)
    assert not stationary(1e-8 * np.exp(-0.01 * epoch))
    assert not stationary(1 / (1 + epoch))
    # One that rises moves, too.
    assert not stationary(1 + 1e-3 * epoch)


def test_losses_must_be_finite() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="finite"):
            loss_trend([*FLAT, value])


@pytest.mark.parametrize(
    ("fall", "correlation", "least", "most"),
    [
        (0.1, 0.0, 0.02, 0.05),
        (0.1, 0.5, 0.0, 0.05),
        (0.1, -0.5, 0.0, 0.05),
        (0.0, 0.0, 0.95, 1.0),
        (0.0, 0.5, 0.95, 1.0),
        (0.0, -0.5, 0.95, 1.0),
    ],
)
def test_error_rates_of_a_single_check(fall: float, correlation: float, least: float, most: float) -> None:
    """A fall of exactly the excluded one passes at no more than the level of the first check, 0.1 / 2."""
    series, generator = 2000, np.random.default_rng(3)
    white = generator.standard_normal((series, LOSS_WINDOW + 20)) * math.sqrt(1 - correlation**2)
    noise = lfilter([1], [1, -correlation], white)[:, 20:]
    share = sum(stationary(50 + row - fall * np.arange(LOSS_WINDOW)) for row in noise) / series
    spread = 4 * math.sqrt(0.05 * 0.95 / series)
    assert least - spread <= share <= most + spread


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.5])
def test_repeated_checks_accept_a_falling_loss_in_less_than_a_tenth_of_all_trainings(correlation: float) -> None:
    series, generator = 300, np.random.default_rng(4)
    white = generator.standard_normal((series, 620)) * math.sqrt(1 - correlation**2)
    accepted = 0
    for noise in lfilter([1], [1, -correlation], white)[:, 20:]:
        losses = 1000 + noise - 0.1 * np.arange(600)
        ends = range(LOSS_WINDOW, 601, 10)
        accepted += any(stationary(losses[:end], check) for check, end in enumerate(ends, start=1))
    assert accepted / series <= 0.1
    # White noise is accepted in a few per cent: the test would be empty if no series were.
    assert accepted > 0 or correlation > 0


def test_r_hat_is_that_of_arviz_and_of_its_definition() -> None:
    losses = np.random.default_rng(0).normal(size=35).cumsum()
    last = losses[-20:]
    got = loss_r_hat(list(losses))
    assert got is not None
    # Gelman and Rubin: between and within variance of the two halves.
    halves = last.reshape(2, -1)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = n * halves.mean(axis=1).var(ddof=1)
    assert got == pytest.approx(math.sqrt(((n - 1) / n * within + between / n) / within), rel=1e-12)
    # arviz' own split, of two chains that are the same: its four half-chains have a between variance of 2/3 of ours.
    split = float(array_stats.rhat(np.stack([last, last]), method="split"))
    assert split == pytest.approx(math.sqrt(((n - 1) / n * within + 2 / 3 * between / n) / within), rel=1e-12)


def test_r_hat_that_does_not_exist_is_none() -> None:
    assert loss_r_hat([1.0] * 19) is None
    assert loss_r_hat([math.nan] * 20) is None
    assert loss_r_hat([1.0] * 20) == 1.0
    # Two constant halves that differ have no variance within: R-hat is infinite.
    assert loss_r_hat([1.0] * 10 + [2.0] * 10) is None


def test_losses_long_past_do_not_count_for_r_hat() -> None:
    falling = [math.exp(-0.1 * i) for i in range(40)]
    assert loss_r_hat(falling + FLAT[:20]) == loss_r_hat(FLAT[:20])
