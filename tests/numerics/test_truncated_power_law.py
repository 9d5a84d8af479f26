"""Closed forms of the truncated power law on equal bins against sums in high precision."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from critlearn.errors import InvalidInputError
from critlearn.inference.window.cluster_bootstrap import likelihood_bounds
from critlearn.numerics.truncated_power_law import (
    cumulative,
    exponent_on,
    log_normaliser,
    mean_index,
    solve_phi,
    variance_index,
)
from critlearn.numerics.window import Window

PHIS = [0.0, 1e-12, -1e-7, 1e-4, -1e-3, 0.01, -0.1, 0.7, -3.0]
BINS = [2, 7, 256, 4096]


def oracle(phi: float, bins: int) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """Logarithm of the normaliser, mean and variance of the centred index, by summation."""
    with mpmath.workdps(50):
        index = [mpmath.mpf(j) - mpmath.mpf(bins - 1) / 2 for j in range(bins)]
        weights = [mpmath.exp(mpmath.mpf(phi) * j) for j in index]
        total = mpmath.fsum(weights)
        mean = mpmath.fsum(w * j for w, j in zip(weights, index, strict=True)) / total
        variance = mpmath.fsum(w * (j - mean) ** 2 for w, j in zip(weights, index, strict=True)) / total
        return mpmath.log(total), mean, variance


@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("phi", PHIS)
def test_moments_agree_with_sums_in_fifty_digits(phi: float, bins: int) -> None:
    normaliser, mean, variance = (float(value) for value in oracle(phi, bins))
    at = np.array([phi])
    assert log_normaliser(at, bins)[0] == pytest.approx(normaliser, rel=1e-12)
    assert mean_index(at, bins)[0] == pytest.approx(mean, rel=1e-8, abs=1e-300)
    assert variance_index(at, bins)[0] == pytest.approx(variance, rel=1e-8)


@given(st.floats(-2.0, 2.0), st.integers(2, 5000))
def test_solving_inverts_the_mean(phi: float, bins: int) -> None:
    found = solve_phi(mean_index(np.array([phi]), bins), bins)[0]
    # The mean is known to one part in 1e15 of half the range; what that means for phi, its derivative says.
    error = 1e-13 * bins / float(variance_index(np.array([phi]), bins)[0])
    assert found == pytest.approx(phi, rel=1e-9, abs=1e-12 + error)


def test_exponent_goes_smoothly_through_one() -> None:
    phi = np.linspace(-1e-4, 1e-4, 2001)
    found = solve_phi(mean_index(phi, 512), 512)
    assert np.abs(found - phi).max() < 1e-11
    assert (np.diff(found) > 0).all()


def test_a_mean_at_the_very_end_has_no_finite_parameter() -> None:
    assert np.isposinf(solve_phi(np.array([4.5]), 10))[0]
    assert np.isneginf(solve_phi(np.array([-4.5]), 10))[0]


@pytest.mark.parametrize("phi", [0.0, 0.3, -0.3, 40.0, -40.0, 1e-9])
def test_distribution_function_is_that_of_the_masses(phi: float) -> None:
    index = np.arange(30.0)
    with mpmath.workdps(40):
        masses = [mpmath.exp(mpmath.mpf(phi) * (j - 29)) for j in index]
        expected = [float(mpmath.fsum(masses[:stop]) / mpmath.fsum(masses)) for stop in range(31)]
    np.testing.assert_allclose(cumulative(np.array([phi]), 30)[0], expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(("phi", "bins", "n"), [(0.01, 512, 1000), (-0.02, 256, 60), (0.0, 1000, 10_000)])
def test_likelihood_interval_agrees_with_root_finding(phi: float, bins: int, n: int) -> None:
    mean = float(oracle(phi, bins)[1])

    def loss(value: float) -> float:
        top = phi * mean - float(oracle(phi, bins)[0])
        return 2 * n * (top - value * mean + float(oracle(value, bins)[0])) - scipy.stats.chi2(1).ppf(0.95)

    low, high = likelihood_bounds(np.array([phi]), np.array([float(bins)]), np.array([float(n)]))
    error = (n * float(oracle(phi, bins)[2])) ** -0.5
    assert float(low[0]) == pytest.approx(scipy.optimize.brentq(loss, phi - 6 * error, phi), rel=1e-6, abs=1e-9)
    assert float(high[0]) == pytest.approx(scipy.optimize.brentq(loss, phi, phi + 6 * error), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("k", [-0.5, 1.0, 4 / 3, 3.0])
def test_exponent_of_a_binned_density_is_exact(k: float) -> None:
    edges = np.linspace(-9.0, 1.0, 401)
    weights = [scipy.integrate.quad(lambda u: math.exp((1 - k) * u), a, b)[0] for a, b in itertools.pairwise(edges)]
    assert exponent_on(edges, np.array(weights), Window.from_logs(-7.0, -1.0)) == pytest.approx(k, abs=1e-9)


def test_exponent_of_nothing_is_none() -> None:
    edges = np.linspace(0.0, 5.0, 101)
    assert exponent_on(edges, np.zeros(100), Window.from_logs(1.0, 4.0)) is None


def test_a_window_without_bins_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="fewer than three bins"):
        exponent_on(np.linspace(0.0, 5.0, 11), np.ones(10), Window.from_logs(1.0, 1.6))
