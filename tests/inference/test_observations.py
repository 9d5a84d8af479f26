"""What a fit takes in, and what it refuses."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from critlearn.errors import InvalidInputError
from critlearn.inference import Criteria, Grade, Histogram, fit_power_law
from critlearn.inference.counts.resolution import resolution_floor
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window
from reference.power_law_samples import power_law

VALUES = power_law(1.5, 1e-3, 1.0, 20_000, 0)
WINDOW = Window(1e-3, 1.0)
SINGLE = float(np.finfo(np.float32).tiny)


def exponent(data: Any, window: Window | None = WINDOW, **options: Any) -> float:
    fit = fit_power_law(data, window, **options)
    assert fit.exponent is not None
    return fit.exponent


@pytest.mark.parametrize(
    "data",
    [
        VALUES.astype(np.float32),
        VALUES.reshape(100, 200),
        pd.Series(VALUES),
        VALUES.tolist(),
        torch.tensor(VALUES, requires_grad=True),
        torch.tensor(VALUES, dtype=torch.float32),
    ],
    ids=["float32", "matrix", "pandas", "list", "requires_grad", "torch float32"],
)
def test_every_container_gives_the_same_exponent(data: Any) -> None:
    # Rounding to float32 moves a value by 6e-8 of itself, which may put one in 1e5 into the next cell.
    assert exponent(data) == pytest.approx(exponent(VALUES), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_cost_less_than_a_tenth_of_the_error(dtype: torch.dtype) -> None:
    error = fit_power_law(VALUES, WINDOW).standard_error
    assert error is not None
    # bfloat16 rounds by up to 0.4%, which moves values over the ends of the window.
    rounded = exponent(torch.tensor(VALUES).to(dtype), Window(0.99e-3, 1.01))
    assert abs(rounded - exponent(VALUES, Window(0.99e-3, 1.01))) < 0.2 * error


@pytest.mark.parametrize("k", [-0.5, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_a_window_found_on_values_is_that_found_on_their_sketch(k: float, seed: int) -> None:
    values = power_law(k, 1e-4, 1.0, 10_000, seed)
    raw, sketched = fit_power_law(values), fit_power_law(LogSketch.from_values(values))
    assert raw.grade is sketched.grade
    assert raw.window == sketched.window
    assert raw.exponent == sketched.exponent


@pytest.mark.parametrize(
    "edges", [np.linspace(0.0, 1.0, 4001), np.geomspace(1e-3, 1.0, 37), np.geomspace(1e-3, 1.0, 400)]
)
def test_histograms_with_any_edges_lose_no_exponent(edges: np.ndarray) -> None:
    counts, _ = np.histogram(VALUES, edges)
    fit = fit_power_law(Histogram(counts, edges), Window(2e-3, 1.0))
    assert fit.exponent is not None
    assert fit.standard_error is not None
    assert abs(fit.exponent - 1.5) < 4 * fit.standard_error


def test_the_bin_next_to_zero_of_a_histogram_is_left_out() -> None:
    counts, edges = np.histogram(VALUES, np.linspace(0.0, 1.0, 101))
    fit = fit_power_law(Histogram(counts, edges), Window(0.01, 1.0))
    assert fit.below_floor == counts[0]
    assert fit.n == counts[1:].sum()


def test_zeros_are_counted_and_change_nothing() -> None:
    fit = fit_power_law(np.concatenate([VALUES, np.zeros(5000)]), WINDOW)
    assert fit.zeros == 5000
    assert fit.count == 25_000
    assert fit.exponent == exponent(VALUES)
    assert fit.retained == 1.0


def test_nan_and_infinity_are_refused_or_counted() -> None:
    data = np.concatenate([VALUES, [np.nan, np.inf, np.nan]])
    with pytest.raises(InvalidInputError, match="3 of 20003 values are NaN or infinite"):
        fit_power_law(data)
    fit = fit_power_law(data, WINDOW, nan="omit")
    assert fit.omitted == 3
    assert fit.exponent == exponent(VALUES)


def test_signs_have_to_be_chosen() -> None:
    signed = np.concatenate([VALUES, -power_law(0.5, 1e-3, 1.0, 20_000, 5)])
    with pytest.raises(InvalidInputError, match='20000 of 40000 values are negative: choose sign="absolute"'):
        fit_power_law(signed)
    assert exponent(signed, sign="positive") == exponent(VALUES)
    assert exponent(signed, sign="negative") == pytest.approx(0.5, abs=0.04)
    assert 0.6 < exponent(signed, sign="absolute") < 1.4


@pytest.mark.parametrize(("option", "value"), [("side", "smal"), ("sign", "positve"), ("nan", "omitt")])
def test_unknown_options_name_the_nearest(option: str, value: str, without_shape_checker: None) -> None:
    with pytest.raises(InvalidInputError, match="did you mean"):
        fit_power_law(VALUES, **{option: value})


def test_weights_make_one_law_of_another() -> None:
    # Weights x^1 turn p ~ x^-1.5 into x^-0.5.
    assert exponent(VALUES, weights=VALUES) == pytest.approx(0.5, abs=0.1)
    fit = fit_power_law(VALUES, WINDOW, weights=np.full(20_000, 7.0))
    assert fit.n == 20_000
    assert fit.exponent == pytest.approx(exponent(VALUES), abs=1e-9)


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(20_000), np.zeros(20_000), np.full(20_000, np.nan)])
def test_weights_that_are_none_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="weights"):
        fit_power_law(VALUES, weights=weights)


def test_ties_are_not_taken_for_discreteness() -> None:
    repeated = np.repeat(power_law(1.5, 1e-3, 1.0, 10_000, 3), 2)
    fit = fit_power_law(repeated, WINDOW)
    assert fit.below_floor == 0
    assert fit.exponent == pytest.approx(1.5, abs=0.06)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no fluctuations"),
        (["a", "b"], "must be real numbers"),
        (np.full(10, 1j), "must be real numbers"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, message: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(InvalidInputError, match=message):
        fit_power_law(data)


@pytest.mark.parametrize("data", [np.zeros(100), np.full(1000, 3.0), np.ones(1)])
def test_a_single_size_has_no_window_and_no_exponent(data: np.ndarray) -> None:
    fit = fit_power_law(data)
    assert fit.grade is Grade.TOO_FEW
    assert fit.exponent is None
    assert fit.to_dict()["exponent"] is None


@pytest.mark.parametrize(("data", "exponent"), [(VALUES[:49], 1.5), (np.array([1e-300, 1e300]), 1.0)], ids=["49", "2"])
def test_few_values_have_an_estimate_and_are_too_few(data: np.ndarray, exponent: float) -> None:
    fit = fit_power_law(data)
    assert fit.grade is Grade.TOO_FEW
    assert fit.needed == 50
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(exponent, abs=4 * fit.standard_error)


def test_a_window_outside_the_data_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"window \[10, 100\] .* outside the data"):
        fit_power_law(VALUES, Window(10.0, 100.0))
    with pytest.raises(InvalidInputError, match="far outside the data"):
        fit_power_law(VALUES, Window(1e50, 1e51))


@pytest.mark.parametrize(
    "options",
    [{"tolerance": 0.0}, {"tolerance": math.nan}, {"replicates": 3}, {"selection_replicates": 3}],
)
def test_criteria_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Criteria(**options)


@pytest.mark.parametrize("options", [{"block": 19_999}, {"seed": -1}, {"window": (1.0,)}, {"window": (2, 1)}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        fit_power_law(VALUES, **options)


def test_clusters_have_to_fit() -> None:
    with pytest.raises(InvalidInputError, match="as many cluster labels"):
        fit_power_law(VALUES, cluster=np.zeros(7))
    with pytest.raises(InvalidInputError, match="at least 10"):
        fit_power_law(VALUES, cluster=np.arange(20_000) % 3)
    with pytest.raises(InvalidInputError, match="not both"):
        fit_power_law(VALUES, cluster=np.arange(20_000), block=10)
    with pytest.raises(InvalidInputError, match="raw values"):
        fit_power_law(LogSketch.from_values(VALUES), cluster=np.arange(20_000))


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        (np.ones(3), np.array([1.0, 2.0, 3.0])),
        (-np.ones(2), np.array([1.0, 2.0, 3.0])),
        (np.ones(2), np.array([1.0, 3.0, 2.0])),
        (np.ones(2), np.array([-1.0, 3.0, 4.0])),
    ],
)
def test_histograms_that_are_none_are_refused(counts: np.ndarray, edges: np.ndarray) -> None:
    with pytest.raises(InvalidInputError):
        Histogram(counts, edges)


def test_the_floor_of_single_precision_is_recognised_and_excluded() -> None:
    margin = np.random.default_rng(2).uniform(0.0, 10.0, 100_000).astype(np.float32)
    # tanh saturates: 1 - tanh in float32 is a multiple of 2^-24, although 2 / (1 + exp(2 m)) is not.
    rounded = np.float32(1) - np.tanh(margin)
    floor = resolution_floor(rounded[rounded > 0], SINGLE)
    assert floor == pytest.approx(64 * 2**-24)
    fit = fit_power_law(rounded)
    assert fit.below_floor == int(((rounded > 0) & (rounded < 64 * 2**-24)).sum())
    assert fit.window is not None
    assert fit.window.lo >= 64 * 2**-24 * (1 - 1e-9)
    # 1 - tanh(m) = 2 exp(-2 m) for large m: log-uniform.
    assert fit.exponent == pytest.approx(1.0, abs=0.02)


def test_subnormal_numbers_are_below_the_floor() -> None:
    values = np.geomspace(1e-44, 1e-30, 1000).astype(np.float32)
    assert resolution_floor(values, SINGLE) == SINGLE


def test_data_at_full_resolution_have_no_floor() -> None:
    assert resolution_floor(VALUES, float(np.finfo(np.float64).tiny)) is None
    assert resolution_floor(np.repeat(VALUES, 3), 0.0) is None
    assert resolution_floor(np.random.default_rng(0).zipf(2.0, 5000).astype(np.float64), 0.0) is None


def test_rounded_measurements_have_a_floor() -> None:
    rounded = np.round(power_law(1.5, 0.1, 100.0, 50_000, 4), 1)
    assert resolution_floor(rounded[rounded > 0], 0.0) == pytest.approx(6.4, rel=1e-6)


def test_masked_values_are_missing() -> None:
    values = power_law(1.5, 1e-3, 1.0, 4000, 3)
    masked = np.ma.masked_array(np.where(np.arange(4000) % 2 == 0, values, 7.0), mask=np.arange(4000) % 2 == 1)
    with pytest.raises(InvalidInputError, match="2000 of 4000"):
        fit_power_law(masked)
    kept = fit_power_law(masked, nan="omit")
    assert kept.exponent == fit_power_law(values[::2]).exponent
