"""One value far from all others neither makes a power law nor hides one."""

import numpy as np
import pytest

from critlearn.inference import Criteria, Grade, fit_power_law
from critlearn.inference.counts.far_values import without_far_values
from critlearn.inference.observations import Reading

FEW = Criteria(replicates=50)
FAR = [(5e-324,), (1e-200,), (1e100,), (1e-300, 1e300), (1e-300,) * 40]


def _lognormal() -> np.ndarray:
    return np.exp(np.random.default_rng(0).normal(size=10_000))


def _law(size: int) -> np.ndarray:
    """``k = 1`` on [1e-4, 1]."""
    return np.exp(np.random.default_rng(1).uniform(np.log(1e-4), 0.0, size))


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("uniform", [False, True])
def test_far_values_make_no_power_law_of_what_is_none(far: tuple[float, ...], uniform: bool) -> None:
    bulk = np.random.default_rng(2).uniform(1.0, 2.0, 10_000) if uniform else _lognormal()
    assert fit_power_law(np.append(bulk, far), criteria=FEW).grade is not Grade.POWER_LAW


@pytest.mark.parametrize("far", FAR[:4])
def test_far_values_hide_no_power_law(far: tuple[float, ...]) -> None:
    fit = fit_power_law(np.append(_law(10_000), far), criteria=FEW)
    assert fit.grade is Grade.POWER_LAW
    assert fit.exponent == pytest.approx(1.0, abs=4 * fit.standard_error)
    assert fit.window is not None
    # The data end with the law once the far values are left out.
    assert fit.window.decades > 3.7


@pytest.mark.parametrize("exponent", [0.5, 0.9, 1.0, 1.1])
def test_values_that_spread_by_themselves_are_not_far(exponent: float) -> None:
    """``p(u) ~ exp((1 - k) u)``: the spread of the outermost values goes with that of all."""
    generator = np.random.default_rng(3)
    rate = 1 - exponent
    u = generator.uniform(-600.0, 0.0, 2000) if rate == 0 else -generator.exponential(1 / abs(rate), 2000)
    counts = Reading().observe(np.exp(np.sign(rate or 1.0) * np.maximum(u, -700.0))).counts
    assert without_far_values(counts).outside == 0
