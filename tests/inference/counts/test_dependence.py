"""Dependence of neighbours is measured where values come in an order, and errors are over blocks for it."""

import math

import numpy as np
import pytest
import scipy.signal

from critlearn.inference import Criteria, fit_power_law
from critlearn.inference.counts.dependence import autocorrelation_time, block_length
from reference.power_law_samples import autocorrelated, power_law

FEW = Criteria(replicates=50)


def gaussian(phi: float, n: int, seed: int) -> np.ndarray:
    """Exponentials of a stationary AR(1) process of variance 1."""
    noise = np.random.default_rng(seed).standard_normal(n + 2000)
    return np.exp(scipy.signal.lfilter([math.sqrt(1 - phi**2)], [1, -phi], noise)[2000:])


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.9])
def test_the_time_of_an_autoregressive_process(phi: float) -> None:
    expected = (1 + phi) / (1 - phi)
    found = np.array([autocorrelation_time(gaussian(phi, 100_000, seed)) for seed in range(3)], dtype=np.float64)
    # A sum over about M = 5 times lags has relative variance 2 (2 M + 1) / n (Priestley), here with ample M.
    error = math.sqrt(2 * (2 * 5 * expected + 1) / 100_000)
    assert np.abs(found / expected - 1).max() < 4 * error


@pytest.mark.parametrize("seed", range(5))
def test_independent_values_have_none(seed: int) -> None:
    values = power_law(2.0, 1.0, 1e6, 20_000, seed)
    assert autocorrelation_time(values) is None
    assert autocorrelation_time(np.repeat(values[:10], 3)) is None
    assert autocorrelation_time(np.full(1000, 2.0)) is None


def test_sorted_values_are_no_series() -> None:
    values = np.sort(power_law(2.0, 1.0, 1e6, 20_000, 0))
    assert autocorrelation_time(values) is None
    assert autocorrelation_time(values[::-1]) is None
    # Sorted in two pieces, as two files one after the other.
    assert autocorrelation_time(np.concatenate([values[::2], values[1::2]])) is None


def test_one_sample_after_the_other_is_no_series() -> None:
    """Steps in level are pooled samples, of which an exponent is asked as of any pool."""
    samples = [power_law(2.0, 10.0**level, 1e6, 5_000, level) for level in range(3)]
    assert autocorrelation_time(np.concatenate(samples)) is None


def test_blocks_are_five_times_and_twenty_at_least() -> None:
    assert block_length(3.0, 10_000) == 15
    assert block_length(300.0, 10_000) == 500


def test_an_interval_of_dependent_values_covers_and_says_so() -> None:
    values = autocorrelated(2.0, 0.95, 10_000, 0)
    fit = fit_power_law(values, criteria=FEW)
    alone = fit_power_law(values, block=1, criteria=FEW)
    assert fit.autocorrelation_time is not None
    assert alone.autocorrelation_time is None
    assert fit.effective_n is not None
    assert fit.effective_n < 0.3 * fit.n
    assert fit.ci95 is not None
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(2.0, abs=4 * fit.standard_error)
    assert fit.naive_standard_error is not None
    assert fit.standard_error > 2 * fit.naive_standard_error
