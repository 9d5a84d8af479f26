"""The local exponent and its simultaneous band against laws whose exponent is known everywhere."""

import numpy as np
import pytest

from critlearn.inference import Criteria, LocalExponentCurve, fit_power_law
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.window.local_exponent import sliding_fits
from critlearn.numerics.log_sketch import LogSketch
from reference.power_law_samples import power_law


def curve(values: np.ndarray) -> LocalExponentCurve:
    found = fit_power_law(values, criteria=Criteria(replicates=10)).curve
    assert found is not None
    return found


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
def test_the_band_holds_the_exponent_everywhere_in_nearly_all_samples(k: float) -> None:
    held = 0
    for seed in range(40):
        sketch = LogSketch.from_values(power_law(k, 1e-4, 1.0, 20_000, seed))
        found = sliding_fits(GroupedCounts.from_sketch(sketch)).curve()
        known = np.isfinite(found.exponent)
        held += bool(((found.band_lo <= k) & (k <= found.band_hi))[known].all())
    # 95% simultaneous: 4 standard deviations below 38 of 40 are 32.
    assert held >= 32


def test_the_local_exponent_of_a_lognormal_rises_with_the_logarithm() -> None:
    found = curve(np.exp(2 * np.random.default_rng(0).standard_normal(400_000)))
    at = np.isfinite(found.exponent) & (np.abs(found.log_delta) < 4)
    # k(delta) = 1 + ln(delta) / sigma^2; the mean over a short window weights it with the density.
    pull = (found.exponent - (1 + found.log_delta / 4))[at] / found.standard_error[at]
    assert np.abs(pull).max() < 5


def test_columns_are_plain() -> None:
    columns = curve(power_law(1.0, 1e-3, 1.0, 5000, 0)).to_dict()
    assert {len(column) for column in columns.values()} == {len(columns["exponent"])}
    assert all(np.isfinite(column).all() for column in columns.values())
