"""Logarithms are rivals of small exponents, and none of true powers."""

import numpy as np
import pytest

from critlearn.inference import Criteria, Grade, fit_power_law
from critlearn.inference.laws.logarithms import logarithm_rival
from critlearn.inference.laws.window_fits import fit_window
from critlearn.inference.observations import Reading
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law

FEW = Criteria(replicates=50)


def rival_on(values: np.ndarray, low: float, high: float) -> str | None:
    """Rival of the power law on a window."""
    counts = Reading().observe(values).counts
    start, stop = counts.cells_of(Window(low, high))
    fit = fit_window(counts, start, stop)
    assert fit is not None
    return logarithm_rival(counts, fit, fit.exponent)


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_a_product_of_two_flat_factors_is_a_logarithm(seed: int) -> None:
    """Its density is ``-ln x``: exactly the logarithm of two factors."""
    values = np.prod(np.random.default_rng(seed).random((2, 10_000)), axis=0)
    assert rival_on(values, 1e-3, 0.1) == "logarithm"
    fit = fit_power_law(values, criteria=FEW)
    assert not fit.established
    assert fit.grade is not Grade.COMPATIBLE or fit.rivals


def test_a_product_of_two_equal_powers_is_a_power_with_logarithm() -> None:
    values = power_law(0.3, 1e-12, 1.0, 50_000, 0) * power_law(0.3, 1e-12, 1.0, 50_000, 1)
    assert rival_on(values, 1e-4, 0.1) in ("logarithm", "power law with logarithm")
    fit = fit_power_law(values, criteria=FEW)
    assert fit.exponent is not None
    assert fit.window is not None
    # Where it is taken for a law, the exponent is a local one on the window, 0.3 + 1 / ln(1 / x), and not 0.3.
    low, high = (0.3 - 1 / end for end in (fit.window.log_lo, fit.window.log_hi))
    assert low < fit.exponent < high
    assert not fit.established or high - low < 2 * 0.055


@pytest.mark.parametrize("k", [1.2, -0.5, 0.0])
def test_other_exponents_have_no_such_rival(k: float) -> None:
    assert rival_on(power_law(k, 1e-4, 1.0, 10_000, 0), 1e-3, 1.0) is None


@pytest.mark.parametrize(("k", "low"), [(0.31, 1e-7), (0.6, 1e-4)])
def test_true_small_exponents_stay_laws(k: float, low: float) -> None:
    values = power_law(k, low, 1.0, 100_000, 0)
    assert rival_on(values, low, 1.0) is None
    fit = fit_power_law(values, criteria=FEW)
    assert fit.grade is Grade.POWER_LAW
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(k, abs=4 * fit.standard_error)
