"""Short forms of the validation: data whose law is known, of the kinds that people fit, get its exponent and grade."""

import numpy as np
import pytest
import scipy.stats

from critlearn.inference import Criteria, Grade, PowerLawFit, fit_power_law
from reference.power_law_samples import PUBLISHED, borel, integers, power_law, published_tail, with_cutoff

FEW = Criteria(replicates=50)
HELD = (Grade.POWER_LAW, Grade.COMPATIBLE, Grade.CUT_OFF)


def grade_of(values: np.ndarray) -> PowerLawFit:
    return fit_power_law(values, criteria=FEW)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_tails_above_published_bodies_are_found(name: str) -> None:
    values, k = published_tail(name, 0)
    fit = grade_of(values)
    assert fit.grade in HELD
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(k, abs=4 * fit.standard_error)


def test_a_published_tail_is_not_said_to_drift_without_evidence() -> None:
    import powerlaw

    fit = grade_of(np.asarray(powerlaw.load_test_dataset("terrorism"), dtype=np.float64))
    assert fit.grade is not Grade.DRIFTING
    assert fit.standard_error is not None
    # Published: 2.4 with an error of 0.2.
    assert fit.exponent == pytest.approx(2.4, abs=4 * 0.2)


@pytest.mark.parametrize("kind", ["continuous", "integers"])
@pytest.mark.parametrize(("k", "scale"), [(1.5, 100.0), (1.5, 1000.0)])
def test_smooth_ends_are_cut_offs(kind: str, k: float, scale: float) -> None:
    values = with_cutoff(k, scale, 20_000, 8) if kind == "continuous" else integers(k, 1, 20_000, 8, scale)
    fit = grade_of(values)
    assert fit.grade is Grade.CUT_OFF
    assert fit.cutoff is not None
    assert fit.cutoff.exponent == pytest.approx(k, abs=4 * fit.cutoff.exponent_error)
    assert fit.cutoff.scale == pytest.approx(scale, abs=4 * fit.cutoff.scale_error)


@pytest.mark.parametrize(("mean", "grades"), [(1.0, HELD[:2]), (0.95, (Grade.CUT_OFF,)), (0.9, HELD[2:] + HELD[:0])])
def test_avalanches_of_branching_processes(mean: float, grades: tuple[Grade, ...]) -> None:
    fit = grade_of(borel(mean, 100_000, 3))
    assert fit.grade in (*grades, Grade.TOO_FEW) if mean == 0.9 else fit.grade in grades
    if fit.grade is not Grade.TOO_FEW:
        assert fit.ci95_total is not None
        assert fit.standard_error is not None
        assert fit.exponent == pytest.approx(1.5, abs=4 * fit.standard_error)


TAILS = {
    "stable": (lambda g: np.abs(scipy.stats.levy_stable.rvs(1.2, 0, size=100_000, random_state=g)), 2.2),
    "frechet": (lambda g: g.weibull(1.5, 100_000) ** -1.0, 2.5),
    "lomax": (lambda g: g.pareto(1.5, 100_000), 2.5),
    "student 1.5": (lambda g: np.abs(g.standard_t(1.5, 100_000)), 2.5),
    "student 2.5": (lambda g: np.abs(g.standard_t(2.5, 100_000)), 3.5),
}


@pytest.mark.parametrize("name", list(TAILS))
def test_the_whole_interval_of_a_slowly_converging_tail_holds_its_limit(name: str) -> None:
    draw, k = TAILS[name]
    fit = grade_of(draw(np.random.default_rng(5)))
    assert fit.ci95 is not None
    assert fit.ci95_total is not None
    assert fit.ci95_total[0] <= fit.ci95[0] < fit.ci95[1] <= fit.ci95_total[1]
    # Half the statistical interval again: one such interval in twenty ends beside its limit.
    half = 0.5 * (fit.ci95[1] - fit.ci95[0])
    assert fit.ci95_total[0] - half < k < fit.ci95_total[1] + half


OTHERS = {
    "Weibull 0.15": lambda g: g.weibull(0.15, 10_000),
    "Weibull 0.3": lambda g: g.weibull(0.3, 10_000),
    "lognormal 1": lambda g: np.exp(g.normal(0.0, 1.0, 10_000)),
    "lognormal 4": lambda g: np.exp(g.normal(0.0, 4.0, 10_000)),
    "geometric": lambda g: g.geometric(0.02, 10_000),
    "Poisson": lambda g: g.poisson(30, 10_000),
    "product of five": lambda g: np.abs(np.prod(g.standard_normal((5, 10_000)), axis=0)),
    "logit-normal": lambda g: scipy.special.expit(g.normal(-3.0, 3.0, 10_000)),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_laws_are_no_power_laws(name: str) -> None:
    fit = grade_of(OTHERS[name](np.random.default_rng(11)))
    assert not fit.established
    # What is not told from a power law has a rival by name.
    assert fit.grade is not Grade.COMPATIBLE or fit.rivals


LAWS = {
    "sharp, 1.5": (lambda: power_law(1.5, 1.0, 1e4, 10_000, 3), 1.5),
    "sharp, 0.5": (lambda: power_law(0.5, 1e-4, 1.0, 10_000, 3), 0.5),
    "to infinity": (lambda: power_law(2.5, 1.0, np.inf, 10_000, 3), 2.5),
    "integers": (lambda: integers(2.2, 1, 10_000, 3), 2.2),
}


@pytest.mark.parametrize("name", list(LAWS))
def test_true_laws_are_called_so(name: str) -> None:
    draw, k = LAWS[name]
    fit = grade_of(draw())
    assert fit.grade in HELD
    assert fit.standard_error is not None
    assert fit.exponent == pytest.approx(k, abs=4 * fit.standard_error)
    # The law draws values of its own: their quantiles are those of the fit.
    drawn = fit.rvs(20_000, random_state=0)
    assert fit.cdf(np.median(drawn)) >= 0.5 - 4 * 0.5 / 20_000**0.5
