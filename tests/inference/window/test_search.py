"""Windows are found where the law holds, and not beyond."""

import math

import numpy as np
import pytest

from critlearn.inference import fit_power_law
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.window_fits import fit_window
from critlearn.inference.window.local_exponent import sliding_fits
from critlearn.inference.window.search import WindowScan, drawn_in, equivalence_window
from critlearn.numerics.log_sketch import LogSketch
from reference.power_law_samples import power_law


def with_body(k: float, n: int, seed: int) -> np.ndarray:
    """Half a power law on [1, 1e3], half a lognormal below 1."""
    body = np.exp(-np.abs(1.5 * np.random.default_rng(seed + 100).standard_normal(n - n // 2)))
    return np.concatenate([power_law(k, 1.0, 1e3, n // 2, seed), body])


@pytest.mark.parametrize("k", [1.0, 1.5, 2.5])
def test_a_lognormal_body_stays_outside_the_window(k: float) -> None:
    fit = fit_power_law(with_body(k, 100_000, 0))
    assert fit.exponent == pytest.approx(k, abs=0.03)
    assert fit.window is not None
    assert 0.5 < fit.window.lo < 5


@pytest.mark.parametrize("k", [0.5, 1.0, 1.5])
def test_an_exponential_cut_off_stays_outside_the_window(k: float) -> None:
    raw = power_law(k, 1e-4, 100.0, 400_000, 0)
    kept = raw[np.random.default_rng(0).random(raw.size) < np.exp(np.minimum(1 - raw, 0.0))]
    fit = fit_power_law(kept[:100_000])
    assert fit.exponent == pytest.approx(k, abs=0.03)
    assert fit.window is not None
    assert 0.3 < fit.window.hi < 4


def test_both_criteria_are_reported() -> None:
    edges = np.arange(-512, 512) * math.log(2) / 64
    # Density in u: exp(-u / 2), so k = 1.5, above zero, a lognormal of the same height below.
    density = np.where(edges < 0, np.exp(-(edges**2)), np.exp(-0.5 * edges))
    counts = np.random.default_rng(0).multinomial(4_000_000, density / density.sum())[None]
    fit = fit_power_law(LogSketch(-512, counts, np.zeros_like(counts), np.zeros(1, dtype=np.int64)))
    assert fit.equivalence is not None
    assert fit.significance is not None
    for choice in (fit.equivalence, fit.significance):
        assert abs(choice.exponent - 1.5) < 0.03
        assert choice.window.log_lo > -0.5
    assert {"window", "exponent", "p_value"} <= set(fit.to_dict()["equivalence"])


def test_the_widest_accepted_window_comes_first() -> None:
    sketch = LogSketch.from_values(power_law(1.0, 1e-4, 1.0, 20_000, 1))
    scan = WindowScan.of(GroupedCounts.from_sketch(sketch), 100, 0)
    start, stop = scan.ends
    widths = scan.counts.edges[stop] - scan.counts.edges[start]
    assert (np.diff(widths) < 1e-6).all()
    selected = scan.selected()
    assert selected is not None
    fit, chosen = selected
    assert chosen.ratio <= 1
    assert (start[chosen.index], stop[chosen.index]) == (fit.start, fit.stop)


@pytest.mark.parametrize(("side", "end"), [("large", "stop"), ("small", "start")])
def test_on_an_open_side_all_windows_reach_the_end(side: str, end: str) -> None:
    sketch = LogSketch.from_values(power_law(1.5, 1e-3, 1.0, 5000, 0))
    scan = WindowScan.of(GroupedCounts.from_sketch(sketch, side=side), 50, 0)
    ends = scan.ends[1] if end == "stop" else scan.ends[0]
    assert set(ends.tolist()) == {len(scan.counts.cells) if end == "stop" else 0}


def test_equivalence_is_not_lost_with_more_data() -> None:
    widths = []
    for n in (10**6, 10**9):
        edges = np.arange(-700, 0) * math.log(2) / 64
        # Local exponent 1 + 0.02 sin(u): within 0.05 of a constant everywhere, rejected by any test at 1e9.
        density = np.exp(0.02 * np.cos(edges))
        counts = np.random.default_rng(0).multinomial(n, density / density.sum())[None]
        sketch = LogSketch(-700, counts, np.zeros_like(counts), np.zeros(1, dtype=np.int64))
        found = GroupedCounts.from_sketch(sketch)
        window = equivalence_window(sliding_fits(found), 0.05)
        assert window is not None
        widths.append(found.width_of(window.start, window.stop))
    assert widths[1] >= widths[0]
    assert widths[1] > 0.8 * 700 * math.log(2) / 64


def test_no_window_of_a_drifting_law_is_flat() -> None:
    # A lognormal of sigma = 1.5 drifts by 1.0 in a decade.
    sketch = LogSketch.from_values(np.exp(1.5 * np.random.default_rng(0).standard_normal(10**6)))
    counts = GroupedCounts.from_sketch(sketch)
    window = equivalence_window(sliding_fits(counts), 0.05)
    # One short window by itself is as flat as can be: only from two on does it say something.
    assert window is None or counts.width_of(window.start, window.stop) < 0.45 * math.log(10)


@pytest.mark.parametrize(("low", "high"), [(200, 800), (0, 800), (200, 1000), (0, 1000)])
def test_only_ends_among_the_data_are_drawn_in(low: int, high: int) -> None:
    counts = GroupedCounts(Cells.equal(0.0, 0.01, 1000), np.full((1, 1000), 10.0))
    fit = fit_window(counts, low, high)
    assert fit is not None
    inner = drawn_in(counts, fit)
    # The law is uniform in ln delta: a tenth of the width is less than a fifth of the values.
    assert inner.start == (low if low == 0 else low + (high - low) // 10)
    assert inner.stop == (high if high == 1000 else high - (high - low) // 10)


def test_a_sparse_end_of_the_data_is_drawn_in() -> None:
    cells = Cells.equal(0.0, 0.01, 1000)
    counts = GroupedCounts(cells, np.ceil(1e4 * np.exp(-1.5 * cells.centres))[None])
    fit = fit_window(counts, 0, 1000)
    assert fit is not None
    inner = drawn_in(counts, fit)
    assert (inner.start, inner.stop) == (0, 900)


def test_drawing_in_leaves_most_values_of_a_steep_law() -> None:
    cells = Cells.equal(0.0, 0.01, 1000)
    counts = GroupedCounts(cells, np.ceil(1e6 * np.exp(-1.5 * cells.centres))[None])
    fit = fit_window(counts, 100, 1000)
    assert fit is not None
    inner = drawn_in(counts, fit)
    assert 0.78 * fit.n < inner.n < 0.82 * fit.n
