"""p-values where a power law is true: uniform, for independent and for dependent values, with and without a search."""

import numpy as np
import pytest
import scipy.stats

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.window_fits import fit_window
from critlearn.inference.observations import Reading
from critlearn.inference.window.goodness import goodness_of_fit, monte_carlo_p_value
from critlearn.inference.window.search import WindowScan
from critlearn.inference.window.selection_test import selection_p_value
from critlearn.numerics.window import Window
from reference.power_law_samples import clustered_power_law, power_law

WINDOW = Window(1e-4, 1.0)


def counts(values: np.ndarray, cluster: np.ndarray | None = None, window: Window | None = WINDOW) -> GroupedCounts:
    return Reading(cluster=cluster).observe(values, window).counts.coarsened(256)


def whole_p_value(data: GroupedCounts, seed: int) -> float:
    fit = fit_window(data, 0, len(data.cells))
    assert fit is not None
    return goodness_of_fit(data, fit, 100, seed).p_value


@pytest.mark.parametrize("k", [0.5, 1.0, 2.5])
def test_p_values_of_independent_values_are_uniform(k: float) -> None:
    p_values = [whole_p_value(counts(power_law(k, 1e-4, 1.0, 1000, seed)), seed) for seed in range(80)]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_p_values_of_dependent_values_are_uniform() -> None:
    p_values = []
    for seed in range(60):
        values, cluster = clustered_power_law(1.0, 1e-4, 1.0, 200, 50, 0.9, seed)
        p_values.append(whole_p_value(counts(values, cluster), seed))
    # Without clusters 97% of these are below 0.1.
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_p_values_with_the_search_repeated_are_uniform() -> None:
    p_values = []
    for seed in range(25):
        scan = WindowScan.of(counts(power_law(1.0, 1e-4, 1.0, 1000, seed), window=None), 100, seed)
        selected = scan.selected()
        assert selected is not None
        p_values.append(selection_p_value(scan, *selected, 30, seed)[0])
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_the_search_repeated_over_groups_accepts_a_true_law() -> None:
    p_values = []
    for seed in range(5):
        values, cluster = clustered_power_law(1.0, 1e-4, 1.0, 200, 20, 0.5, seed)
        scan = WindowScan.of(counts(values, cluster, None), 100, seed)
        selected = scan.selected()
        assert selected is not None
        p_values.append(selection_p_value(scan, *selected, 20, seed)[0])
    # Five uniform numbers are all below 0.2 once in 3,000 times.
    assert max(p_values) > 0.2


def test_another_law_is_rejected() -> None:
    assert whole_p_value(counts(np.exp(-2 * np.abs(np.random.default_rng(0).standard_normal(5000)))), 0) < 0.02


def test_the_monte_carlo_error_is_binomial() -> None:
    p_value, error = monte_carlo_p_value(24, 99)
    assert p_value == 0.25
    assert error == pytest.approx((0.25 * 0.75 / 100) ** 0.5)
