"""The sketch counts exactly, merges without loss, and reaches far beyond the range of floats."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch

GROUPS = 3


def sketch_of(entries: list[tuple[float, bool, int]]) -> LogSketch:
    log_abs, negative, group = (
        (np.array(column) for column in zip(*entries, strict=True)) if entries else [np.zeros(0)] * 3
    )
    return LogSketch.from_logs(log_abs.astype(np.float64), negative.astype(bool), group.astype(np.int64), groups=GROUPS)


def counted_by_hand(entries: list[tuple[float, bool, int]]) -> dict[tuple[int, bool, int], int]:
    """Counts by bin, sign and group in a plain dictionary."""
    counts: dict[tuple[int, bool, int], int] = {}
    for log_abs, negative, group in entries:
        if log_abs > -math.inf:
            key = (math.floor(log_abs / BIN_WIDTH), negative, group)
            counts[key] = counts.get(key, 0) + 1
    return counts


def as_dictionary(sketch: LogSketch) -> dict[tuple[int, bool, int], int]:
    found = {}
    for negative, table in ((False, sketch.group_positive), (True, sketch.group_negative)):
        for group, bin_ in zip(*np.nonzero(table), strict=True):
            found[(sketch.first_bin + int(bin_), negative, int(group))] = int(table[group, bin_])
    return found


# 1700 decades, five times the range of floats, and exact zeros.
near_logs = st.one_of(st.floats(-2000, 2000), st.just(-math.inf))
near_samples = st.lists(st.tuples(near_logs, st.booleans(), st.integers(0, GROUPS - 1)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(near_samples)
def test_every_fluctuation_is_in_its_bin(entries: list[tuple[float, bool, int]]) -> None:
    sketch = sketch_of(entries)
    assert sketch.count == len(entries)
    assert as_dictionary(sketch) == counted_by_hand(entries)
    for group in range(GROUPS):
        assert sketch.group_zeros[group] == sum(g == group and size == -math.inf for size, _, g in entries)


@settings(max_examples=60, deadline=None)
@given(near_samples, near_samples, near_samples)
def test_merging_is_associative_commutative_and_loses_nothing(
    first: list[tuple[float, bool, int]],
    second: list[tuple[float, bool, int]],
    third: list[tuple[float, bool, int]],
) -> None:
    a, b, c = sketch_of(first), sketch_of(second), sketch_of(third)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)
    assert as_dictionary(a.merge(b).merge(c)) == counted_by_hand(first + second + third)
    assert as_dictionary(LogSketch.pooled([a, b, c])) == counted_by_hand(first + second + third)
    assert a.merge(b).merge(c).count == len(first) + len(second) + len(third)
    assert a.merge(LogSketch.empty(GROUPS)) == a


def test_sizes_far_beyond_floats_are_kept_apart() -> None:
    sketch = LogSketch.from_logs(np.array([-30000.0, -30000.0 + 2 * BIN_WIDTH, 30000.0]))
    assert sketch.counts.sum() == 3
    assert np.count_nonzero(sketch.counts) == 3
    assert sketch.log_range is not None
    assert sketch.log_range[0] == pytest.approx(-30000, abs=BIN_WIDTH)
    assert sketch.log_range[1] == pytest.approx(30000, abs=BIN_WIDTH)
    assert "e-13029" in sketch.summary()  # 30000 / ln 10 = 13028.8


def test_bins_are_narrower_than_two_percent() -> None:
    sketch = LogSketch.from_values(np.array([1e-30, 1e30]))
    assert np.exp(np.diff(sketch.edges)).max() < 1.02


def test_zeros_of_either_sign_are_zeros_and_the_smallest_float_is_not() -> None:
    sketch = LogSketch.from_values(np.array([0.0, -0.0, 5e-324, -5e-324]))
    assert sketch.zeros == 2
    assert sketch.counts_positive.sum() == 1
    assert sketch.counts_negative.sum() == 1
    edges = sketch.edges
    assert edges[0] <= math.log(5e-324) < edges[-1]


def test_integers_and_single_precision_are_counted_by_their_values() -> None:
    values = np.array([3, -3, 0, 1000])
    assert LogSketch.from_values(values) == LogSketch.from_values(values.astype(np.float64))
    assert LogSketch.from_values(values.astype(np.float32)) == LogSketch.from_values(values.astype(np.float64))


def test_density_integrates_to_the_share_of_non_zero_fluctuations() -> None:
    values = np.random.default_rng(1).normal(size=9000)
    values[:1000] = 0
    sketch = LogSketch.from_values(values)
    assert (sketch.density() * np.diff(sketch.edges)).sum() == pytest.approx(8 / 9, rel=1e-12)


def test_density_is_the_histogram_of_numpy() -> None:
    values = np.random.default_rng(2).lognormal(0.3, 2.0, 20_000)
    sketch = LogSketch.from_values(values)
    expected, _ = np.histogram(np.log(values), bins=sketch.edges)
    # A value within rounding of an edge may fall to either side.
    assert np.abs(np.cumsum(sketch.counts) - np.cumsum(expected)).max() <= 1
    np.testing.assert_allclose(sketch.density().sum() * BIN_WIDTH, 1, rtol=1e-12)


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.37, 0.5, 0.99, 1.0])
def test_quantile_is_numpys_within_a_bin(probability: float) -> None:
    values = np.random.default_rng(3).lognormal(-5.0, 3.0, 5001)
    expected = np.quantile(np.log(values), probability, method="inverted_cdf")
    got = LogSketch.from_values(values).quantile(probability)
    assert expected <= got + 1e-9
    assert got <= expected + BIN_WIDTH + 1e-9


def test_quantile_of_two_points_far_apart_names_one_of_them() -> None:
    sketch = LogSketch.from_logs(np.array([-100.0] * 9 + [0.05]))
    assert sketch.quantile(0.9) == pytest.approx(-100, abs=BIN_WIDTH)
    assert sketch.quantile(0.91) == pytest.approx(0.05, abs=BIN_WIDTH)


def test_arrays_bring_the_sketch_back() -> None:
    values = np.array([1e-300, -2.0, 0.0, 5.0])
    sketch = LogSketch.from_values(values, np.array([0, 1, 1, 2]), groups=3)
    assert LogSketch.from_arrays(sketch.to_arrays()) == sketch


def test_equality_looks_at_counts_signs_groups_and_zeros() -> None:
    base = LogSketch.from_values(np.array([1.0, 2.0, 0.0]), np.array([0, 1, 0]), groups=2)
    assert base == LogSketch.from_values(np.array([0.0, 2.0, 1.0]), np.array([0, 1, 0]), groups=2)
    others = [
        LogSketch.from_values(np.array([1.0, 2.0, 0.0]), np.array([1, 0, 0]), groups=2),
        LogSketch.from_values(np.array([-1.0, 2.0, 0.0]), np.array([0, 1, 0]), groups=2),
        LogSketch.from_values(np.array([1.0, 2.0, 0.0]), np.array([0, 1, 1]), groups=2),
        LogSketch.from_values(np.array([1.0, 2.0, 0.0]), np.array([0, 1, 0]), groups=3),
    ]
    assert all(base != other for other in others)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        LogSketch.from_values(np.array([1.0, bad]))


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="outside"):
        LogSketch.from_values(np.array([1.0]), np.array([2]), groups=2)
    with pytest.raises(InvalidInputError, match="outside"):
        LogSketch.from_values(np.array([1.0]), np.array([-1]), groups=2)
    with pytest.raises(InvalidInputError, match="merged"):
        LogSketch.empty(2).merge(LogSketch.empty(3))


@pytest.mark.usefixtures("without_shape_checker")
def test_counts_that_cannot_be_counts_are_refused() -> None:
    one, zeros = np.ones((2, 4), dtype=np.int64), np.zeros(2, dtype=np.int64)
    with pytest.raises(InvalidInputError, match="negative"):
        LogSketch(0, -one, one, zeros)
    with pytest.raises(InvalidInputError, match="shape"):
        LogSketch(0, one, np.ones((2, 3), dtype=np.int64), zeros)


def test_what_does_not_exist_is_refused_or_none() -> None:
    sketch = LogSketch.from_values(np.zeros(3))
    assert sketch.log_range is None
    assert sketch.to_dict()["log_min"] is None
    with pytest.raises(InvalidInputError, match="no quantiles"):
        sketch.quantile(0.5)
    with pytest.raises(InvalidInputError, match="probability"):
        LogSketch.from_values(np.ones(3)).quantile(math.nan)


def test_range_that_memory_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"decades are more than a sketch of 64 groups"):
        LogSketch.from_logs(np.array([0.0, -1e6]), None, np.array([0, 1]), 64)
    near, far = (LogSketch.from_logs(np.array([log]), None, np.array([0]), 64) for log in (0.0, -1e6))
    with pytest.raises(InvalidInputError, match="decades are more than"):
        near.merge(far)
