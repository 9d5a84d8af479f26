"""Single observables of series whose values are known from theory."""

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from critlearn.dynamics import (
    autocorrelation_time,
    branching_ratio,
    find_avalanches,
    increments,
    mean_size,
    own_units,
    phase_randomised,
    scaling_collapse,
    shape_collapse,
    shuffled,
    sketch_in_time,
    spectral_slope,
    susceptibility,
    waiting_times,
)
from critlearn.numerics.log_sketch import LogSketch
from reference.time_series import (
    avalanche_by_avalanche,
    curie_weiss,
    driven_branching,
    fractional_noise,
    ornstein_uhlenbeck,
)


def test_avalanches_are_stretches_above_the_threshold_and_cut_ones_are_left_out() -> None:
    found = find_avalanches([9, 0, 2, 3, 1, 4, 0.5, 0, 7, 1, 5, 8], 1.0)
    assert found.sizes.tolist() == [3.0, 3.0, 6.0]
    assert found.durations.tolist() == [2, 1, 1]
    assert found.profile(0).tolist() == [1.0, 2.0]
    assert len(find_avalanches([1, 2, 3], 0.5)) == 0
    assert find_avalanches([1, 2, 3], 0.5).sizes.size == 0


def test_times_between_independent_events_are_geometric() -> None:
    signal = np.random.default_rng(0).random(200_000)
    times = waiting_times(signal, 0.9)
    counts = np.bincount(times, minlength=61)[1:61]
    expected = times.size * 0.1 * 0.9 ** np.arange(60)
    rest = times.size - counts.sum()
    chi = scipy.stats.chisquare([*counts, rest], [*expected, times.size * 0.9**60])
    assert chi.pvalue > 0.01


def test_increments_and_their_sketch_are_those_of_numpy() -> None:
    series = np.random.default_rng(1).standard_normal((5000, 7)).astype(np.float32)
    series[10:20] = series[9]
    changes = np.diff(series.astype(np.float64), axis=0)
    assert np.array_equal(increments(series), changes)
    # Not by the code that is tested: another counter of the package, from all values at once.
    sketch, expected = sketch_in_time(changes), LogSketch.from_values(changes.ravel())
    assert sketch.zeros == expected.zeros == 70
    # Logarithms from two libraries differ in the last digit, which moves a value at an edge to the next bin.
    kept = slice(expected.first_bin - sketch.first_bin, None)
    moved = np.abs(sketch.counts[kept][: expected.bins] - expected.counts).sum()
    assert moved <= 4
    assert sketch.groups == 64


@pytest.mark.parametrize("time", [5.0, 20.0, 100.0])
def test_autocorrelation_time_of_an_ornstein_uhlenbeck_process(time: float) -> None:
    phi = np.exp(-1 / time)
    found = autocorrelation_time(ornstein_uhlenbeck(time, 200_000, 0))
    assert found.resolved
    assert found.time == pytest.approx((1 + phi) / (1 - phi), abs=3 * found.standard_error)
    # What decays like this has a branching ratio, whatever it is.
    ratio = branching_ratio(ornstein_uhlenbeck(time, 200_000, 0))
    assert ratio.ci95[0] - 0.004 <= phi <= ratio.ci95[1] + 0.004


@pytest.mark.parametrize("factor", [-0.5, -0.8, -0.95])
def test_autocorrelation_time_where_correlations_alternate(factor: float) -> None:
    """Of a first-order autoregression it is (1 + factor) / (1 - factor)."""
    noise = np.random.default_rng(12).standard_normal(200_000)
    found = autocorrelation_time(scipy.signal.lfilter([1.0], [1.0, -factor], noise))
    assert found.time == pytest.approx((1 + factor) / (1 - factor), abs=4 * found.standard_error)
    assert found.resolved


@pytest.mark.parametrize(("factor", "steps"), [(0.99, 1000), (0.95, 300)])
def test_a_series_shorter_than_its_correlations_gives_a_bound_of_the_right_order(factor: float, steps: int) -> None:
    # The mean of the series itself takes away from every correlation: the bound is low, and never nothing.
    draw, known = np.random.default_rng(14), (1 + factor) / (1 - factor)
    found = [
        autocorrelation_time(scipy.signal.lfilter([1.0], [1.0, -factor], draw.standard_normal(steps)))
        for _ in range(40)
    ]
    assert not any(each.resolved for each in found)
    times = np.array([each.time for each in found])
    assert 0.3 * known < np.median(times) < known
    assert times.min() > 0.05 * known


@pytest.mark.parametrize("steps", [300, 1000, 10_000])
def test_errors_of_slope_and_bend_of_white_noise_are_their_scatter(steps: int) -> None:
    draw, number = np.random.default_rng(15), 200
    found = [spectral_slope(draw.standard_normal(steps)) for _ in range(number)]
    # A standard deviation of so many values is known to 5%, and theirs are a little wider than normal ones.
    for name, error in (("slope", "standard_error"), ("bend", "bend_error")):
        scatter = np.std([getattr(each, name) for each in found])
        assert scatter == pytest.approx(getattr(found[0], error), rel=0.2)


def test_slopes_beyond_those_that_are_measured_are_none() -> None:
    noise = np.random.default_rng(16).standard_normal(5000)
    for steeper in (np.cumsum(np.cumsum(noise)), np.cumsum(np.cumsum(np.cumsum(noise)))):
        found = spectral_slope(steeper)
        assert np.isnan(found.slope)
        assert "above 3" in found.summary()


def test_negative_correlations_are_the_reason_for_no_branching_ratio() -> None:
    noise = np.random.default_rng(17).standard_normal(20_000)
    found = branching_ratio(scipy.signal.lfilter([1.0], [1.0, 0.9], noise))
    assert found.ratio is None
    assert "correlated negatively (-0.9" in found.summary()


def test_the_error_of_a_susceptibility_contains_its_scatter_where_correlations_outlast_the_series() -> None:
    draw = np.random.default_rng(18)
    found = [
        susceptibility(scipy.signal.lfilter([1.0], [1.0, -0.999], draw.standard_normal(20_000)), 1.0) for _ in range(30)
    ]
    scatter = np.std([each.value for each in found])
    assert min(each.standard_error for each in found) > scatter / 2


def test_an_oscillation_has_no_single_branching_ratio() -> None:
    # Damped by .99 a step, with a period of 21 steps.
    noise = np.random.default_rng(13).standard_normal(100_000)
    series = scipy.signal.lfilter([1.0], [1.0, -2 * 0.99 * np.cos(0.3), 0.99**2], noise)
    assert branching_ratio(series).is_single is False
    assert branching_ratio(driven_branching(0.9, 100.0, 50_000, 0)).is_single is not False


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7, 0.9])
def test_slope_of_fractional_noise_of_its_sum_and_of_its_increments(hurst: float) -> None:
    noise = fractional_noise(hurst, 100_000, 2)
    found = spectral_slope(noise)
    assert found.slope == pytest.approx(2 * hurst - 1, abs=3 * found.standard_error)
    assert abs(found.bend) < 3 * found.bend_error
    assert spectral_slope(np.cumsum(noise)).slope == pytest.approx(2 * hurst + 1, abs=3 * found.standard_error)
    # A mean other than zero must not become a straight line in the sum.
    changes = np.diff(noise) + 3.0
    assert spectral_slope(changes).slope == pytest.approx(2 * hurst - 3, abs=3 * found.standard_error)


def test_a_spectrum_with_a_knee_bends() -> None:
    found = spectral_slope(ornstein_uhlenbeck(300.0, 400_000, 1))
    assert abs(found.bend) > 5 * found.bend_error


@pytest.mark.parametrize("ratio", [0.9, 0.98])
def test_branching_ratio_where_a_tenth_of_the_units_is_seen(ratio: float) -> None:
    hidden = driven_branching(ratio, 100.0, 200_000, 3)
    seen = np.random.default_rng(4).binomial(hidden, 0.1)
    found = branching_ratio(seen)
    assert found.ci95[0] - 0.003 <= ratio <= found.ci95[1] + 0.003
    assert found.ci95[1] - found.ci95[0] < 0.02
    # The slope at lag 1, the usual estimate, is wrong by more than a fifth.
    assert found.naive < 0.8 * ratio


def test_independent_counts_have_no_branching_ratio() -> None:
    found = branching_ratio(np.random.default_rng(5).poisson(2.0, 100_000))
    assert found.ratio is None
    assert "not correlated" in found.summary()


def test_shapes_of_critical_branching_are_parabolas() -> None:
    found = find_avalanches(avalanche_by_avalanche(1.0, 1_000_000, 1, 10**6))
    shapes = shape_collapse(found)
    assert shapes.exponent == pytest.approx(2.0, abs=0.15)
    assert abs(shapes.asymmetry) < 0.03
    # Short ones begin and end with steps that are large for them; the longest are few.
    middle = shapes.shapes[(shapes.durations > 30) & (shapes.durations < 300)].mean(axis=0)
    time = (np.arange(middle.size) + 0.5) / middle.size
    parabola = time * (1 - time)
    assert np.corrcoef(middle, parabola)[0, 1] > 0.98


def test_mean_size_of_rectangles_is_proportional_to_their_duration() -> None:
    generator = np.random.default_rng(6)
    pieces = [np.append(np.full(length, height), 0.0) for length, height in
              zip(generator.integers(1, 200, 20_000), generator.exponential(1.0, 20_000), strict=True)]  # fmt: skip
    found = mean_size(find_avalanches(np.concatenate([[0.0], *pieces])))
    assert found.exponent == pytest.approx(1.0, abs=4 * found.standard_error)


def test_surrogates_keep_what_they_say() -> None:
    for steps in (1000, 1001):
        signal = np.random.default_rng(7).exponential(1.0, steps).cumsum() % 5
        assert np.array_equal(np.sort(shuffled(signal)), np.sort(signal))
        random = phase_randomised(signal)
        assert np.abs(np.fft.fft(random)) == pytest.approx(np.abs(np.fft.fft(signal)), rel=1e-9, abs=1e-9)
        assert np.abs(random - signal).max() > 0.1


def test_susceptibility_of_independent_units() -> None:
    # The variance of a share of 50 units, each active with probability 0.3, is 0.21 / 50.
    share = np.random.default_rng(8).binomial(50, 0.3, 100_000) / 50
    found = susceptibility(share, 50)
    assert found.value == pytest.approx(0.21, abs=4 * found.standard_error)
    assert found.standard_error == pytest.approx(0.21 * (2 / 100_000) ** 0.5, rel=0.1)


def test_magnetisations_of_all_sizes_collapse_with_the_exponents_of_mean_field() -> None:
    generator = np.random.default_rng(9)
    curves = {}
    for size in (400, 800, 1600, 3200):
        temperature = 1 + np.linspace(-2, 2, 17) * size**-0.5
        mean, _ = curie_weiss(size, temperature)
        error = 0.003 * mean
        curves[size] = (temperature, mean + error * generator.standard_normal(17), error)
    found = scaling_collapse(curves, (0.6, -0.2, 1.01))
    assert found.quality < 2.5
    for value, true, error in zip(
        (found.x_exponent, found.y_exponent, found.critical_point), (0.5, -0.25, 1.0), found.errors, strict=True
    ):
        assert value == pytest.approx(true, abs=4 * error + 0.01)
        assert 0 < error < 0.05
    # Sizes put on one another with the exponents of another class do not collapse.
    other = {size: (x * size**0.3, y, error) for size, (x, y, error) in curves.items()}
    assert scaling_collapse(other, (0.0, 0.0), critical_point=0.0).quality > 10


def curves_of_a_scaling_form(half_width: float, seed: int) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Curves ``L^-0.3 (1.2 + tanh((x - 2) L^0.7))`` on one grid, with errors of a hundredth."""
    generator = np.random.default_rng(seed)
    x = np.linspace(2 - half_width, 2 + half_width, 31)
    curves = {}
    for size in (16, 32, 64, 128):
        error = np.full(31, 0.01) * size**-0.3
        mean = size**-0.3 * (1.2 + np.tanh((x - 2) * size**0.7))
        curves[size] = x, mean + error * generator.standard_normal(31), error
    return curves


@pytest.mark.parametrize(
    ("half_width", "start", "seed"),
    # The last grid has two points of the largest size in its step.
    [(0.5, (1, 0, 2), 0), (0.5, (1, 0, 0), 1), (0.5, (0.6, -0.2, 1.9), 2), (0.3, (1, 0, 50), 3), (1.0, (1, 0, 2), 4)],
)
def test_exponents_of_a_scaling_form_are_found_from_any_start(half_width: float, start: tuple, seed: int) -> None:
    found = scaling_collapse(curves_of_a_scaling_form(half_width, seed), start)
    assert 0.5 < found.quality < 1.5
    values = (found.x_exponent, found.y_exponent, found.critical_point)
    for value, true, error in zip(values, (0.7, -0.3, 2.0), found.errors, strict=True):
        assert value == pytest.approx(true, abs=4 * error)
        assert 0 < error < 0.05


def test_errors_of_a_collapse_are_widened_where_errors_of_points_are_too_small() -> None:
    curves = curves_of_a_scaling_form(0.5, 5)
    small = {size: (x, y, error / 5) for size, (x, y, error) in curves.items()}
    found = scaling_collapse(small, (0.7, -0.3), critical_point=2.0)
    assert found.quality > 3
    assert found.x_exponent == pytest.approx(0.7, abs=4 * found.errors[0])
    assert found.y_exponent == pytest.approx(-0.3, abs=4 * found.errors[1])


def test_what_does_not_depend_on_an_exponent_does_not_tell_it() -> None:
    x = np.linspace(0, 1, 20)
    noise = np.random.default_rng(0).standard_normal((3, 20))
    flat = {
        size: (x, size**-0.3 * (1 + 0.01 * row), np.full(20, 0.01 * size**-0.3))
        for size, row in zip((16, 32, 64), noise, strict=True)
    }
    found = scaling_collapse(flat, (1, 0, 0.5))
    assert found.y_exponent == pytest.approx(-0.3, abs=4 * found.errors[1])
    assert found.errors[0] > 0.5


def test_a_mixture_of_scales_is_no_tail_in_own_units() -> None:
    scales = np.exp(3 * np.random.default_rng(1).standard_normal(64))
    values = 5 + scales * np.random.default_rng(2).standard_normal((4000, 64))
    found = own_units(np.concatenate([values, np.ones((4000, 1))], axis=1))
    # A constant has no unit.
    assert found.shape == (4000, 64)
    assert found.std(axis=0) == pytest.approx(1, rel=1e-3)
    assert np.median(found, axis=0) == pytest.approx(0, abs=1e-9)
