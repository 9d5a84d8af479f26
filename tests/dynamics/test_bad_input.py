"""What is no series, no seed, no threshold or too little data is refused in one line, whatever it is."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from critlearn.dynamics import (
    analyze_series,
    autocorrelation_time,
    branching_ratio,
    find_avalanches,
    increments,
    mean_size,
    own_units,
    phase_randomised,
    power_spectrum,
    scaling_collapse,
    shape_collapse,
    shuffled,
    spectral_slope,
    susceptibility,
    waiting_times,
)
from critlearn.errors import InvalidInputError
from shape_checker import switched_off

SIGNAL = np.random.default_rng(0).standard_normal(200)
MASKED = np.ma.masked_array(SIGNAL, mask=SIGNAL > 1)
OF_A_SIGNAL: list[Callable[..., Any]] = [
    analyze_series, autocorrelation_time, branching_ratio, find_avalanches, phase_randomised, power_spectrum, shuffled,
    spectral_slope, functools.partial(susceptibility, size=10), functools.partial(waiting_times, threshold=0.5),
]  # fmt: skip


def refusal(call: Callable[..., Any], *given: Any, **named: Any) -> str:
    """What a call says that must be refused in one line; users have no type checker."""
    with switched_off(), pytest.raises(InvalidInputError) as problem:
        call(*given, **named)
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", OF_A_SIGNAL)
@pytest.mark.parametrize(
    "given",
    [[[1, 2], [3]], [], ["a"] * 200, [1j] * 200, [None] * 200, np.zeros((3, 200, 2)), np.r_[SIGNAL, np.nan], MASKED,
     np.full(200, 3.0), 1.0],
    ids=["ragged", "empty", "text", "complex", "None", "3-D", "NaN", "masked", "constant", "scalar"],
)  # fmt: skip
def test_what_is_no_signal_is_refused(call: Callable[..., Any], given: Any) -> None:
    refusal(call, given)


def test_masked_values_are_counted_and_a_mask_without_any_is_no_harm() -> None:
    assert f"{(SIGNAL > 1).sum()} masked values" in refusal(increments, MASKED)
    whole = np.ma.masked_array(SIGNAL, mask=False)
    assert np.array_equal(increments(whole), np.diff(SIGNAL))


def test_increments_of_what_is_not_finite_name_the_place() -> None:
    series = np.ones((200, 3))
    series[120, 2] = np.nan
    assert "NaN or infinity, first at step 120 of variable 2" in refusal(increments, series)
    for call in (increments, own_units):
        assert "NaN or infinity, first at step 200 of variable 0" in refusal(call, np.r_[SIGNAL, np.inf])
    assert "the series is constant" in refusal(own_units, np.ones((200, 3)))


@pytest.mark.parametrize("given", [SIGNAL, None, "abc"])
def test_what_are_no_avalanches_is_refused(given: Any) -> None:
    for call in (mean_size, shape_collapse):
        assert f"find_avalanches returns; got {type(given).__name__}" in refusal(call, given)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    for call in (analyze_series, branching_ratio, phase_randomised, shuffled):
        assert "seed must" in refusal(call, SIGNAL, seed=seed)
    assert "seed must" in refusal(shape_collapse, find_avalanches(SIGNAL), seed=seed)


@pytest.mark.parametrize("threshold", ["a", None, float("nan"), float("inf"), [0.5]])
def test_what_is_no_threshold_is_refused(threshold: Any) -> None:
    for call in (find_avalanches, waiting_times):
        assert "a finite number; got" in refusal(call, SIGNAL, threshold)


@pytest.mark.parametrize("quantiles", [0.5, None, "half", [[0.5, 0.6]]])
def test_what_is_no_list_of_quantiles_is_refused(quantiles: Any) -> None:
    assert "quantile" in refusal(analyze_series, SIGNAL, quantiles=quantiles)


def test_times_of_another_kind_are_refused() -> None:
    assert "times" in refusal(analyze_series, SIGNAL, times=[[1, 2], [3]])
    assert "masked" in refusal(analyze_series, SIGNAL, times=np.ma.masked_array(np.arange(200), mask=SIGNAL > 1))


@pytest.mark.filterwarnings("error")
def test_too_few_steps_are_refused() -> None:
    assert "at least 24 steps; got 2" in refusal(branching_ratio, [1, 2])
    assert "at least 72 steps; got 3" in refusal(spectral_slope, [1, 2, 4])
    branching_ratio(SIGNAL[:24])
    spectral_slope(SIGNAL[:72])


@pytest.mark.filterwarnings("error")
def test_susceptibility_has_the_unit_of_a_square_or_is_refused() -> None:
    found = susceptibility(SIGNAL, 10)
    assert found.value == pytest.approx(10 * np.var(SIGNAL), rel=1e-12)
    for unit in (1e-150, 1e150):
        scaled = susceptibility(SIGNAL * unit, 10)
        assert scaled.value / unit / unit == pytest.approx(found.value, rel=1e-12)
        assert scaled.standard_error / unit / unit == pytest.approx(found.standard_error, rel=1e-9)
    for unit in (1e-200, 1e200):
        assert "scale it" in refusal(susceptibility, SIGNAL * unit, 10)


X = np.linspace(0, 1, 20)
CURVE = (X, X + 1, np.full(20, 0.01))


@pytest.mark.parametrize(
    "curve",
    [
        (X + np.inf, *CURVE[1:]), (X[::-1], *CURVE[1:]), (X, X * np.nan, CURVE[2]), (X, X, CURVE[2] * np.inf),
        (X, X, X), (X, X, -CURVE[2]), (X, X), (X, X, CURVE[2][1:]), 5, "abc", (X, X, "a"), ([[1], [2, 3]], X, X),
        (X, X, np.ma.masked_array(CURVE[2], mask=X > 0.5)), (X[:2], X[:2], X[:2] + 1),
    ],
)  # fmt: skip
def test_what_is_no_curve_is_refused(curve: Any) -> None:
    assert "the curve of size 16" in refusal(scaling_collapse, {16: curve, 32: CURVE}, (1, 0, 0))


@pytest.mark.parametrize(
    "curves",
    [{16: CURVE}, {-1: CURVE, 2: CURVE}, {np.inf: CURVE, 2: CURVE}, {"a": CURVE, 2: CURVE}, [CURVE, CURVE], None],
)
def test_what_are_no_sizes_is_refused(curves: Any) -> None:
    assert "two positive sizes or more" in refusal(scaling_collapse, curves, (1, 0, 0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": (np.nan, 0, 2)}, "3 finite numbers"),
        ({"start": (1, 0)}, "3 finite numbers"),
        ({"start": None}, "start of a search"),
        ({"start": "abc"}, "start of a search"),
        ({"start": (1, 0), "critical_point": np.nan}, "finite number; got nan"),
        ({"start": (1, 0), "critical_point": "a"}, "finite number; got 'a'"),
        ({"start": (1, 0, 2), "seed": -1}, "seed must"),
    ],
)
def test_where_no_search_can_begin_is_refused(given: dict[str, Any], said: str) -> None:
    assert said in refusal(scaling_collapse, {16: CURVE, 32: CURVE}, **given)


def test_curves_that_do_not_overlap_are_refused() -> None:
    # No power of a ratio of sizes takes x from one side of the critical point to the other.
    x, y, error = CURVE
    assert "do not overlap" in refusal(
        scaling_collapse, {16: CURVE, 32: (x + 10, y, error)}, (1, 0), critical_point=5.0
    )
