"""Intervals cover: over clusters where values are dependent, by likelihood where they are not."""

import math

import numpy as np
import pytest

from critlearn.errors import InvalidInputError
from critlearn.inference import Histogram, fit_power_law
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.window_fits import WindowFit, fit_window
from critlearn.inference.observations import Reading
from critlearn.inference.window.cluster_bootstrap import exponent_interval, group_weights, likelihood_interval
from critlearn.numerics.window import Window
from reference.power_law_samples import clustered_power_law, power_law

WINDOW = Window(1e-4, 1.0)
RUNS = 100


def fitted(values: np.ndarray, cluster: np.ndarray | None) -> tuple[GroupedCounts, WindowFit]:
    counts = Reading(cluster=cluster, log_floor=-math.inf).observe(values, WINDOW).counts
    inside = counts.cells.inside(WINDOW)
    fit = fit_window(counts, inside.start, inside.stop)
    assert fit is not None
    return counts, fit


@pytest.mark.parametrize(("size", "correlation"), [(10, 0.0), (10, 0.9), (50, 0.3), (50, 0.9)])
def test_cluster_intervals_cover(size: int, correlation: float) -> None:
    covered = naive = 0
    for seed in range(RUNS):
        counts, fit = fitted(*clustered_power_law(1.0, 1e-4, 1.0, 5000 // size, size, correlation, seed))
        low, high = exponent_interval(counts, fit, 100, seed).ci95
        covered += low <= 1.0 <= high
        low, high = likelihood_interval(counts, fit)
        naive += low <= 1.0 <= high
    # 95% less 4 standard deviations of a share of 100.
    assert covered / RUNS > 0.95 - 4 * (0.95 * 0.05 / RUNS) ** 0.5
    if correlation == 0.9:
        assert naive / RUNS < 0.7


@pytest.mark.parametrize("k", [-0.5, 1.0, 2.5])
def test_likelihood_intervals_cover(k: float) -> None:
    covered = 0
    for seed in range(RUNS):
        counts, fit = fitted(power_law(k, 1e-4, 1.0, 500, seed), None)
        low, high = exponent_interval(counts, fit, 100, seed).ci95
        covered += low <= k <= high
    assert abs(covered / RUNS - 0.95) < 4 * (0.95 * 0.05 / RUNS) ** 0.5


def test_unequal_bins_have_the_interval_of_equal_ones() -> None:
    values = power_law(1.3, 1e-4, 1.0, 5000, 0)
    edges = np.geomspace(1e-4, 1.0, 201)
    counts, _ = np.histogram(values, edges)
    equal = fit_power_law(Histogram(counts, edges), WINDOW)
    # One edge moved by a little takes the closed forms away.
    edges[100] *= 1 + 1e-7
    general = fit_power_law(Histogram(counts, edges), WINDOW)
    assert general.ci95 == pytest.approx(equal.ci95, abs=1e-5)
    assert general.p_value == pytest.approx(equal.p_value, abs=0.12)  # type: ignore[arg-type]


def test_draws_are_of_whole_groups() -> None:
    weights = group_weights(30, 50, 0)
    assert (weights.sum(axis=1) == 30).all()
    with pytest.raises(InvalidInputError, match="at least 10"):
        group_weights(30, 9, 0)
