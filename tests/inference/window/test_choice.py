"""Which of the windows a fit rests on: given, by a criterion, of a law with cut-off, a small tail, or the nearest."""

import math

import numpy as np
import pytest

from critlearn.errors import InvalidInputError
from critlearn.inference import Basis, Criteria, Grade, Histogram, fit_power_law
from reference.power_law_samples import integers, power_law, with_cutoff

FEW = Criteria(replicates=50)


def with_small_tail(seed: int) -> np.ndarray:
    """192,000 values of a lognormal below 1, and 8,000 of a law with k = 2.3 from 1 on."""
    generator = np.random.default_rng(seed)
    body = np.exp(generator.normal(-1.5, 1.0, 300_000))
    tail = power_law(2.3, 1.0, math.inf, 8_000, seed)
    return generator.permutation(np.concatenate([body[body < 1][:192_000], tail]))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_tail_of_few_values_is_found_above_its_body(seed: int) -> None:
    fit = fit_power_law(with_small_tail(seed), criteria=FEW)
    assert fit.retained is not None
    assert 0.005 < fit.retained < 0.05
    assert fit.window is not None
    assert fit.window.lo > 0.9
    assert fit.grade in (Grade.POWER_LAW, Grade.COMPATIBLE)
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(2.3, abs=4 * fit.standard_error)


@pytest.mark.parametrize(("kind", "law"), [("continuous", None), ("integers", True)])
def test_a_window_to_infinity_is_a_lower_end_alone(kind: str, law: bool | None) -> None:
    values = power_law(2.5, 1.0, math.inf, 5_000, 0) if kind == "continuous" else integers(2.5, 1, 5_000, 0)
    fits = [
        fit_power_law(values, (2.0, math.inf), discrete=law, criteria=FEW),
        fit_power_law(values, xmin=2.0, discrete=law, criteria=FEW),
        fit_power_law(values, xmin=2.0, discrete=law, criteria=FEW, side="large"),
    ]
    assert fits[0].to_dict() == fits[1].to_dict() == fits[2].to_dict()
    assert fits[0].basis is Basis.GIVEN
    assert fits[0].n == (values >= 2.0).sum()
    assert fits[0].law is not None
    assert (fits[0].law.lower, fits[0].law.upper) == (pytest.approx(2.0), math.inf)
    if kind == "continuous":
        kept = values[values >= 2.0]
        # The estimator of Hill.
        assert fits[0].exponent == pytest.approx(1 + kept.size / np.log(kept / 2.0).sum(), rel=1e-3)


def test_a_lower_end_and_a_window_are_one_too_many() -> None:
    values = power_law(2.5, 1.0, math.inf, 500, 0)
    with pytest.raises(InvalidInputError, match="give one of the two"):
        fit_power_law(values, (1.0, 10.0), xmin=2.0)
    with pytest.raises(InvalidInputError, match="has an upper end"):
        fit_power_law(values, xmin=2.0, side="small")


def test_decades_are_those_of_the_values() -> None:
    values = power_law(1.5, 1.0, 2259.0, 2_000, 0)
    fit = fit_power_law(values, (1.0, 1e9), criteria=FEW)
    assert fit.decades == pytest.approx(math.log10(values.max() / values.min()), abs=0.1)
    assert fit.window is not None
    assert fit.window.hi < 1.1 * values.max()


def test_a_law_to_infinity_that_ends_smoothly_is_fitted_with_its_cutoff() -> None:
    fit = fit_power_law(with_cutoff(1.5, 100.0, 20_000, 0), xmin=1.0, criteria=FEW)
    assert fit.basis is Basis.GIVEN
    assert fit.grade is Grade.CUT_OFF
    assert fit.cutoff is not None
    assert fit.cutoff.scale == pytest.approx(100.0, abs=4 * fit.cutoff.scale_error)
    # A window that ends below the cut-off has none.
    assert fit_power_law(with_cutoff(1.5, 1e4, 20_000, 0), (1.0, 100.0), criteria=FEW).cutoff is None


def test_where_every_window_is_rejected_there_is_the_nearest() -> None:
    # Exponent 1 + 0.75 cos(2 u): a period of 1.4 decades, in no decade of which it is constant.
    u = np.linspace(0.0, math.log(1e8), 100_001)
    share = np.cumsum(np.exp(0.375 * np.sin(2 * u)))
    values = np.exp(np.interp(np.random.default_rng(0).random(100_000), share / share[-1], u))
    fit = fit_power_law(values, criteria=FEW)
    assert fit.basis is Basis.NEAREST
    assert fit.grade is Grade.REJECTED
    assert fit.exponent is not None
    assert fit.decades is not None
    assert fit.decades > 0.95


def test_a_drift_of_an_exponent_is_told_with_its_size() -> None:
    """The exponent of 1e8 counts goes from 1.4 to 1.6 over two decades: significant, and within what is tolerated."""
    edges = np.geomspace(1.0, 100.0, 101)
    u = 0.5 * np.log(edges[1:] * edges[:-1])
    slope = 0.18 / math.log(100.0)
    counts = np.rint(1e8 * np.exp(-0.41 * u - 0.5 * slope * u**2) / 60)
    fit = fit_power_law(Histogram(counts, edges), (1.0, 100.0), criteria=FEW)
    assert fit.drift == pytest.approx(0.18, abs=0.01)
    assert fit.grade is Grade.COMPATIBLE
    shares = fit_power_law(Histogram(counts / counts.sum(), edges), (1.0, 100.0), criteria=FEW)
    assert shares.exponent == pytest.approx(fit.exponent, abs=1e-6)
    assert shares.drift == pytest.approx(0.18, abs=0.01)
    # Without a number of values nothing is significant.
    assert shares.p_value is None
    assert shares.grade in (Grade.COMPATIBLE, Grade.TOO_FEW)
    known = fit_power_law(Histogram(counts / counts.sum(), edges, n=counts.sum()), (1.0, 100.0), criteria=FEW)
    assert known.p_value is not None
    assert known.standard_error == pytest.approx(fit.standard_error, rel=1e-6)
