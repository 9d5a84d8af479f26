"""The lognormal on a window against the truncated normal law of SciPy, and its design effect against copied groups."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.lognormal import lognormal_test
from critlearn.inference.laws.window_fits import fit_window
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch

WIDTH = BIN_WIDTH * round(4 / BIN_WIDTH)
"""Of the window: a whole number of bins from 0 on."""


def truncated(mean: float, deviation: float) -> Any:
    """Normal law of the logarithms, cut off at the ends of the window."""
    return scipy.stats.truncnorm((0 - mean) / deviation, (WIDTH - mean) / deviation, loc=mean, scale=deviation)


def drawn(mean: float, deviation: float, n: int, seed: int) -> np.ndarray:
    """Logarithms of lognormal values on the window."""
    return np.asarray(truncated(mean, deviation).rvs(n, random_state=seed))


def by_values(logs: np.ndarray) -> tuple[float, float]:
    """Likelihood ratio and drift from the values themselves, by SciPy's densities and its optimizer."""

    def lognormal(parameters: np.ndarray) -> float:
        return -float(truncated(parameters[0], np.exp(parameters[1])).logpdf(logs).sum())

    def exponential(rate: float) -> float:
        return -float(rate * logs.sum() - logs.size * np.log(np.expm1(WIDTH * rate) / rate))

    best = scipy.optimize.minimize(lognormal, [2.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-7})
    power = scipy.optimize.minimize_scalar(exponential, bounds=(-5, 5), method="bounded")
    # ln p = -(u - mean)^2 / (2 sd^2): its slope falls by width / sd^2 over the window, and k rises by as much.
    return 2 * (power.fun - best.fun), WIDTH / np.exp(2 * best.x[1])


@pytest.mark.parametrize(("mean", "deviation"), [(2.0, 2.0), (0.0, 3.0), (3.0, 1.6)])
def test_ratio_and_drift_are_those_of_the_values(mean: float, deviation: float) -> None:
    logs = drawn(mean, deviation, 4_000, 7)
    counts = GroupedCounts.from_sketch(LogSketch.from_values(np.exp(logs)))
    low = int(np.abs(counts.edges - 0.0).argmin())
    high = int(np.abs(counts.edges - WIDTH).argmin())
    assert (counts.edges[low], counts.edges[high]) == pytest.approx((0, WIDTH), abs=1e-9)
    fit = fit_window(counts, low, high)
    assert fit is not None
    found = lognormal_test(counts, fit)
    assert found is not None
    ratio, drift = by_values(logs)
    # Places within cells are not known: at most 200 cells on a window of 4, an error far below that of the drift.
    assert found.drift == pytest.approx(drift, abs=0.03 * found.drift_error)
    assert found.statistic == pytest.approx(ratio, rel=0.02, abs=0.05)


@pytest.mark.parametrize("copies", [1, 9])
def test_the_error_of_the_drift_counts_groups_not_copies(copies: int) -> None:
    logs = drawn(2.0, 2.0, 3_000, 11)
    cells = np.floor(logs / BIN_WIDTH).astype(int)
    edges = BIN_WIDTH * np.arange(cells.min(), cells.max() + 2)
    groups = np.arange(logs.size) % 300
    counts = np.zeros((300, edges.size - 1))
    np.add.at(counts, (groups, cells - cells.min()), copies)
    plain = GroupedCounts.from_sketch(LogSketch.from_values(np.exp(logs)))
    grouped = plain.with_counts(counts)
    results = []
    for one in (plain, grouped):
        fit = fit_window(one, 0, len(one.cells))
        assert fit is not None
        found = lognormal_test(one, fit)
        assert found is not None
        results.append(found)
    alone, together = results
    # Independent values dealt out to groups: the score's variance is its own, but for 4 errors of an estimate from 300.
    spread = 4 * (2 / 300) ** 0.5
    assert together.design_effect / copies == pytest.approx(1, abs=2 * spread)
    assert together.statistic == pytest.approx(alone.statistic * copies / together.design_effect, rel=1e-9)
    assert together.drift_error == pytest.approx(alone.drift_error, rel=spread)
