"""The sheet of a series: what is called critical, tails with known exponents, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from critlearn.dynamics import (
    CracklingRelation,
    Criticality,
    analyze_series,
    fit_tail,
    phase_randomised,
    sketch_in_time,
)
from critlearn.errors import InvalidInputError
from reference.time_series import (
    KESTEN,
    avalanche_by_avalanche,
    common_rate,
    falling_loss,
    kesten,
    reflected_walk,
    renewals,
)
from shape_checker import switched_off


@pytest.mark.parametrize("eta", KESTEN)
@pytest.mark.parametrize("seed", [0, 1])
def test_tails_of_one_sample_descent_are_those_of_kesten(eta: float, seed: int) -> None:
    series = kesten(eta, 1_000_000, seed)
    for values in (series, np.diff(series)):
        low, high = fit_tail(sketch_in_time(values)).ci95_total
        assert low <= 1 + KESTEN[eta] <= high
        assert high - low < 2


def test_critical_branching_is_consistent_with_criticality() -> None:
    found = analyze_series(avalanche_by_avalanche(1.0, 1_000_000, 2, 10**6), activity="values", quantiles=(0.5,))
    assert found.criticality is Criticality.CONSISTENT
    avalanches = found.observed.avalanches
    assert avalanches.threshold == 0
    assert avalanches.sizes.exponent == pytest.approx(1.5, abs=0.05)
    assert avalanches.durations.ci95_total[0] <= 2 <= avalanches.durations.ci95_total[1]
    assert avalanches.mean_size.exponent == pytest.approx(2, abs=0.15)
    assert avalanches.relation.holds
    # Controls stand beside, and have lost what the order in time made.
    assert found.shuffled.branching.ratio is None
    assert "shuffled" in found.summary()
    assert "phases at random" in found.summary()
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["criticality"] == "consistent with criticality"
    assert "activity" not in values
    assert len(found.plot().axes) == 6


@pytest.mark.parametrize("seed", [2, 3])
def test_critical_branching_of_a_fifth_as_many_steps_is_too(seed: int) -> None:
    series = avalanche_by_avalanche(1.0, 200_000, seed, 10**6)
    assert analyze_series(series, activity="values", quantiles=()).criticality is Criticality.CONSISTENT


@pytest.mark.parametrize("ratio", [0.9, 0.95])
def test_subcritical_branching_is_not_critical(ratio: float) -> None:
    series = avalanche_by_avalanche(ratio, 200_000, 0, 10**6)
    assert analyze_series(series, activity="values", quantiles=()).criticality is Criticality.NOT_CRITICAL


def test_independent_counts_are_not_critical() -> None:
    series = np.random.default_rng(0).poisson(1.0, 200_000)
    assert analyze_series(series, activity="values", quantiles=()).criticality is Criticality.NOT_CRITICAL


@pytest.mark.parametrize(
    "series",
    [
        common_rate(100.0, 100_000, 0),
        renewals(100_000, 0),
        reflected_walk(-0.01, 100_000, 0),
        falling_loss(30_000, 0),
    ],
    ids=["common rate", "renewals", "reflected walk", "falling loss"],
)
def test_what_only_looks_critical_is_not_called_so(series: np.ndarray) -> None:
    assert analyze_series(series, activity="values", quantiles=()).criticality is not Criticality.CONSISTENT


def test_avalanches_of_signals_with_random_phases_are_those_of_five() -> None:
    signal = avalanche_by_avalanche(1.0, 20_000, 0, 10**6)
    found = analyze_series(signal, activity="values", quantiles=()).phase_randomised.avalanches
    apart = [phase_randomised(signal, seed) for seed in range(5)]
    counts = [np.sum(np.diff((part > np.quantile(part, found.quantile)).astype(int)) == -1) for part in apart]
    starting = sum(part[0] > np.quantile(part, found.quantile) for part in apart)
    # One that has begun before the series is none.
    assert found.count == sum(counts) - starting


def test_a_trend_is_seen_and_decides_nothing() -> None:
    found = analyze_series(falling_loss(30_000, 1), activity="values", quantiles=())
    assert found.signs["stationary"] is False
    assert found.criticality is Criticality.CANNOT_TELL
    # Independent values have no trend.
    noise = np.random.default_rng(8).exponential(size=30_000)
    assert analyze_series(noise, activity="values", quantiles=()).signs["stationary"] is True


def test_the_relation_needs_errors_that_tell_something_apart() -> None:
    assert CracklingRelation(1.9, 0.5, 2.0, 0.05).holds is True
    # Mean sizes that bend; and an error that would not tell gamma from 1.
    assert CracklingRelation(1.9, 0.2, 2.0, 0.3).holds is None
    assert CracklingRelation(1.5, 0.5, 1.5, 0.02).holds is None
    assert CracklingRelation(0.5, 0.2, 2.0, 0.05).holds is False
    assert CracklingRelation(4.59, 9.31, 1.68, 0.1).holds is None
    # Sizes that are durations times a constant.
    assert CracklingRelation(1.03, 0.2, 1.0, 0.001).holds is None


def test_shuffled_avalanches_are_not_critical() -> None:
    series = np.random.default_rng(1).permutation(avalanche_by_avalanche(1.0, 200_000, 3, 10**6))
    assert analyze_series(series, activity="values", quantiles=()).criticality is Criticality.NOT_CRITICAL


def test_a_file_is_read_in_blocks_and_gives_what_the_array_gives(tmp_path: Path) -> None:
    series = np.random.default_rng(2).standard_normal((3000, 200)).astype(np.float32).cumsum(axis=0)
    np.save(tmp_path / "series.npy", series)
    mapped = np.load(tmp_path / "series.npy", mmap_mode="r")
    found = analyze_series(mapped, quantiles=())
    assert found.variables == 200
    expected = np.sqrt((np.diff(series.astype(np.float64), axis=0) ** 2).mean(axis=1))
    assert found.activity == pytest.approx(expected, rel=1e-12)
    # The file is as it was after its pages have been let go of.
    assert np.array_equal(mapped, series)


@pytest.mark.parametrize(
    ("series", "given", "said"),
    [
        (np.ones((1, 3)), {}, "at least 100 time steps; got 1 time step"),
        (np.arange(99.0), {}, "at least 100 time steps; got 99"),
        (np.full((500, 3), 2.5), {}, "constant"),
        (np.r_[np.arange(300.0), np.nan], {}, "NaN or infinity, first at step 300 of variable 0"),
        (np.r_[np.inf, np.arange(300.0)], {}, "NaN or infinity"),
        (np.arange(300.0) ** 2, {"times": np.arange(300.0) ** 2}, "equally spaced"),
        (np.arange(300.0) ** 2, {"times": np.arange(299.0)}, "as many times"),
        (np.arange(300.0) ** 2, {"times": np.zeros(300)}, "ascending"),
        (np.arange(300.0) ** 2, {"quantiles": np.linspace(0, 0.9, 13)}, "at most 12"),
        (np.arange(300.0) ** 2, {"quantiles": (1.0,)}, "lies in [0, 1); got 1.0"),
        (np.arange(300.0) ** 2, {"quantile": float("nan")}, "lies in [0, 1); got nan"),
        (np.arange(300.0) ** 2, {"activity": "valeus"}, 'did you mean "values"'),
        (np.arange(300.0), {}, "take the other kind of activity"),
        (np.array(["a"] * 200), {}, "real numbers"),
        (np.tile([-1.7e308, 1.7e308], 200), {}, "beyond 1e+100"),
        (np.zeros((200, 2), dtype=complex), {}, "real numbers"),
        (np.zeros((200, 2, 2)), {}, "(time, variable)"),
        (np.zeros((200, 0)), {}, "(time, variable)"),
    ],
)
def test_bad_input_is_refused_in_one_line(series: np.ndarray, given: dict, said: str) -> None:
    # Users have no type checker.
    with switched_off(), pytest.raises(InvalidInputError) as problem:
        analyze_series(series, **given)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    "series",
    [
        np.random.default_rng(4).random(300) * 1e-310,
        np.arange(500.0) ** 2,
        1.05 ** np.arange(500),
        np.eye(300)[100],
        np.random.default_rng(5).random((300, 3)) < 0.3,
    ],
    ids=["smallest floats", "trend", "growth", "one event", "truth values"],
)
@pytest.mark.filterwarnings("error")
def test_strange_series_are_called_nothing(series: np.ndarray) -> None:
    found = analyze_series(series, quantiles=(0.5,))
    assert found.criticality is Criticality.CANNOT_TELL
    assert len(found.summary().splitlines()) > 5
    json.dumps(found.to_dict(), allow_nan=False)
    found.plot()


def test_a_short_series_without_correlations_may_have_weak_ones() -> None:
    noise = np.random.default_rng(6).standard_normal(20_000)
    short, long = (analyze_series(noise[:steps], quantiles=()) for steps in (1000, 20_000))
    assert short.signs["branching"] is None
    assert long.signs["branching"] is False


@pytest.mark.parametrize("values", [np.full(200, np.nan), np.full(200, -np.inf), np.ones((5, 3, 3)), ["a", "b"]])
def test_a_sketch_takes_finite_numbers_alone(values: object) -> None:
    with switched_off(), pytest.raises(InvalidInputError):
        sketch_in_time(values)  # type: ignore[arg-type]


def test_equally_spaced_times_are_taken() -> None:
    series = np.random.default_rng(3).standard_normal(500)
    assert analyze_series(series, times=np.arange(500) * 0.1, quantiles=()).steps == 500


@pytest.mark.parametrize("steps", [200, 500, 1000])
def test_short_critical_series_are_not_called_subcritical(steps: int) -> None:
    draw, found = np.random.default_rng(steps), []
    for _ in range(6):
        active = [1]
        while len(active) < steps:
            # Begun anew when it has died.
            active.append(int(draw.poisson(active[-1])) or 1)
        found.append(analyze_series(np.array(active, dtype=float), activity="values").criticality)
    assert Criticality.NOT_CRITICAL not in found
