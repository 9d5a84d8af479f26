"""Rules of agreement between a measured and a predicted power law."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import critlearn.inference.criteria as inference_criteria
import critlearn.prediction.criteria as prediction_criteria
from critlearn.comparison import MARGIN, Agreement, compare
from critlearn.inference import Grade, PowerLawFit, fit_power_law
from critlearn.inference.result import Basis
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.window import Window
from critlearn.prediction import Prediction
from critlearn.prediction.push_forward.push_forward import PushForward

WINDOW = Window(1e-4, 1e-1)


def fit(exponent: float | None, half_width: float = 0.02, **changes: Any) -> PowerLawFit:
    """A measurement with these numbers and no others."""
    interval = None if exponent is None else (exponent - half_width, exponent + half_width)
    values = {field.name: None for field in dataclasses.fields(PowerLawFit) if field.default is dataclasses.MISSING}
    values |= {"exponent": exponent, "ci95": interval, "window": WINDOW, "n": 5000, "count": 5000, "zeros": 0}
    values |= {"grade": Grade.POWER_LAW, "basis": Basis.SIGNIFICANCE, "reason": "made up", **changes}
    return PowerLawFit(**values)


def predicted(exponent: float, low: float = math.log(1e-6), high: float = 0.0, exact: str | None = None) -> Prediction:
    """Pure power law between two sizes: the probability of a bin is the integral of ``exp((1 - k) u)``."""
    edges = np.arange(math.floor(low / BIN_WIDTH), math.ceil(high / BIN_WIDTH) + 1) * BIN_WIDTH
    theta = 1 - exponent
    mass = np.diff(np.exp(theta * edges) / theta if theta else edges)
    distribution = PushForward(edges, mass / mass.sum(), np.full(mass.size, exponent), ())
    return Prediction(exponent, exact, Window.from_logs(low, high), 0.05, distribution, "a pure power law")


def test_the_predicted_exponent_is_read_off_on_the_measured_window() -> None:
    for k in (0.4, 1.0, 1.5, 2.0):
        verdict = compare("biases", fit(k), predicted(k))
        assert verdict.predicted_exponent == pytest.approx(k, abs=1e-6)
        assert verdict.agreement is Agreement.AGREES


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("half_width", [0.01, 0.03, 0.1, 0.5])
def test_an_agreement_is_certain_to_be_within_the_margin(side: int, half_width: float) -> None:
    """Bounds of a normal estimate from tables: 1.645 standard errors to one side, 1.96 to two."""
    standard_error = half_width / 1.959964
    agrees, disagrees = MARGIN - 1.644854 * standard_error, MARGIN + half_width
    if agrees > 2e-3:
        near = fit(1.25 + side * (agrees - 1e-3), half_width)
        assert compare("biases", near, predicted(1.25)).agreement is Agreement.AGREES
    for between in (max(agrees, 0.0) + 1e-3, disagrees - 1e-3):
        undecided = compare("biases", fit(1.25 + side * between, half_width), predicted(1.25))
        assert undecided.agreement is Agreement.CANNOT_TELL
        assert undecided.statement.endswith("cannot tell whether they agree.")
    far = fit(1.25 + side * (disagrees + 1e-3), half_width)
    assert compare("biases", far, predicted(1.25)).agreement is Agreement.DISAGREES


def test_a_wide_interval_decides_only_what_is_far_away() -> None:
    assert compare("biases", fit(1.25, 0.3), predicted(1.25)).agreement is Agreement.CANNOT_TELL
    assert compare("biases", fit(5.0, 0.3), predicted(1.25)).agreement is Agreement.DISAGREES


def test_without_a_prediction_the_measurement_is_stated() -> None:
    verdict = compare("weights of hidden1", fit(1.31), None)
    assert verdict.agreement is None
    assert verdict.predicted_exponent is None
    assert verdict.statement.startswith("Fluctuations of weights of hidden1 follow delta^-1.31 [1.29, 1.33] over 3.0")


def test_without_a_measured_exponent_nothing_is_decided() -> None:
    absent = fit(None, window=None, grade=Grade.REJECTED)
    verdict = compare("biases", absent, predicted(1.25))
    assert verdict.agreement is None
    assert "follow no power law" in verdict.statement


@pytest.mark.parametrize("grade", [Grade.DRIFTING, Grade.REJECTED, Grade.TOO_FEW])
def test_a_law_that_the_fit_refuses_is_not_said_to_be_followed(grade: Grade) -> None:
    refused = fit(1.03, 0.02, grade=grade, reason="a lognormal fits better")
    told = compare("the output bias", refused, predicted(1.04))
    assert told.agreement is Agreement.AGREES
    assert "delta^" not in told.statement.split(";")[0]
    assert re.search(r"follow no (single power law|power law that could be established)", told.statement)
    for part in ("1.03 [1.01, 1.05] over 3.0 decades", "a lognormal fits better", "; predicted 1.04 on this window"):
        assert part in told.statement
    # The exponent of the window is the same, whatever law it is: that is compared.
    assert told.statement.endswith("; agrees.")


def test_an_interval_is_told_by_as_many_digits_as_it_needs() -> None:
    statement = compare("the bias", fit(0.9946, 0.0004), predicted(1.0)).statement
    assert statement.startswith("Fluctuations of the bias follow delta^-0.995 [0.994, 0.995] over 3.0 decades")


def test_a_prediction_that_puts_nothing_on_the_window_decides_nothing() -> None:
    elsewhere = predicted(1.25, math.log(1e-30), math.log(1e-20))
    verdict = compare("biases", fit(1.25), elsewhere)
    assert verdict.agreement is None
    assert verdict.predicted_exponent is None


def test_a_local_exponent_that_drifts_is_compared_where_it_was_measured() -> None:
    # Lognormal with sigma 3: k = 1 + u / 9 (theory, more check values), between -0.02 and 0.74 on the window.
    edges = np.arange(-2000, 1000) * BIN_WIDTH
    centres = 0.5 * (edges[1:] + edges[:-1])
    mass = np.exp(-0.5 * (centres / 3) ** 2)
    distribution = PushForward(edges, mass / mass.sum(), 1 + centres / 9, ())
    prediction = Prediction(1.0, "1", Window(0.5, 2.0), 0.05, distribution, "a lognormal")
    # A power law fitted to it has the same mean of u on the window: the likelihood equation of theory, inference.
    low, high = WINDOW.log_lo, WINDOW.log_hi
    mean = scipy.stats.truncnorm(low / 3, high / 3, scale=3).mean()

    def excess(z: float) -> float:
        return 1 / (1 - math.exp(-z)) - 1 / z - (mean - low) / (high - low)

    expected = 1 - scipy.optimize.brentq(excess, 1e-6, 50) / (high - low)
    assert -0.02 < expected < 0.74
    verdict = compare("biases", fit(expected), prediction)
    # The window is read to a bin at each end.
    assert verdict.predicted_exponent == pytest.approx(expected, abs=0.005)
    assert verdict.agreement is Agreement.AGREES
    assert compare("biases", fit(1.0), prediction).agreement is Agreement.DISAGREES


def test_the_sentence_names_both_numbers_and_the_exact_one_where_it_applies() -> None:
    statement = compare("biases", fit(1.32), predicted(4 / 3, exact="4/3")).statement
    assert "delta^-1.32 [1.30, 1.34]" in statement
    assert "predicted 4/3 (1.33 on this window)" in statement
    assert statement.endswith("; agrees.")
    assert compare("biases", fit(1.9), predicted(4 / 3)).statement.endswith("; disagrees.")


def test_plain_values() -> None:
    verdict = compare("biases", fit(1.25), predicted(1.25))
    plain = verdict.to_dict()
    assert plain["agreement"] == "agrees"
    assert plain["predicted_exponent"] == pytest.approx(1.25, abs=1e-6)
    assert plain["levels"] == []
    assert "prediction" not in plain


def test_measured_and_predicted_exponents_have_one_tolerance() -> None:
    """The two packages do not know each other, so that each has its own name for it."""
    assert prediction_criteria.TOLERANCE == inference_criteria.TOLERANCE


@pytest.mark.parametrize("exponent", [0.8, 1.5])
def test_a_law_with_cut_off_is_held_against_one_fitted_to_the_prediction(exponent: float) -> None:
    # Draws of d^-k exp(-d) above 1e-5, by inverting its distribution on a fine grid.
    edges = np.linspace(math.log(1e-5), math.log(40.0), 40_001)
    centres = 0.5 * (edges[1:] + edges[:-1])
    weights = np.exp((1 - exponent) * centres - np.exp(centres))
    below = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    uniform = np.random.default_rng(5).random(20_000)
    measured = fit_power_law(np.exp(np.interp(uniform, below, edges)))
    assert measured.grade is Grade.CUT_OFF
    # The prediction on coarser bins, as it comes.
    coarse = np.diff(np.interp(edges[::25], edges, below))
    there = PushForward(edges[::25], coarse, np.full(coarse.size, np.nan), ())
    verdict = compare("x", measured, Prediction(None, None, None, 0.1, there, "test"))
    assert verdict.predicted_exponent == pytest.approx(exponent, abs=0.01)
    assert verdict.agreement is Agreement.AGREES
    other = Prediction(
        None, None, None, 0.1, dataclasses.replace(there, mass=coarse * np.exp(0.4 * there.centres)), "t"
    )
    assert compare("x", measured, other).agreement is Agreement.DISAGREES
