"""Equivalence and difference of exponents."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from critlearn.errors import InvalidInputError
from critlearn.inference import compare_exponents, compare_fits, compare_with_prediction, fit_power_law
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law


def test_one_measurement_is_compared_by_the_normal_law() -> None:
    found = compare_exponents([(1.02, 0.01)], 1.0, margin=0.05)
    assert found.p_different == pytest.approx(2 * scipy.stats.norm.sf(2.0), rel=1e-9)
    # Two one-sided tests: the larger of the two p-values.
    assert found.p_equivalent == pytest.approx(scipy.stats.norm.sf((0.05 - 0.02) / 0.01), rel=1e-9)
    assert found.equivalent
    assert found.ci95 == pytest.approx((0.02 - 1.959964 * 0.01, 0.02 + 1.959964 * 0.01), abs=1e-8)


def test_equivalence_is_that_the_interval_of_90_percent_lies_within_the_margin() -> None:
    for difference in np.linspace(-0.08, 0.08, 33):
        found = compare_exponents([(1 + difference, 0.015)], 1.0)
        assert found.equivalent == (found.ci90[0] > -0.05 and found.ci90[1] < 0.05)


def test_an_imprecise_measurement_shows_neither() -> None:
    found = compare_exponents([(1.05, 0.2)], 1.0)
    assert not found.equivalent
    assert found.p_different > 0.05
    assert "undecided" in found.summary()


def test_equal_errors_pool_to_the_mean_and_its_error() -> None:
    measured = [1.00, 1.10, 0.96, 1.06]
    found = compare_exponents([(k, 1e-4) for k in measured], 1.0)
    # Where errors are negligible the scatter between seeds is the error.
    assert found.difference == pytest.approx(np.mean(measured) - 1, abs=1e-6)
    assert found.standard_error == pytest.approx(np.std(measured, ddof=1) / 2, rel=1e-3)
    assert found.p_different == pytest.approx(scipy.stats.ttest_1samp(measured, 1.0).pvalue, rel=1e-3)


def test_each_seed_may_have_its_own_prediction() -> None:
    found = compare_exponents([(1.0, 0.01), (2.0, 0.01), (3.0, 0.01)], [0.99, 2.01, 3.0])
    assert found.difference == pytest.approx(0.0, abs=1e-12)
    assert found.equivalent


def test_wrong_predictions_are_seldom_called_equal() -> None:
    generator = np.random.default_rng(0)
    # A true difference at the margin itself: equivalence is claimed in 5% of all cases.
    claimed = [
        compare_exponents([(1.05 + 0.01 * e, 0.01) for e in generator.standard_normal(5)], 1.0).equivalent
        for _ in range(1000)
    ]
    assert np.mean(claimed) < 0.05 + 4 * (0.05 * 0.95 / 1000) ** 0.5


def test_fits_are_compared() -> None:
    window = Window(1e-3, 1.0)
    first, second, third = (
        fit_power_law(power_law(k, 1e-3, 1.0, 50_000, seed), window) for k, seed in ((1, 0), (1, 1), (1.3, 2))
    )
    assert compare_fits(first, second).equivalent
    assert compare_fits(first, third).p_different < 1e-6
    assert compare_with_prediction([first, second], 1.0).equivalent
    assert compare_with_prediction(third, 1.0).p_different < 1e-6
    assert set(compare_fits(first, second).to_dict()) >= {"difference", "p_equivalent", "equivalent"}


def test_what_has_no_exponent_cannot_be_compared() -> None:
    with pytest.raises(InvalidInputError, match="without an exponent"):
        compare_with_prediction(fit_power_law(np.ones(100)), 1.0)


@pytest.mark.parametrize(
    ("measured", "predicted", "margin"),
    [([], 1.0, 0.05), ([(1.0, 0.1)], [1.0, 2.0], 0.05), ([(1.0, 0.0)], 1.0, 0.05), ([(1.0, 0.1)], 1.0, 0.0)],
)
def test_comparisons_that_mean_nothing_are_refused(
    measured: list[tuple[float, float]], predicted: float, margin: float
) -> None:
    with pytest.raises(InvalidInputError):
        compare_exponents(measured, predicted, margin)


@pytest.mark.parametrize(
    ("measured", "predicted", "margin"),
    [("a", 1.0, 0.05), ([("a", "b")], 1.0, 0.05), ([(1.0,)], 1.0, 0.05), ([(1.0, 0.1)], 1.0, "a"), (3, 1.0, 0.05)],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_what_is_no_exponent_is_refused(measured: Any, predicted: Any, margin: Any) -> None:
    with pytest.raises(InvalidInputError):
        compare_exponents(measured, predicted, margin)
