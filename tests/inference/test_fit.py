"""Grades of data whose law is known, and what a fit reports."""

import json
import math
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from critlearn.errors import InvalidInputError
from critlearn.inference import Basis, Criteria, Grade, fit_power_law, stability_map
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.window import Window
from reference.power_law_samples import clustered_power_law, power_law

FEW = Criteria(replicates=50)
NAMES = {"exponent", "stderr", "ci95", "window", "decades", "n", "retained", "ks", "p_value", "verdict", "alternatives"}
NAMES |= {
    "drift",
    "ci95_total",
    "cutoff",
    "discrete",
    "sizes",
    "heaped_digits",
    "autocorrelation_time",
    "rivals",
}


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.5, 1.0, 4 / 3, 2.5])
def test_a_power_law_is_called_one_with_its_exponent(k: float) -> None:
    # By its own p-value a true law is rejected in a tenth of all samples: these seeds are not among them.
    fit = fit_power_law(power_law(k, 1e-4, 1.0, 10_000, 1))
    assert fit.grade is Grade.POWER_LAW
    assert fit.exponent is not None
    assert fit.standard_error is not None
    assert fit.window is not None
    assert abs(fit.exponent - k) < 4 * fit.standard_error
    assert fit.window.decades > (1.0 if k < 0 else 1.9)


@pytest.mark.parametrize("seed", [1, 4, 5, 6])
def test_a_law_is_found_to_its_ends_in_values_and_in_a_sketch(seed: int) -> None:
    # The ends of the law lie inside bins of the sketch, which the values fill only in part.
    values = power_law(1.0, 1e-4, 1.005, 10_000, seed)
    for data in (values, LogSketch.from_values(values)):
        fit = fit_power_law(data)
        assert fit.window is not None
        assert fit.standard_error is not None
        assert 1e-4 <= fit.window.lo < 1.03e-4
        assert 0.97 < fit.window.hi <= 1.005
        # The maximum of the likelihood of the values themselves: their mean logarithm is that of the law.
        logs = np.log(values[(values >= fit.window.lo) & (values <= fit.window.hi)] / fit.window.lo)
        reach = math.log(fit.window.hi / fit.window.lo)
        grid = np.linspace(0.0, reach, 20_001)

        def excess(theta: float, grid: np.ndarray = grid, mean: float = float(logs.mean())) -> float:
            return float(np.average(grid, weights=np.exp(theta * grid)) - mean)

        exact = 1 - scipy.optimize.brentq(excess, -1.0, 1.0)
        assert abs(fit.exponent - exact) < 0.1 * fit.standard_error


def test_the_range_that_other_packages_answer_with_two_to_hundreds() -> None:
    fit = fit_power_law(power_law(1.0, 1e-8, 1.0, 100_000, 3))
    assert fit.grade is Grade.POWER_LAW
    assert fit.exponent == pytest.approx(1.0, abs=0.01)
    assert fit.window is not None
    assert fit.window.decades > 7


def test_many_dependent_samples_rest_on_equivalence() -> None:
    # 4e7 values that follow a power law but for a ripple of 1% in the density: significance would reject it.
    edges = np.arange(-600, 0) * math.log(2) / 64
    density = 1 + 0.01 * np.sin(2 * edges)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(4_000_000, density / density.sum(), size=10)
    sketch = LogSketch(-600, counts, np.zeros_like(counts), np.zeros(10, dtype=np.int64))
    fit = fit_power_law(sketch)
    assert fit.grade is Grade.POWER_LAW
    assert fit.basis is Basis.EQUIVALENCE
    assert fit.exponent == pytest.approx(1.0, abs=0.05)
    assert fit.equivalence is not None
    assert fit.window == fit.equivalence.window


def test_a_lognormal_is_no_power_law_over_decades() -> None:
    for seed in range(5):
        fit = fit_power_law(np.exp(2 * np.random.default_rng(seed).standard_normal(10_000)), criteria=FEW)
        assert not fit.established


def test_a_drifting_exponent_says_how_it_drifts() -> None:
    values = np.exp(1.5 * np.random.default_rng(0).standard_normal(200_000))
    fit = fit_power_law(values, Window(1e-2, 1e2))
    assert fit.grade is Grade.DRIFTING
    assert fit.lognormal is not None
    # d k / du = 1/sigma^2 for a lognormal.
    assert fit.lognormal.drift == pytest.approx(math.log(1e4) / 1.5**2, rel=0.02)
    assert abs(fit.lognormal.drift - math.log(1e4) / 1.5**2) < 4 * fit.lognormal.drift_error


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_less_than_a_decade_is_too_few_rather_than_drifting(spread: float) -> None:
    fit = fit_power_law(np.exp(spread * np.random.default_rng(0).standard_normal(100_000)))
    assert fit.grade is Grade.TOO_FEW
    assert "span less than a decade" in fit.reason
    assert fit.exponent is not None
    assert fit.ci95 is not None


def test_two_points_masses_are_rejected() -> None:
    values = np.concatenate([np.geomspace(1e-3, 2e-3, 5000), np.geomspace(1.0, 2.0, 5000)])
    fit = fit_power_law(values, Window(1e-3, 2.0))
    assert fit.grade in (Grade.REJECTED, Grade.DRIFTING)


def test_a_tail_to_infinity() -> None:
    values = power_law(2.5, 1.0, math.inf, 20_000, 0)
    fit = fit_power_law(values, side="large")
    assert fit.window is not None
    kept = values[values >= fit.window.lo]
    # The estimate of Hill, by hand.
    assert fit.exponent == pytest.approx(1 + len(kept) / np.log(kept / fit.window.lo).sum(), abs=0.002)
    assert fit.naive_standard_error == pytest.approx((fit.exponent - 1) / len(kept) ** 0.5, rel=0.01)


def test_a_law_down_to_zero() -> None:
    values = power_law(0.5, 0.0, 1.0, 20_000, 0)
    fit = fit_power_law(values, side="small")
    assert fit.exponent == pytest.approx(0.5, abs=0.02)
    assert fit.standard_error == pytest.approx(0.5 / len(values) ** 0.5, rel=0.05)


@pytest.mark.parametrize("kind", [np.asarray, LogSketch.from_values], ids=["values", "sketch"])
def test_a_given_window_and_an_open_side_must_not_contradict(kind: Callable[[np.ndarray], object]) -> None:
    tail = power_law(2.5, 1.0, math.inf, 5000, 0)
    with pytest.raises(InvalidInputError, match="law to infinity"):
        fit_power_law(kind(tail), (2.0, 0.5 * tail.max()), side="large")
    kept = tail[tail >= 2.0]
    fit = fit_power_law(kind(tail), (2.0, 2.0 * tail.max()), side="large")
    # The estimate of Hill, by hand; a sketch begins up to 1.1% later.
    hill = 1 + len(kept) / np.log(kept / 2.0).sum()
    assert fit.exponent == pytest.approx(hill, abs=0.01)
    start = power_law(0.5, 0.0, 1.0, 5000, 0)
    with pytest.raises(InvalidInputError, match="law down to zero"):
        fit_power_law(kind(start), (2.0 * start.min(), 1.0), side="small")
    fit = fit_power_law(kind(start), (start.min(), 0.5), side="small")
    low = start[start <= 0.5]
    assert fit.exponent == pytest.approx(1 - len(low) / np.log(0.5 / low).sum(), abs=0.01)


def test_log_uniform_data_are_no_law_down_to_zero() -> None:
    fit = fit_power_law(np.geomspace(1e-2, 1.0, 10_000), Window(1e-2, 1.0), side="small")
    assert fit.grade is not Grade.POWER_LAW


def test_a_given_window_is_used_to_its_ends() -> None:
    values = power_law(1.0, 1e-5, 10.0, 60_000, 2)
    fit = fit_power_law(values, Window(1e-3, 0.1))
    assert fit.basis is Basis.GIVEN
    assert fit.window is not None
    assert (fit.window.lo, fit.window.hi) == (pytest.approx(1e-3), pytest.approx(0.1))
    assert fit.n == ((values >= 1e-3) & (values <= 0.1)).sum()
    assert fit.retained == pytest.approx(fit.n / 60_000)


def test_the_exponent_does_not_depend_on_the_unit() -> None:
    values = power_law(1.3, 1e-3, 1.0, 5_000, 0)
    first, second = (fit_power_law(scale * values, Window(1e-3 * scale, scale)) for scale in (1.0, 1e-150))
    assert first.exponent == pytest.approx(second.exponent, abs=1e-9)
    assert first.p_value == pytest.approx(second.p_value, abs=0.02)


def test_a_power_of_the_data_has_the_exponent_of_the_transformed_density() -> None:
    values = power_law(1.6, 1e-2, 1.0, 20_000, 0)
    k = fit_power_law(values, Window(1e-2, 1.0)).exponent
    # y = x^3: p(y) ~ y^-(1 + (k - 1) / 3).
    cubed = fit_power_law(values**3, Window(1e-6, 1.0)).exponent
    assert k is not None
    assert cubed == pytest.approx(1 + (k - 1) / 3, abs=1e-4)


def test_the_distance_is_that_of_the_kolmogorov_smirnov_test() -> None:
    values = power_law(1.5, 1e-3, 1.0, 3000, 0)
    fit = fit_power_law(values, Window(1e-3, 1.0))
    assert fit.exponent is not None
    theta = 1 - fit.exponent

    def share(x: np.ndarray) -> np.ndarray:
        return (x**theta - 1e-3**theta) / (1 - 1e-3**theta)

    # The distance is taken at the edges of cells: of 512 for three decades, joined by twos for the test, on which the
    # exponent is found anew.
    edges = np.geomspace(1e-3, 1.0, 257)
    at_edges = np.abs((values[:, None] <= edges).mean(axis=0) - share(edges)).max()
    assert fit.ks == pytest.approx(at_edges, abs=5e-4)
    assert scipy.stats.kstest(values, share).statistic == pytest.approx(at_edges, abs=1 / 256)


def test_the_p_value_with_the_search_repeated_says_so() -> None:
    values = power_law(1.0, 1e-4, 1.0, 3000, 4)
    seen: list[tuple[int, int]] = []
    fit = fit_power_law(
        values, criteria=Criteria(selection_replicates=20), progress=lambda done, all_: seen.append((done, all_))
    )
    assert fit.basis is Basis.SIGNIFICANCE
    assert fit.selection_repeated
    assert seen == [(done, 20) for done in range(1, 21)]
    assert not fit_power_law(values).selection_repeated


def test_outcomes_are_plain_and_repeatable() -> None:
    values, cluster = clustered_power_law(1.0, 1e-3, 1.0, 200, 20, 0.5, 0)
    first, second = (fit_power_law(values, cluster=cluster, seed=5).to_dict() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert set(first) >= NAMES


def test_a_summary_is_one_line() -> None:
    fit = fit_power_law(power_law(1.0, 1e-3, 1.0, 3000, 0))
    found = re.fullmatch(
        r"delta\^-(\S+) \[(\S+), (\S+)\] over (\S+) decades \(power law: [^\n]*\)", fit.summary().rstrip("\n")
    )
    assert found is not None
    exponent, low, high, decades = map(float, found.groups())
    assert low < 1.0 < high
    assert low < exponent < high
    assert decades == pytest.approx(3.0, abs=0.35)


@pytest.mark.parametrize("k", [-3.0, 1.0, 3.0])
def test_the_likelihood_is_that_of_the_values_but_for_their_place_in_cells(k: float) -> None:
    values = power_law(k, 1e-2, 1.0, 10_000, 0)
    fit = fit_power_law(values, (1e-2, 1.0))
    theta = 1 - float(fit.exponent or 0.0)
    log_normaliser = math.log(scipy.integrate.quad(lambda u: math.exp(theta * u), math.log(1e-2), 0.0)[0])
    exact = theta * np.log(values).sum() - len(values) * log_normaliser
    # A place that is uniform in a cell of width w has standard deviation w / sqrt(12); the slope inside cells is lost.
    spread = BIN_WIDTH / 12**0.5 * abs(theta) * len(values) ** 0.5
    lost = len(values) * (theta * BIN_WIDTH) ** 2 / 24
    assert abs(fit.log_likelihood - exact) < 4 * spread + lost + 0.01  # type: ignore[operator]
    # Two cells of the window's 296 at most are beyond the values or cut them.
    assert fit.decades == pytest.approx(math.log10(values.max() / values.min()), abs=2 * 2 / 256)


def test_the_sentence_says_what_its_p_value_is_of() -> None:
    values = power_law(1.0, 1e-3, 1.0, 3000, 0)
    assert "of the window as it is)" in fit_power_law(values).summary()
    assert ", search repeated)" in fit_power_law(values, criteria=Criteria(selection_replicates=20)).summary()
    given = fit_power_law(values, (1e-3, 1.0)).summary()
    assert "KS p" in given
    assert "as it is" not in given


@pytest.mark.parametrize("k", [1.8, 2.5])
def test_integers_are_fitted_as_integers(k: float) -> None:
    values = np.random.default_rng(0).zipf(k, 50_000)
    fit = fit_power_law(values, side="large", discrete=True)
    assert fit.exponent is not None
    assert fit.standard_error is not None
    assert abs(fit.exponent - k) < 4 * fit.standard_error
    # A continuous law from 1 on would be off by far more than its error.
    continuous = fit_power_law(values, Window(1.0, float(values.max())), side="large", discrete=False)
    assert continuous.exponent is not None
    assert abs(continuous.exponent - k) > 10 * fit.standard_error
    assert not continuous.established


def test_bounded_integers_with_an_exponent_below_one() -> None:
    support = np.arange(1, 1001)
    mass = support**-0.7
    values = np.random.default_rng(0).choice(support, 20_000, p=mass / mass.sum())
    fit = fit_power_law(values, Window(1, 1000), discrete=True)
    assert fit.exponent is not None
    assert fit.standard_error is not None
    assert abs(fit.exponent - 0.7) < 4 * fit.standard_error
    assert fit.window is not None
    assert fit.window.lo == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[], [1, 2, -3], [1.5, 2.0]])
def test_what_is_no_integer_data_is_refused(values: list[float]) -> None:
    with pytest.raises(InvalidInputError):
        fit_power_law(values, discrete=True)


@pytest.mark.parametrize(
    "options", [{"sign": "absolute"}, {"block": 2}, {"weights": np.ones(2002)}, {"nan": "omit"}, {"log_floor": 0.0}]
)
def test_integers_take_the_options_of_continuous_data(options: dict[str, Any]) -> None:
    values = np.append(np.random.default_rng(0).zipf(2.0, 2000).astype(np.float64), [0.0, 0.0])
    plain = fit_power_law(values, (1, 1e4), discrete=True, criteria=FEW)
    data = {"sign": np.where(np.arange(2002) % 2 == 0, values, -values), "nan": np.append(values, np.nan)}
    fit = fit_power_law(data.get(next(iter(options)), values), (1, 1e4), discrete=True, criteria=FEW, **options)
    assert fit.discrete
    assert (fit.exponent, fit.n, fit.zeros) == (pytest.approx(plain.exponent, abs=1e-9), plain.n, 2)
    assert fit.omitted == ("nan" in options)
    # The block of two is of independent values: its errors are known to 1/sqrt(2 * 1000).
    assert fit.standard_error == pytest.approx(plain.standard_error, rel=0.2 if "weights" in options else 0.1)


def test_a_sketch_holds_no_integers() -> None:
    with pytest.raises(InvalidInputError, match="sketches and histograms hold counts"):
        fit_power_law(LogSketch.from_values(np.arange(1.0, 100.0)), discrete=True)


def test_a_stability_map_is_flat_on_a_power_law() -> None:
    found = stability_map(power_law(1.2, 1e-4, 1.0, 30_000, 0))
    known = np.isfinite(found.exponent)
    pull = (found.exponent[known] - 1.2) / found.standard_error[known]
    assert np.abs(pull).max() < 4.5
    assert (found.ks_ratio[known] < 1).mean() > 0.5
    assert len(found.to_dict()["exponent"]) == known.sum()


def test_a_stability_map_needs_data() -> None:
    with pytest.raises(InvalidInputError, match="different sizes"):
        stability_map(np.zeros(100))


def test_the_fit_of_a_study_stays_fast() -> None:
    generator = np.random.default_rng(0)
    values = power_law(1.1, 1e-6, 1.0, 200_000, 0)
    sketch = LogSketch.from_values(values, generator.integers(0, 64, values.size), 64)
    fit_power_law(sketch)
    start = time.process_time()
    fit_power_law(sketch)
    assert time.process_time() - start < 2.0


def test_clusters_widen_the_error_and_shrink_the_effective_number() -> None:
    values, cluster = clustered_power_law(1.0, 1e-4, 1.0, 200, 50, 0.9, 1)
    fit = fit_power_law(values, Window(1e-4, 1.0), cluster=cluster)
    assert fit.standard_error is not None
    assert fit.naive_standard_error is not None
    # Equal correlation 0.9 of the copula in clusters of 50: a design effect of about 1 + 49 * 0.89.
    assert (fit.standard_error / fit.naive_standard_error) ** 2 == pytest.approx(44, rel=0.35)
    assert fit.effective_n == pytest.approx(10_000 / 44, rel=0.35)


def test_blocks_see_the_correlation_of_a_series() -> None:
    generator = np.random.default_rng(0)
    normal = np.zeros(40_000)
    noise = generator.standard_normal(40_000)
    for at in range(1, len(normal)):
        normal[at] = 0.9 * normal[at - 1] + (1 - 0.81) ** 0.5 * noise[at]
    values = 1e-4 ** (1 - scipy.stats.norm.cdf(normal))
    fit = fit_power_law(values, Window(1e-4, 1.0), block=200)
    # The uniform transform of AR(1) with 0.9 has nearly its correlations: (1 + 0.9) / (1 - 0.9) = 19.
    assert fit.effective_n == pytest.approx(40_000 / 19, rel=0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 2.5}, "block must be an integer"),
        ({"block": "a"}, "block must be an integer"),
        ({"seed": "a"}, "seed must be an integer"),
        ({"seed": None}, "seed must be an integer"),
        ({"criteria": 0.05}, "criteria must be Criteria"),
        ({"criteria": None}, "criteria must be Criteria"),
        ({"log_floor": math.nan}, "log_floor must be a number"),
        ({"log_floor": math.inf}, "log_floor must be a number"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str, without_shape_checker: None) -> None:
    with pytest.raises(InvalidInputError, match=message):
        fit_power_law(np.geomspace(1e-3, 1.0, 1000), **options)
    with pytest.raises(InvalidInputError, match="replicates must be an integer"):
        Criteria(replicates=20.5)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights_of_any_scale_are_the_same_weights(scale: float) -> None:
    values = power_law(1.0, 1e-3, 1.0, 2000, 0)
    fit = fit_power_law(values, (1e-3, 1.0), weights=np.full(2000, scale))
    assert fit.n == 2000
    # One weight that outweighs all is one value.
    lone = fit_power_law(values, (1e-3, 1.0), weights=np.append(1e300, np.ones(1999)))
    assert lone.grade is Grade.TOO_FEW
    assert "1 usable" in lone.reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sizes", [[1.0, 100.0], [1e-3, 1.0, 1e3]], ids=len)
def test_a_few_sizes_are_too_few(sizes: list[float]) -> None:
    values = np.repeat(sizes, 500)
    for data in (values, LogSketch.from_values(values)):
        fit = fit_power_law(data, criteria=FEW)
        assert fit.grade is Grade.TOO_FEW
        assert f"in {len(sizes)} bins are too few" in fit.reason
        assert fit.exponent is not None


def test_a_grid_of_sizes_is_a_histogram() -> None:
    values = np.repeat(np.geomspace(1.0, 1e4, 50), 500)
    fit = fit_power_law(values, criteria=FEW)
    assert fit.grade is Grade.POWER_LAW
    # As many on each of equal steps in ln x.
    assert fit.exponent == pytest.approx(1.0, abs=1e-6)
    # A sketch has no such cells: its bins between the sizes are empty.
    assert not fit_power_law(LogSketch.from_values(values), criteria=FEW).established


@pytest.mark.filterwarnings("error")
def test_large_integers_are_cells_or_refused() -> None:
    assert fit_power_law(np.full(1000, 2**53), discrete=True).verdict is Grade.TOO_FEW
    with pytest.raises(InvalidInputError, match=r"above 2\^53"):
        fit_power_law(np.full(1000, 10**17), discrete=True)


@pytest.mark.parametrize(("k", "power"), [(0.5, -0.5), (2.0, 1.0), (0.2, -0.8)])
def test_errors_contain_what_weights_that_go_with_the_sizes_add(k: float, power: float) -> None:
    """Weights ``x^p`` make k a law of exponent k - p; the sandwich is ``sum w^2 (u - m)^2 / (sum w Var u)^2``."""
    x = power_law(k, 1e-3, 1.0, 20_000, 4)
    weights = x**power
    fit = fit_power_law(x, Window(1e-3, 1.0), weights=weights)
    u, share = np.log(x), weights / weights.sum()
    # The law of the weighted values is k = 1: u is uniform, of variance range^2 / 12.
    middle, variance = 0.5 * np.log(1e-3), np.log(1e3) ** 2 / 12
    expected = np.sqrt((share**2 * (u - middle) ** 2).sum()) / variance
    # A variance from 256 groups is known to 9%, and its root to half of that.
    assert fit.standard_error == pytest.approx(expected, rel=4 * 0.045)
    assert fit.exponent == pytest.approx(1.0, abs=4 * expected)


def test_many_clusters_of_many_integers() -> None:
    """Groups times cells beyond 2^15: what is counted where does not wrap around."""
    generator = np.random.default_rng(5)
    values = np.floor(power_law(1.5, 1.0, 1e6, 30_000, 6))
    fit = fit_power_law(values, (1, 1e5), cluster=generator.integers(0, 200, values.size), discrete=True)
    lone = fit_power_law(values, (1, 1e5), discrete=True)
    assert fit.exponent == pytest.approx(lone.exponent, rel=1e-9)
    # The clusters are random: errors over 200 of them are those of independent values, known to 5%.
    assert fit.standard_error == pytest.approx(lone.standard_error, rel=0.2)
