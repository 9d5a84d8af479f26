"""The density of a sample lies on the law that it was drawn from, up to its largest value."""

import math

import numpy as np
import pytest

from critlearn.inference import Criteria, fit_power_law
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.histogram import Histogram
from critlearn.inference.laws.fitted_law import FittedLaw
from critlearn.inference.observations import Reading
from critlearn.numerics.window import Window

LAWS = [FittedLaw(1.5, 1.0), FittedLaw(2.5, 1.0), FittedLaw(1.0, 1e-4, 1e4), FittedLaw(0.5, 1e-3, 1.0)]


def density_of(values: np.ndarray, window: Window | None = None, *, discrete: bool = False) -> DensityCurve:
    return DensityCurve.of(Reading(discrete=discrete).observe(values, window).counts)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.summary())
@pytest.mark.parametrize("n", [300, 10_000])
def test_the_tail_lies_on_the_law_within_its_error(law: FittedLaw, n: int) -> None:
    samples = 60
    excess, pull = np.zeros((samples, 6)), np.zeros((samples, 6))
    for seed in range(samples):
        density = density_of(law.rvs(n, random_state=seed))
        difference = density.log_density - law.log_density(density.log_delta) + density.log_delta
        excess[seed], pull[seed] = difference[-6:], (difference * density.count**0.5)[-6:]
    # A bin of ten ends at a value, which costs a tenth at most; the last one has no end but the largest value.
    error = np.std(excess, axis=0) / samples**0.5
    assert (np.abs(excess.mean(axis=0)) < 4 * error + 0.1).all()
    assert pull[:, :-1].std() < 1.3
    assert pull[:, -1].std() < 2.5


def test_bins_cover_the_range_and_hold_all_values() -> None:
    values = np.concatenate([LAWS[1].rvs(5_000, 0), [1e5, 1e6]])
    density = density_of(values)
    np.testing.assert_array_equal(density.log_hi[:-1], density.log_lo[1:])
    assert density.count.sum() == values.size
    assert density.log_delta.size <= 160
    # Two values far out share one bin, which begins where the others end: a density of nearly nothing.
    assert density.log_density[-1] < math.log(1e-7)


def test_coarse_numbers_share_the_space_between_them() -> None:
    # Values of one significant digit: spikes on narrow bins, which stand a factor of ten above the density.
    law = LAWS[0]
    values = law.rvs(50_000, 1)
    step = 10 ** np.floor(np.log10(values))
    density = density_of(np.rint(values / step) * step)
    body = (density.log_delta > math.log(3)) & (density.log_delta < math.log(1e5))
    difference = (density.log_density - law.log_density(density.log_delta) + density.log_delta)[body]
    # The wide bins of single numbers cost up to a tenth, the rest is the error of counts.
    assert (np.abs(difference) < 0.1 + 4.5 * density.count[body] ** -0.5).all()


def test_the_density_of_an_integer_is_its_probability() -> None:
    law = FittedLaw(2.0, 1, discrete=True)
    values = law.rvs(20_000, 3)
    density = density_of(values, discrete=True)
    np.testing.assert_allclose(density.log_delta[:5], np.log([1, 2, 3, 4, 5]))
    np.testing.assert_allclose(np.exp(density.log_density[:5]), [(values == x).mean() for x in range(1, 6)])
    pull = (density.log_density - np.log(law.pmf(np.rint(np.exp(density.log_delta))))) * density.count**0.5
    assert np.abs(pull[density.log_delta < math.log(200)]).max() < 4.5


def test_empty_cells_beyond_the_values_are_no_part_of_it() -> None:
    values = LAWS[1].rvs(300, 0)
    wide, narrow = density_of(values, Window(1.0, 1e9)), density_of(values, Window(1.0, float(values.max())))
    assert wide.log_hi[-1] == pytest.approx(math.log(values.max()), abs=0.03)
    assert wide.log_density[-1] == pytest.approx(narrow.log_density[-1], abs=0.5)


def test_relative_frequencies_keep_their_bins() -> None:
    edges = np.geomspace(1, 1e3, 61)
    frequencies = np.diff(-1 / edges)
    density = fit_power_law(Histogram(frequencies, edges), criteria=Criteria(replicates=10)).density
    assert density is not None
    assert density.log_delta.size == 60
    expected = -2 * density.log_delta - math.log(frequencies.sum())
    np.testing.assert_allclose(density.log_density, expected, atol=0.01)


def test_a_single_value_has_a_density() -> None:
    density = density_of(np.ones(7))
    assert density.count.tolist() == [7]
    assert np.isfinite(density.log_density).all()
