"""A fitted law is a distribution: held against SciPy, mpmath, sums over integers, and its own inverse."""

import math
import pickle

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats

from critlearn.errors import InvalidInputError
from critlearn.inference.laws.fitted_law import FittedLaw

Q = np.array([1e-3, 0.1, 0.5, 0.9, 1 - 1e-9])

LAWS = [
    FittedLaw(2.5, 0.3),
    FittedLaw(0.4, 0.0, 5.0),
    FittedLaw(1.0, 1e-4, 1e4),
    FittedLaw(1.7, 1e-3, 20.0),
    FittedLaw(1.5, 1.0, scale=100.0),
    FittedLaw(0.5, 0.0, scale=2.0),
    FittedLaw(2.0, 0.1, 50.0, scale=10.0),
]
INTEGERS = [
    FittedLaw(2.5, 1, discrete=True),
    FittedLaw(1.95, 7, discrete=True),
    FittedLaw(1.0, 2, 500_000, discrete=True),
    FittedLaw(1.5, 1, scale=100.0, discrete=True),
    FittedLaw(1.5, 3, scale=5_000.0, discrete=True),
]


def named(law: FittedLaw) -> str:
    return law.summary()


def test_above_a_lower_end_it_is_a_pareto_law() -> None:
    law, known = FittedLaw(2.5, 0.3), scipy.stats.pareto(1.5, scale=0.3)
    x = np.array([0.3, 0.301, 1.0, 1e4, 1e100])
    np.testing.assert_allclose(law.pdf(x), known.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.ccdf(x), known.sf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), known.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.ppf(Q), known.ppf(Q), rtol=1e-12)


def test_between_two_ends_it_is_a_truncated_pareto_law() -> None:
    law, known = FittedLaw(1.7, 2.0, 2e3), scipy.stats.truncpareto(0.7, 1e3, scale=2.0)
    x = np.array([2.001, 3.0, 50.0, 1990.0])
    for name, reference in (("pdf", known.pdf), ("cdf", known.cdf), ("ccdf", known.sf)):
        np.testing.assert_allclose(getattr(law, name)(x), reference(x), rtol=1e-11)
    np.testing.assert_allclose(law.ppf(Q), known.ppf(Q), rtol=1e-12)


@pytest.mark.parametrize("k", [-1.0, 0.3, 1 - 1e-9, 1.0, 1 + 1e-9, 1.5])
def test_every_exponent_has_both_tails(k: float) -> None:
    law, top = FittedLaw(k, 1.0, 1e8), mpmath.mpf(10) ** 8
    with mpmath.workdps(50):
        theta = 1 - mpmath.mpf(k)

        def mass(low: mpmath.mpf, high: mpmath.mpf) -> mpmath.mpf:
            return mpmath.log(high / low) if theta == 0 else (high**theta - low**theta) / theta

        x = [1 + 1e-6, 3.0, 1e4, 9.99e7]
        above = [float(mass(mpmath.mpf(v), top) / mass(mpmath.mpf(1), top)) for v in x]
        below = [float(mass(mpmath.mpf(1), mpmath.mpf(v)) / mass(mpmath.mpf(1), top)) for v in x]
    # Distances to an end are differences of logarithms, exact to the last digit of ln 10^8.
    np.testing.assert_allclose(law.ccdf(x), above, rtol=1e-11)
    np.testing.assert_allclose(law.cdf(x), below, rtol=1e-11)
    np.testing.assert_allclose(law.cdf(law.ppf(Q)), Q, rtol=1e-12)


@pytest.mark.parametrize(
    ("k", "scale", "low", "high"),
    [(1.5, 100.0, 1.0, None), (1.0, 10.0, 1.0, None), (0.5, 50.0, 1e-3, None), (3.3, 1e3, 1e-5, None),
     (1.5, 100.0, 1.0, 500.0), (-1.0, 7.0, 0.1, None)],
)  # fmt: skip
def test_a_cut_off_is_an_incomplete_gamma_function(k: float, scale: float, low: float, high: float | None) -> None:
    law = FittedLaw(k, low, math.inf if high is None else high, scale=scale)
    x = np.array([low * 1.001, 2 * low, scale / 3, scale, 3 * scale] + ([100 * scale] if high is None else []))
    with mpmath.workdps(60):
        from_there = {v: mpmath.gammainc(1 - mpmath.mpf(k), mpmath.mpf(v) / scale) for v in [low, *x, high or 1.0]}
        end = 0 if high is None else from_there[high]
        total = from_there[low] - end
        above = [float((from_there[v] - end) / total) for v in x]
        below = [float((from_there[low] - from_there[v]) / total) for v in x]
        norm = total * mpmath.mpf(scale) ** (1 - k)
        density = [float(mpmath.mpf(v) ** -k * mpmath.exp(-v / scale) / norm) for v in x]
    np.testing.assert_allclose(law.ccdf(x), above, rtol=1e-11)
    np.testing.assert_allclose(law.cdf(x), below, rtol=1e-11)
    np.testing.assert_allclose(law.pdf(x), density, rtol=1e-11)


def test_down_to_zero_a_cut_off_makes_it_a_gamma_law() -> None:
    law, known, x = FittedLaw(0.5, 0.0, scale=2.0), scipy.stats.gamma(0.5, scale=2.0), [1e-30, 1e-3, 1.0, 5.0, 100.0]
    np.testing.assert_allclose(law.pdf(x), known.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), known.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.ccdf(x), known.sf(x), rtol=1e-12)
    np.testing.assert_allclose(law.ppf([1e-12, *Q]), known.ppf([1e-12, *Q]), rtol=1e-12)


@pytest.mark.parametrize("k", [1.1, 2.0, 3.5])
@pytest.mark.parametrize("first", [1, 7, 10_000, 10**9])
def test_integers_are_normalised_by_a_zeta_function(k: float, first: int) -> None:
    law, x = FittedLaw(k, first, discrete=True), first + np.array([0, 1, 5, 1000, 100_000, 10**7])
    total = scipy.special.zeta(k, first)
    np.testing.assert_allclose(law.pmf(x), x**-k / total, rtol=1e-12)
    np.testing.assert_allclose(law.ccdf(x), scipy.special.zeta(k, x + 1) / total, rtol=1e-12)
    np.testing.assert_array_equal(law.ppf(law.cdf(x[:4])), x[:4])


def test_from_one_on_it_is_zipfs_law() -> None:
    law, known, x = FittedLaw(2.2, 1, discrete=True), scipy.stats.zipf(2.2), np.array([-1, 0, 1, 1.5, 2, 17, 1000])
    np.testing.assert_allclose(law.pdf(x), known.pmf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), known.cdf(x), rtol=1e-10)
    np.testing.assert_array_equal(law.ppf([0, *Q[:4], 1]), known.ppf([0, *Q[:4], 1]))


@pytest.mark.parametrize("law", INTEGERS[2:], ids=named)
def test_bounded_and_cut_off_integers_are_summed(law: FittedLaw) -> None:
    last = law.upper if math.isfinite(law.upper) else 600 * math.exp(law.log_scale)
    x = np.arange(law.lower, last + 1)
    mass = x**-law.exponent * np.exp(-x / math.exp(law.log_scale))
    at = np.array([0, 1, 10, 450])
    np.testing.assert_allclose(law.pdf(x[at]), mass[at] / mass.sum(), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x[at]), np.cumsum(mass)[at] / mass.sum(), rtol=1e-12)
    from_there = np.cumsum(mass[::-1])[::-1]
    np.testing.assert_allclose(law.ccdf(x[at]), from_there[at + 1] / mass.sum(), rtol=1e-11)
    assert law.ccdf(law.upper) == 0


@pytest.mark.parametrize("law", LAWS, ids=named)
def test_the_density_is_the_derivative_of_the_distribution(law: FittedLaw) -> None:
    x = law.ppf(np.array([0.1, 0.5, 0.9]))
    step = 1e-5 * x
    np.testing.assert_allclose((law.cdf(x + step) - law.cdf(x - step)) / (2 * step), law.pdf(x), rtol=1e-7)
    np.testing.assert_allclose(np.exp(law.log_density(np.log(x))), x * law.pdf(x), rtol=1e-12)


@pytest.mark.parametrize("law", LAWS + INTEGERS, ids=named)
def test_quantiles_invert_the_distribution(law: FittedLaw) -> None:
    q = np.linspace(0.01, 0.99, 57)
    x = law.ppf(q)
    if law.discrete:
        assert (law.cdf(x) >= q).all()
        assert (law.cdf(x - 1) < q).all()
    else:
        np.testing.assert_allclose(law.cdf(x), q, rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x) + law.ccdf(x), 1, rtol=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=named)
def test_draws_follow_the_law(law: FittedLaw) -> None:
    assert scipy.stats.kstest(law.rvs(20_000, random_state=1), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("law", INTEGERS, ids=named)
def test_drawn_integers_follow_the_law(law: FittedLaw) -> None:
    drawn = law.rvs(20_000, random_state=1)
    x = np.arange(law.lower, law.lower + 6)
    seen = np.append([(drawn == v).sum() for v in x], (drawn > x[-1]).sum())
    assert scipy.stats.chisquare(seen, drawn.size * np.append(law.pmf(x), law.ccdf(x[-1]))).pvalue > 1e-3


@pytest.mark.parametrize("law", LAWS + INTEGERS, ids=named)
def test_numbers_give_numbers_and_arrays_arrays(law: FittedLaw) -> None:
    for method in (law.pdf, law.cdf, law.ccdf, law.ppf):
        assert isinstance(method(0.5), float)
        assert method([[0.5, 0.6, math.nan]]).shape == (1, 3)
        assert math.isnan(method(math.nan))
    assert isinstance(law.rvs(random_state=0), float)
    assert law.rvs((2, 3), random_state=0).shape == (2, 3)
    np.testing.assert_array_equal(law.rvs(5, np.random.default_rng(3)), law.rvs(5, 3))
    assert law.pdf([-1.0, 0.0, math.inf]).tolist() == [0, 0, 0] or law.lower == 0
    assert law.cdf([-1.0, math.inf]).tolist() == [0, 1]
    assert law.ccdf([-1.0, math.inf]).tolist() == [1, 0]
    assert np.isnan(law.ppf([-0.1, 1.1])).all()
    assert law.ppf(1.0) == law.upper
    assert law.ppf(0.0) == (law.lower - 1 if law.discrete else law.lower)
    assert pickle.loads(pickle.dumps(law)) == law


@pytest.mark.parametrize("law", LAWS[1:4], ids=named)
def test_the_ends_belong_to_the_window(law: FittedLaw) -> None:
    assert law.pdf(law.upper) > 0
    assert law.pdf(law.upper * 1.001) == 0
    assert law.pdf(law.lower * 0.999) == 0 or law.lower == 0


def test_windows_of_hundreds_of_decades_neither_overflow_nor_vanish() -> None:
    ten = math.log(10)
    law = FittedLaw.from_logs(1.0, -700 * ten, -400 * ten)
    assert law.log_ppf(np.array([0.5]))[0] == pytest.approx(-550 * ten)
    assert law.log_ccdf(np.array([-401 * ten]))[0] == pytest.approx(-math.log(300))
    for k in (0.5, 1.5):
        law = FittedLaw.from_logs(k, -300 * ten, 0.0)
        u = law.log_ppf(np.array([0.25, 0.75]))
        np.testing.assert_allclose(np.exp(law.log_ccdf(u)), [0.75, 0.25], rtol=1e-10)
    law = FittedLaw.from_logs(3.0, -300 * ten, log_scale=0.0)
    assert law.log_ccdf(np.array([-ten]))[0] < -1000


def test_the_tail_is_exact_where_the_share_is_far_below_the_resolution_of_one() -> None:
    assert FittedLaw(2.5, 1.0).ccdf(1e200) == pytest.approx(1e-300, rel=1e-10)
    assert FittedLaw(1.5, 1.0, scale=10.0).ccdf(6_000.0) == pytest.approx(
        float(mpmath.gammainc(-0.5, 600) / mpmath.gammainc(-0.5, 0.1)), rel=1e-10
    )


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((1.0, 1.0), {}), ((2.0, 0.0), {}), ((2.0, 0.0, 1.0), {}), ((2.0, 3.0, 2.0), {}), ((math.nan, 1.0, 2.0), {}),
     ((2.0, 0.0), {"discrete": True}), ((0.5, 1.0, math.nan), {}), ((0.5, 1.0), {"scale": -1.0}),
     ((2.0, -1.0, 1.0), {})],
)  # fmt: skip
def test_what_is_no_law_is_refused(arguments: tuple[float, ...], options: dict) -> None:
    with pytest.raises(InvalidInputError, match="law"):
        FittedLaw(*arguments, **options)


def test_a_continuous_law_has_no_probabilities_of_numbers() -> None:
    with pytest.raises(InvalidInputError, match="pdf"):
        FittedLaw(2.0, 1.0).pmf(1.0)
