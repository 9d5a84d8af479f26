"""The law with cut-off against the exact likelihood of the values themselves."""

import math

import mpmath
import numpy as np
import pytest
import scipy.optimize

from critlearn.inference import Criteria, Grade, PowerLawFit, fit_power_law
from critlearn.inference.laws.cutoff import cutoff_exponent_on, fit_cutoff
from critlearn.inference.observations import Reading
from critlearn.numerics.window import Window
from reference.power_law_samples import integers, power_law, with_cutoff

FEW = Criteria(replicates=50)


def log_normaliser(k: float, scale: float) -> float:
    """``ln`` of the integral of ``x^-k exp(-x / scale)`` from 1 to infinity."""
    return float(mpmath.log(mpmath.gammainc(1 - k, 1 / scale)) + (1 - k) * mpmath.log(scale))


def maximum(values: np.ndarray, support: np.ndarray | None = None) -> tuple[float, float, np.ndarray]:
    """Exponent, ``ln`` scale and their errors: direct search of the exact likelihood, and its second derivatives."""
    logs, mean, n = float(np.log(values).mean()), float(values.mean()), values.size

    def loss(at: np.ndarray) -> float:
        k, scale = float(at[0]), math.exp(at[1])
        if support is None:
            normaliser = log_normaliser(k, scale)
        else:
            normaliser = float(np.log(np.sum(support**-k * np.exp(-support / scale))))
        return k * logs + mean / scale + normaliser

    found = scipy.optimize.minimize(loss, [1.3, math.log(mean)], method="Nelder-Mead", options={"xatol": 1e-5}).x
    h = np.array([1e-3, 1e-3])
    hessian = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * h, np.eye(2)[j] * h
            corners = loss(found + a + b) - loss(found + a - b) - loss(found - a + b) + loss(found - a - b)
            hessian[i, j] = corners / (4 * h[i] * h[j])
    return float(found[0]), float(found[1]), np.sqrt(np.diag(np.linalg.inv(hessian)) / n)


@pytest.mark.parametrize(("k", "scale"), [(1.0, 100.0), (1.5, 1000.0), (2.0, 10.0)])
def test_exponent_scale_and_errors_are_those_of_the_exact_likelihood(k: float, scale: float) -> None:
    values = with_cutoff(k, scale, 20_000, 1)
    exponent, log_scale, errors = maximum(values)
    # Cells that begin with the law: those of a grid begin below its lower end.
    counts = Reading(side="large").observe(values, Window(1.0, float(values.max()))).counts
    found = fit_cutoff(counts, 0)
    assert found is not None
    assert found.exponent == pytest.approx(exponent, abs=0.1 * errors[0])
    assert found.log_scale == pytest.approx(log_scale, abs=0.1 * errors[1])
    assert found.standard_error == pytest.approx(errors[0], rel=0.05)
    cutoff = found.cutoff()
    assert cutoff.scale_error / cutoff.scale == pytest.approx(errors[1], rel=0.05)


@pytest.mark.parametrize(("k", "scale"), [(1.5, 100.0), (2.0, 10.0)])
def test_integers_have_the_maximum_of_their_sums(k: float, scale: float) -> None:
    values = integers(k, 1, 20_000, 2, scale)
    exponent, log_scale, errors = maximum(values, np.arange(1.0, 60 * scale))
    found = fit_cutoff(Reading(side="large").observe(values).counts, 0)
    assert found is not None
    assert found.exponent == pytest.approx(exponent, abs=0.1 * errors[0])
    assert found.log_scale == pytest.approx(log_scale, abs=0.1 * errors[1])
    assert found.standard_error == pytest.approx(errors[0], rel=0.05)


def covered(fit: PowerLawFit, k: float, scale: float) -> None:
    assert fit.grade is Grade.CUT_OFF
    assert fit.cutoff is not None
    assert fit.cutoff.exponent == pytest.approx(k, abs=4 * fit.cutoff.exponent_error)
    assert fit.cutoff.scale == pytest.approx(scale, abs=4 * fit.cutoff.scale_error)
    assert fit.exponent == fit.cutoff.exponent
    assert set(fit.to_dict()["cutoff"]) == {"scale", "scale_stderr", "exponent", "exponent_stderr"}


def test_a_smooth_end_is_found_in_the_unit_of_the_data() -> None:
    values = with_cutoff(1.5, 1000.0, 20_000, 3)
    fit = fit_power_law(values, criteria=FEW)
    covered(fit, 1.5, 1000.0)
    scaled = fit_power_law(1e-6 * values, criteria=FEW)
    covered(scaled, 1.5, 1e-3)
    assert "cut-off" in fit.summary()


def test_a_smooth_end_of_integers_is_found() -> None:
    fit = fit_power_law(integers(1.5, 1, 20_000, 4, 100.0), criteria=FEW)
    assert fit.discrete
    covered(fit, 1.5, 100.0)
    # The law goes on to infinity, with its cut-off.
    assert fit.law is not None
    assert fit.law.upper == math.inf


def test_a_sharp_end_is_none() -> None:
    fit = fit_power_law(power_law(1.5, 1.0, 1e3, 20_000, 5), criteria=FEW)
    assert fit.grade is Grade.POWER_LAW
    assert fit.cutoff is None
    counts = Reading().observe(power_law(1.5, 1.0, 1e3, 20_000, 5)).counts
    found = fit_cutoff(counts, 0)
    assert found is not None
    assert found.gain_over_bounded < 0


def test_a_pure_tail_needs_none() -> None:
    found = fit_cutoff(Reading(side="large").observe(power_law(2.5, 1.0, math.inf, 20_000, 6)).counts, 0)
    assert found is not None
    assert not found.ends_smoothly
    assert found.p_value > 1e-3


def test_the_form_of_the_end_is_tested() -> None:
    """A law that is exact up to 1 and goes on as ``exp(1 - x)`` ends more sharply than an exponential cut-off."""
    generator = np.random.default_rng(0)
    x = power_law(1.5, 1e-4, 100.0, 150_000, 0)
    sharper = x[generator.random(x.size) < np.exp(np.minimum(1 - x, 0.0))][:100_000]
    for values, right in ((sharper, False), (with_cutoff(1.5, 1000.0, 100_000, 1), True)):
        low = float(values.min())
        counts = Reading(side="large").observe(values, Window(low, float(values.max()))).counts
        found = fit_cutoff(counts, 0)
        assert found is not None
        assert (found.form_p_value > 0.01) is right
    fit = fit_power_law(sharper, criteria=FEW)
    assert fit.cutoff is None
    assert fit.ci95 is not None
    assert fit.ci95[0] < 1.5 < fit.ci95[1]


def test_a_true_form_is_rejected_as_often_as_the_level_says() -> None:
    rejected = 0
    for seed in range(40):
        values = with_cutoff(1.5, 100.0, 2000, seed)
        found = fit_cutoff(Reading(side="large").observe(values, Window(1.0, float(values.max()))).counts, 0)
        assert found is not None
        rejected += found.form_p_value < 0.1
    # Binomial(40, 0.1): 11 or more has a probability of 0.0005.
    assert rejected <= 10


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.7, 2.3])
def test_a_binned_density_has_the_exponent_of_its_formula(exponent: float) -> None:
    edges = np.linspace(math.log(1e-6), math.log(60.0), 2000)
    centres = 0.5 * (edges[1:] + edges[:-1])
    # p(d) = d^-k exp(-d), times d for the density of the logarithm.
    weights = np.exp((1 - exponent) * centres - np.exp(centres))
    assert cutoff_exponent_on(edges, weights, math.log(1e-3)) == pytest.approx(exponent, abs=2e-3)


def test_a_density_without_weight_beyond_the_lower_end_has_no_exponent() -> None:
    edges = np.linspace(0.0, 5.0, 101)
    assert cutoff_exponent_on(edges, np.zeros(100), 1.0) is None
    assert cutoff_exponent_on(edges, np.r_[np.ones(50), np.zeros(50)], 4.0) is None
