"""Push-forward against Monte Carlo, closed forms and numerical differentiation of its own density."""

import math

import numpy as np
import pytest
import scipy.stats

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.prediction import InputDensity, caustics_of, parse_density
from critlearn.prediction.push_forward.channel import BiasChannel, WeightChannel
from critlearn.prediction.push_forward.push_forward import push_forward

CASES = [
    ("sigmoid", "bce", "uniform(-0.3,2.3)"),
    ("tanh", "mse", "uniform(-0.3,2.3)"),
    ("softsign", "bce", "normal(1,1)"),
    ("erf", "mse", "laplace(1,0.7)"),
    ("arctan", "mse", "laplace(1,0.7)"),
    ("isru", "mae", "normal(1,1)"),
    ("identity", "cauchy", "normal(1,1)"),
    ("identity", "power:3", "normal(0.5,2)"),
]


@pytest.mark.parametrize(("activation", "loss", "inputs"), CASES)
@pytest.mark.parametrize("kind", ["bias", "weight"])
def test_bin_probabilities_match_monte_carlo(activation: str, loss: str, inputs: str, kind: str) -> None:
    density = parse_density(inputs)
    channels = [BiasChannel(Composition(activation, loss), 3.0, side * 0.1, math.log(0.5)) for side in (1, -1)]
    if kind == "weight":
        channels = [WeightChannel(channel) for channel in channels]
    result = push_forward(density, channels)
    assert result.mass.sum() == pytest.approx(1, abs=1e-6)
    samples = 400_000
    x = density.sample(2 * samples, np.random.default_rng(7)).reshape(2, samples)
    u = np.concatenate([channel.log_fluctuation(part) for channel, part in zip(channels, x, strict=True)])
    counts = np.histogram(u, bins=result.edges)[0]
    expected = result.mass * u.size
    usual = expected > 20
    chi_squared = ((counts - expected)[usual] ** 2 / expected[usual]).sum()
    # Four standard deviations of chi-squared with this many degrees of freedom.
    degrees = int(usual.sum())
    assert abs(chi_squared - degrees) < 4 * math.sqrt(2 * degrees) + 4


@pytest.mark.parametrize(("activation", "loss", "inputs"), CASES)
def test_local_exponent_is_the_slope_of_the_density(activation: str, loss: str, inputs: str) -> None:
    result = push_forward(parse_density(inputs), [BiasChannel(Composition(activation, loss), 2.0, 0.3)])
    width = np.diff(result.edges)
    u, log_density = result.centres, np.log(result.mass / width)
    slope = 1 - (log_density[2:] - log_density[:-2]) / (u[2:] - u[:-2])
    inner = result.local_exponent[1:-1]
    # Away from caustics, kinks and ends, where the density is smooth over three bins.
    bend = np.abs(np.diff(log_density, 2))
    smooth = (bend < 0.02 * width[0]) & np.isfinite(inner)
    assert smooth.mean() > 0.5
    assert np.median(np.abs(slope - inner)[smooth]) < 2e-3


def test_gaussian_margins_with_an_exponential_error_are_lognormal() -> None:
    # Far in the tail g = exp(-y): then ln delta is Gaussian and k = 1 + (ln delta + mean) / variance.
    mean, deviation = 60.0, 4.0
    result = push_forward(InputDensity("normal", mean, deviation), [BiasChannel(Composition("sigmoid", "bce"))])
    u = result.centres
    exact = scipy.stats.norm(-mean, deviation)
    probability = exact.cdf(result.edges[1:]) - exact.cdf(result.edges[:-1])
    central = np.abs(u + mean) < 5 * deviation
    np.testing.assert_allclose(result.mass[central], probability[central], rtol=1e-7)
    np.testing.assert_allclose(result.local_exponent, 1 + (u + mean) / deviation**2, atol=1e-9)


def test_largest_fluctuation_of_tanh_with_squared_error_is_a_fold() -> None:
    result = push_forward(parse_density("uniform(-3,5)"), [BiasChannel(Composition("tanh", "mse"))])
    # h' = 2 (1 - f) (1 - f^2) is largest where f = -1/3.
    largest = 2 * (4 / 3) * (8 / 9)
    assert [caustic.kind for caustic in result.caustics] == ["fold"]
    assert result.caustics[0].log_delta == pytest.approx(math.log(largest), abs=1e-9)
    # Near it the probability within a distance grows as the square root of the distance.
    distance = largest - np.exp(result.edges[:-1])
    within = np.cumsum(result.mass[::-1])[::-1]
    near = (distance > 1e-3 * largest) & (distance < 2e-2 * largest)
    exponent = np.polyfit(np.log(distance[near]), np.log(within[near]), 1)[0]
    assert exponent == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_caustics_of_a_composition_need_no_density(rate: float) -> None:
    (fold,) = caustics_of(Composition("tanh", "mse"), lr=rate)
    # The density is |delta - delta_c|^-exponent.
    assert (fold.kind, fold.order, fold.exponent) == ("fold", 2, 0.5)
    assert fold.log_delta == pytest.approx(math.log(rate * 64 / 27), abs=1e-9)


def test_a_periodic_output_has_the_caustics_of_its_period() -> None:
    # |2 (sin y - 1/2) cos y| is stationary where 4 s^2 - s - 2 = 0.
    found = caustics_of(Composition("sin(y)", "mse"), target=0.5)
    sines = [(1 + side * math.sqrt(33)) / 8 for side in (1, -1)]
    sizes = sorted(abs(2 * (s - 0.5)) * math.sqrt(1 - s * s) for s in sines)
    assert [caustic.log_delta for caustic in found] == pytest.approx(np.log(sizes), abs=1e-9)


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", "bce"), ("relu", "mse"), ("softsign", "bce")])
def test_compositions_without_a_turning_point_have_no_caustics(activation: str, loss: str) -> None:
    assert caustics_of(Composition(activation, loss)) == ()


def test_an_output_that_oscillates_too_fast_is_refused() -> None:
    channel = BiasChannel(Composition("tanh(y)+0.001*sin(1000*y)", "mse"))
    with pytest.raises(InvalidInputError, match="more than 1000 times between"):
        push_forward(parse_density("uniform(-1.2,9.2)"), [channel])


def test_kinks_are_not_caustics() -> None:
    result = push_forward(parse_density("uniform(-3,5)"), [BiasChannel(Composition("softsign", "mse"))])
    assert result.caustics == ()


def test_constant_error_signal_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="same for every input"):
        push_forward(parse_density("normal(0,1)"), [BiasChannel(Composition("identity", "mae"))])


def test_a_weight_whose_square_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="smaller learning rate"):
        BiasChannel(Composition("tanh", "mse"), weight=-1e300)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("activation", ["1+(y-1)**2", "2-cos((y-1)*sqrt(2))"])
def test_touching_the_target_is_followed_far_down(activation: str) -> None:
    # f - 1 ~ r^2, so that |dh/dy| = 4 |r|^3 near y = 1, and no caustic arises there.
    density = InputDensity("normal", 0.0, 2.0)
    result = push_forward(density, [BiasChannel(Composition(activation, "mse"))])
    for log_delta in (-55.0, -45.0, -30.0):
        r = (math.exp(log_delta) / 4) ** (1 / 3)
        exact = 2 * r * scipy.stats.norm(0, 2).pdf(1)
        if activation.startswith("2"):
            # The other zeros of order 3 are those of the period; only the nearest are probable.
            places = 1 + math.sqrt(2) * math.pi * np.arange(-4, 4)
            exact = 2 * r * scipy.stats.norm(0, 2).pdf(places).sum()
            flat = 1 + math.pi * (np.arange(-4, 4) + 0.5) * math.sqrt(2)
            exact += 2 * math.exp(log_delta) / 8 * scipy.stats.norm(0, 2).pdf(flat).sum()
        assert result.cumulative(np.array([log_delta]))[0] == pytest.approx(exact, rel=1e-3)
    assert np.exp([caustic.log_delta for caustic in result.caustics]).tolist() == pytest.approx(
        [] if activation.startswith("1") else [2 * math.sqrt(2) * 3 * math.sqrt(3) / 4]
    )


def test_the_density_does_not_drop_at_the_ends_of_its_support() -> None:
    # softsign with squared error at y = x > 0: delta = 2 (1 + y)^-3, so that p(ln delta) = (1 + y) / (3 * 1.5).
    result = push_forward(parse_density("uniform(0.5,2.0)"), [BiasChannel(Composition("softsign", "mse"), 1.0, 0.0)])
    ends = [math.log(2) - 3 * math.log(1 + y) for y in (2.0, 0.5)]
    edges = np.clip(result.edges, *ends)
    centres = 0.5 * (edges[1:] + edges[:-1])
    exact = np.exp((math.log(2) - centres) / 3) / 4.5
    np.testing.assert_allclose(np.exp(result.log_density), exact, rtol=1e-4)
