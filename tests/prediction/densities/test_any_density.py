"""Densities of any origin pushed through compositions: known exponents, normalisation, sampling, refusals."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from critlearn.compositions import ACTIVATIONS, LOSSES, Composition, find_loss
from critlearn.errors import CritlearnError
from critlearn.prediction import density_from, predict_from_density
from critlearn.prediction.push_forward.channel import BiasChannel
from critlearn.prediction.push_forward.push_forward import push_forward

# Theory, more check values: (activation, loss, density, target, exponent).
CHECKED = [
    ("identity", "power:3", "normal(0,1)", 0, 1 / 2),
    ("identity", "power:4", "normal(0,1)", 0, 2 / 3),
    ("identity", "power:6", "normal(0,1)", 0, 4 / 5),
    ("identity", "power:1.5", "normal(0,1)", 0, -1),
    ("square", "mse", "normal(0,1)", 0, 2 / 3),
    ("tanh", "mse", "uniform(-12,12)", 1, 1),
    ("sigmoid", "bce", "laplace(0,2)", 1, 1 / 2),
    ("sigmoid", "mse", "laplace(0,2)", 1, 3 / 4),
    ("sigmoid", "mse", "laplace(0,1)", 1, 1 / 2),
]


@pytest.mark.parametrize(("activation", "loss", "density", "target", "exponent"), CHECKED)
def test_theory_check_values(activation: str, loss: str, density: str, target: float, exponent: float) -> None:
    prediction = predict_from_density(Composition(activation, loss), density, target=target)
    assert prediction.exponent == pytest.approx(exponent, abs=1e-4)
    assert prediction.window is not None
    assert prediction.window.decades > 1


PAIRS = [
    (activation, loss)
    for activation, entry in ACTIVATIONS.items()
    for loss in [*LOSSES, "power:3"]
    if (entry.bounded or not find_loss(loss).needs_saturation) and (activation, loss) != ("identity", "mae")
]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_catalogue_entry_integrates_to_one(activation: str) -> None:
    for other, loss in PAIRS:
        if other == activation:
            result = push_forward(density_from("normal(0.5,2)"), [BiasChannel(Composition(activation, loss))])
            assert result.mass.sum() + result.zeros == pytest.approx(1, abs=1e-6), loss


def test_kappa_and_data_term_add_up() -> None:
    prediction = predict_from_density(Composition("softsign", "mse"), "normal(3,1)")
    distribution = prediction.distribution
    assert distribution.intrinsic_exponent is not None
    assert distribution.data_term is not None
    single = distribution.centres < -3.0  # one branch alone: kappa of softsign and squared error is 4/3 there
    np.testing.assert_allclose(distribution.intrinsic_exponent[single], 4 / 3, atol=1e-9)
    np.testing.assert_allclose(
        distribution.local_exponent, distribution.intrinsic_exponent - distribution.data_term, atol=1e-12
    )


@pytest.mark.parametrize("density", ["0.3*normal(-1,1)+0.7*laplace(2,0.5)", "t(3)", "gamma(2)"])
def test_samples_follow_the_density(density: str) -> None:
    prediction = predict_from_density(Composition("tanh", "mse"), density).distribution
    generator = np.random.default_rng(9)
    drawn = prediction.rvs(20_000, generator)
    assert scipy.stats.kstest(drawn, prediction.cumulative).pvalue > 1e-4
    # An independent route: draw pre-activations and compute their fluctuations.
    y = density_from(density).sample(20_000, generator)  # type: ignore[attr-defined]
    other = Composition("tanh", "mse").log_error_signal(y)
    assert scipy.stats.ks_2samp(drawn, other).pvalue > 1e-4


def test_higher_caustic() -> None:
    # The error signal f^3 + 8 has an inflection with vanishing slope at 0: order 3, exponent 1/3 - 1.
    distribution = predict_from_density(Composition("y", "f**4/4 + 8*f"), "normal(0.1,0.4)").distribution
    assert distribution.mass.sum() == pytest.approx(1, abs=1e-6)
    (caustic,) = distribution.caustics
    assert (caustic.order, caustic.exponent) == (3, pytest.approx(2 / 3))
    assert caustic.log_delta == pytest.approx(np.log(8), abs=1e-9)


@pytest.mark.slow
def test_atoms_and_zeros_carry_their_probability() -> None:
    huber = predict_from_density(Composition("identity", "huber"), "normal(0,1)", target=0).distribution
    at_one = int(np.searchsorted(huber.edges, 0.0, side="right")) - 1
    assert huber.mass[at_one] == pytest.approx(2 * scipy.stats.norm.sf(1), abs=0.01)
    relu = predict_from_density(Composition("max(y,0)", "e**2"), "normal(0,1)", target=1).distribution
    assert relu.zeros == pytest.approx(0.5, abs=1e-6)
    assert relu.zeros + relu.mass.sum() == pytest.approx(1, abs=1e-6)


class _Half(scipy.stats.rv_continuous):
    def _pdf(self, x: np.ndarray) -> np.ndarray:
        return 0.3 * np.exp(-x * x)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0.5*normal(0,1)", "integrates to 0.5"),
        ("foo(1)", "unknown input density"),
        ("norm(0,-1)", "out of range"),
        ("t(a)", "needs numbers"),
        ("missing.csv:a", "cannot be read"),
        ("__import__('os')", "unknown input density"),
        (_Half()(), "integrates to 0.53"),
        ([1.0, 2.0], "at least 10"),
        (scipy.stats.poisson(3), '"poisson" is discrete'),
        ("poisson(3)", '"poisson" is discrete'),
        ("nothing", "allowed are sums of WEIGHT*FAMILY(NUMBERS)"),
        ("normal(0,1)+", "allowed are sums of WEIGHT*FAMILY(NUMBERS)"),
        ({"a": 1}, "got dict"),
    ],
)
def test_what_is_no_density_is_refused(given: object, words: str) -> None:
    with pytest.raises(CritlearnError) as caught:
        density_from(given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("activation", "loss", "law", "exponent"),
    [
        # kappa = 1; ln p = -|y|/b adds 1/b per unit of margin, divided by the rate c of exp(-c m): k = 1 - 1/(b c).
        ("sigmoid", "bce", scipy.stats.laplace(0, 2), 1 / 2),  # c = 1
        ("sigmoid", "mse", scipy.stats.laplace(0, 1), 1 / 2),  # c = 2
        ("sigmoid", "bce", scipy.stats.logistic(0, 2), 1 / 2),
        ("y", "log(abs(e))", scipy.stats.norm(), 2),  # delta = 1/|y - 1|, p finite at the pole: p(delta) ~ delta^-2
    ],
)
def test_exponent_is_the_limit_and_not_the_edge_of_the_tolerance(
    activation: str, loss: str, law: object, exponent: float
) -> None:
    assert predict_from_density(Composition(activation, loss), law).exponent == pytest.approx(exponent, abs=1e-3)


# Softsign and squared error: delta ~ m^-3 far out, hence k = 1 - b/3 for p ~ m^-(1+b).
@pytest.mark.parametrize(
    ("law", "exponent"),
    [
        (scipy.stats.levy(), 5 / 6),
        (scipy.stats.pareto(0.3), 0.9),
        (scipy.stats.invgamma(0.3), 0.9),
        (scipy.stats.beta(0.05, 0.05), None),
        (scipy.stats.gamma(0.1), None),
        (scipy.stats.lognorm(5), None),
    ],
)
def test_heavy_tails_and_singular_ends_keep_their_probability(law: object, exponent: float | None) -> None:
    prediction = predict_from_density(Composition("softsign", "mse"), law)
    assert prediction.distribution.mass.sum() + prediction.distribution.zeros == pytest.approx(1, abs=1e-6)
    if exponent is not None:
        assert prediction.exponent == pytest.approx(exponent, abs=1e-3)


def test_lost_probability_is_refused() -> None:
    # The median of |y| is about 2^(1/0.001) = 1e301, the upper tenth lies beyond the largest double.
    with pytest.raises(CritlearnError, match="cannot be followed"):
        predict_from_density(Composition("softsign", "mse"), scipy.stats.pareto(0.001))


@pytest.mark.parametrize("file", ["g(1).csv", "G.CSV", "plain.csv"])
def test_columns_of_files_by_any_name(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.linspace(-1, 1, 41)
    Path(file).write_text("u,v\n" + "".join(f"0,{value}\n" for value in values))
    density = density_from(f"{file}:v")
    assert density.cumulative(np.array([0.0]))[0] == pytest.approx(0.5, abs=1e-3)
