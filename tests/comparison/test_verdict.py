"""Rules of agreement between a measured and a predicted power law."""

import dataclasses
import math

import numpy as np
import pytest

from critlearn.comparison import MARGIN, compare
from critlearn.comparison.verdict import WIDEST_INTERVAL
from critlearn.inference import FitVerdict, PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.window import Window
from critlearn.prediction import Prediction
from critlearn.prediction.push_forward import PushForward

WINDOW = Window(1e-4, 1e-1)


@pytest.fixture(scope="module")
def measured() -> PowerLawFit:
    """An ordinary fit, whose numbers the tests replace."""
    return fit_power_law(np.exp(-7 * np.random.default_rng(0).random(5000)))


def fit(measured: PowerLawFit, exponent: float | None, half_width: float = 0.02, **changes: object) -> PowerLawFit:
    interval = None if exponent is None else (exponent - half_width, exponent + half_width)
    values = {"exponent": exponent, "ci95": interval, "window": WINDOW, "verdict": FitVerdict.POWER_LAW, **changes}
    return dataclasses.replace(measured, lognormal_whole=None, **values)  # type: ignore[arg-type]


def predicted(exponent: float, low: float = math.log(1e-6), high: float = 0.0, exact: str | None = None) -> Prediction:
    """Pure power law between two sizes: the probability of a bin is the integral of ``exp((1 - k) u)``."""
    edges = np.arange(math.floor(low / BIN_WIDTH), math.ceil(high / BIN_WIDTH) + 1) * BIN_WIDTH
    theta = 1 - exponent
    mass = np.diff(np.exp(theta * edges) / theta if theta else edges)
    distribution = PushForward(edges, mass / mass.sum(), np.full(mass.size, exponent), ())
    return Prediction(exponent, exact, Window.from_logs(low, high), 0.05, distribution, "a pure power law")


def test_the_predicted_exponent_is_read_off_on_the_measured_window(measured: PowerLawFit) -> None:
    for k in (0.4, 1.0, 1.5, 2.0):
        verdict = compare("biases", fit(measured, k), predicted(k))
        assert verdict.predicted_exponent == pytest.approx(k, abs=1e-6)
        assert verdict.agreement is True


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("half_width", [0.01, 0.1, 0.19])
def test_the_difference_may_be_the_margin_and_the_half_width(
    measured: PowerLawFit, side: int, half_width: float
) -> None:
    limit = MARGIN + half_width
    near = fit(measured, 1.25 + side * (limit - 1e-3), half_width)
    far = fit(measured, 1.25 + side * (limit + 1e-3), half_width)
    assert compare("biases", near, predicted(1.25)).agreement is True
    assert compare("biases", far, predicted(1.25)).agreement is False


def test_a_wide_interval_decides_nothing(measured: PowerLawFit) -> None:
    for exponent in (1.25, 5.0):
        verdict = compare("biases", fit(measured, exponent, WIDEST_INTERVAL + 0.01), predicted(1.25))
        assert verdict.agreement is None
        assert "too wide" in verdict.statement


def test_without_a_prediction_the_measurement_is_stated(measured: PowerLawFit) -> None:
    verdict = compare("weights of hidden1", fit(measured, 1.31), None)
    assert verdict.agreement is None
    assert verdict.predicted_exponent is None
    assert verdict.statement.startswith("Fluctuations of weights of hidden1 follow delta^-1.31 [1.29, 1.33] over 3.0")


def test_without_a_measured_exponent_nothing_is_decided(measured: PowerLawFit) -> None:
    absent = fit(measured, None, window=None, verdict=FitVerdict.REJECTED)
    verdict = compare("biases", absent, predicted(1.25))
    assert verdict.agreement is None
    assert "follow no power law" in verdict.statement


def test_a_prediction_that_puts_nothing_on_the_window_decides_nothing(measured: PowerLawFit) -> None:
    elsewhere = predicted(1.25, math.log(1e-30), math.log(1e-20))
    verdict = compare("biases", fit(measured, 1.25), elsewhere)
    assert verdict.agreement is None
    assert verdict.predicted_exponent is None


def test_a_local_exponent_that_drifts_is_compared_where_it_was_measured(measured: PowerLawFit) -> None:
    # Lognormal with sigma 3: k = 1 + u / 9 (theory, more check values), so 0.36 at the middle of the window, not 1.
    edges = np.arange(-2000, 1000) * BIN_WIDTH
    centres = 0.5 * (edges[1:] + edges[:-1])
    mass = np.exp(-0.5 * (centres / 3) ** 2)
    distribution = PushForward(edges, mass / mass.sum(), 1 + centres / 9, ())
    prediction = Prediction(1.0, "1", Window(0.5, 2.0), 0.05, distribution, "a lognormal")
    middle = 0.5 * (WINDOW.log_lo + WINDOW.log_hi)
    verdict = compare("biases", fit(measured, 1 + middle / 9), prediction)
    assert verdict.predicted_exponent == pytest.approx(1 + middle / 9, abs=0.05)
    assert verdict.agreement is True
    assert compare("biases", fit(measured, 1.0), prediction).agreement is False


def test_the_sentence_names_both_numbers_and_the_exact_one_where_it_applies(measured: PowerLawFit) -> None:
    statement = compare("biases", fit(measured, 1.32), predicted(4 / 3, exact="4/3")).statement
    assert "delta^-1.32 [1.30, 1.34]" in statement
    assert "predicted 4/3 (1.33 on this window)" in statement
    assert statement.endswith("; consistent.")
    assert compare("biases", fit(measured, 1.9), predicted(4 / 3)).statement.endswith("; inconsistent.")


def test_plain_values(measured: PowerLawFit) -> None:
    verdict = compare("biases", fit(measured, 1.25), predicted(1.25))
    assert verdict.to_dict() == {
        "agreement": True,
        "predicted_exponent": verdict.predicted_exponent,
        "statement": verdict.summary(),
    }
