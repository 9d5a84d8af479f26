"""Fits on cells that are not equal, many windows at once, against a direct search for the maximum."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from critlearn.inference.counts.cells import Cells
from critlearn.inference.laws.power_law_uneven_cells import fit_windows, log_likelihood
from reference.power_law_samples import integers


def test_many_windows_of_a_histogram_are_fitted_as_each_by_itself() -> None:
    """``P(cell) = (b^theta - a^theta) / (hi^theta - lo^theta)`` has a closed form, whatever the edges."""
    generator = np.random.default_rng(0)
    edges = np.sort(np.exp(generator.uniform(0.0, 6.0, 41)))
    # Of a law of k = 1.4, so that the information expected is the curvature that is observed.
    counts = generator.multinomial(200_000, np.diff(edges**-0.4) / np.diff(edges[[0, -1]] ** -0.4))[None] * 1.0
    start, stop = (ends[:25] for ends in np.triu_indices(36, 6))
    theta, information, score = fit_windows(Cells(np.log(edges)), counts, start, stop + 1, below=False, above=False)
    for at, (first, last) in enumerate(zip(start, stop + 1, strict=True)):
        inside, bounds = counts[0, first:last], edges[first : last + 1]

        def loss(t: float, inside: np.ndarray = inside, bounds: np.ndarray = bounds) -> float:
            masses = np.diff((bounds / bounds[-1]) ** t) / (1 - (bounds[0] / bounds[-1]) ** t)
            return -float(inside @ np.log(masses))

        best = scipy.optimize.minimize_scalar(loss, bounds=(-8.0, 8.001), method="bounded", options={"xatol": 1e-9})
        error = (inside.sum() * information[at]) ** -0.5
        assert theta[at] == pytest.approx(best.x, abs=1e-2 * error)
        curvature = (loss(best.x + error) + loss(best.x - error) - 2 * loss(best.x)) / error**2
        assert information[at] * inside.sum() == pytest.approx(curvature, rel=0.05)
    # At the maximum the score is zero, next to the sum of 1e4 or more values of order one.
    np.testing.assert_allclose(score, 0, atol=0.1)


@pytest.mark.parametrize("k", [1.3, 1.8, 2.5, 3.5, 6.0])
def test_integers_to_infinity_have_the_maximum_of_zeta(k: float) -> None:
    values = integers(k, 1, 20_000, 1)
    cells = Cells.integers(1, int(values.max()))
    assert cells.first_integer is not None
    at = np.searchsorted(cells.first_integer, values, side="right") - 1
    counts = np.bincount(at, minlength=len(cells)).astype(np.float64)
    start = np.flatnonzero(cells.first_integer[:-1] <= 5)
    theta, _, _ = fit_windows(cells, counts[None], start, np.full(len(start), len(cells)), below=False, above=True)
    for first, found in zip(start, theta, strict=True):
        lowest = int(cells.first_integer[first])
        kept = values[values >= lowest]
        if np.unique(kept).size < 5:
            continue
        logs, n = float(np.log(kept).mean()), kept.size

        def loss(exponent: float, logs: float = logs, lowest: int = lowest) -> float:
            return exponent * logs + math.log(scipy.special.zeta(exponent, lowest))

        best = scipy.optimize.minimize_scalar(loss, bounds=(1.01, 12.0), method="bounded", options={"xatol": 1e-9}).x
        h = 1e-3
        error = ((loss(best + h) + loss(best - h) - 2 * loss(best)) / h**2 * n) ** -0.5
        # Cells of several integers and those beyond the largest are integrals, not sums.
        assert 1 - found == pytest.approx(best, abs=0.1 * error)


def test_the_likelihood_of_integers_is_that_of_their_sums() -> None:
    cells = Cells.integers(1, 150)
    counts = np.random.default_rng(3).poisson(5.0, 150).astype(np.float64)
    x = np.arange(1.0, 151.0)
    masses = x**-1.7 / (x**-1.7).sum()
    expected = float(counts @ np.log(masses))
    assert log_likelihood(cells, counts, -0.7, below=False, above=False) == pytest.approx(expected, rel=1e-12)
    x = np.arange(1.0, 151.0)
    expected = float(counts @ np.log(x**-1.7 / scipy.special.zeta(1.7, 1)))
    assert log_likelihood(cells, counts, -0.7, below=False, above=True) == pytest.approx(expected, rel=1e-4)


def test_windows_without_a_maximum_have_none() -> None:
    cells = Cells(np.log([1.0, 2.0, 5.0, 7.0, 20.0]))
    counts = np.array([[5.0, 0.0, 0.0, 0.0]])
    theta, _, _ = fit_windows(cells, counts, np.array([0, 1]), np.array([4, 4]), below=False, above=False)
    assert np.isnan(theta).all()
