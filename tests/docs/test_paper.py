"""Distributions that the note fits to published histograms: against closed forms, and on counts of known laws."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from critlearn.inference import Histogram
from reference.validation_scripts import module_of

SCRIPT = Path(__file__).parents[2] / "paper" / "mixtures.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return module_of(SCRIPT, "mixtures")


def test_without_spread_a_mixture_is_its_part(script: ModuleType) -> None:
    x = np.geomspace(0.01, 5, 20)
    assert script.gaussian_scales(x, 2.0, 0.0) == pytest.approx(stats.halfnorm(scale=2).cdf(x))
    assert script.exponential_scales(x, 2.0, 0.0) == pytest.approx(stats.expon(scale=2).cdf(x))


def test_moments_of_mixtures_are_those_of_the_lognormal(script: ModuleType) -> None:
    x = np.geomspace(1e-6, 1e4, 40_001)
    middle = (x[1:] + x[:-1]) / 2
    mean = (middle * np.diff(script.exponential_scales(x, 1.0, 0.7))).sum()
    square = (middle**2 * np.diff(script.gaussian_scales(x, 1.0, 0.7))).sum()
    # E exp(w z) = exp(w^2 / 2) and E exp(2 w z) = exp(2 w^2) for a standard normal z.
    assert mean == pytest.approx(np.exp(0.7**2 / 2), rel=1e-4)
    assert square == pytest.approx(np.exp(2 * 0.7**2), rel=1e-4)


def test_shares_of_a_power_law_are_found_from_the_second_bin_on(script: ModuleType) -> None:
    edges = np.arange(1.0, 42.0)
    above = edges**-1.5
    counts = np.round(1e10 * -np.diff(above))
    counts[0] *= 20  # The first bin is kept as it is.
    shares = script.fitted_shares(Histogram(counts, edges), lambda x, k: 1 - (x / x[0]) ** -k, [(2.0,)], first=1)
    assert shares == pytest.approx(1 - np.cumsum(counts)[:-1] / counts.sum(), rel=1e-4)
