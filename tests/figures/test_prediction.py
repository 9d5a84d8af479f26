"""Figures of a prediction draw the density that it gives, its window and caustics, and both parts of the exponent."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from critlearn.compositions import Composition
from critlearn.figures.prediction import parts_figure, predicted_density_figure
from critlearn.prediction import predict_from_density

PREDICTION = predict_from_density(Composition("softsign", "mse"), "uniform(-0.3,2.3)")


def _drawn(figure: Figure, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith(label))
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def test_the_density_is_that_of_the_size_far_below_the_smallest_float() -> None:
    # A log-uniform law from 10^-1000 to 10^-990: p(size) = 1 / (size ln 10^10).
    log_delta = math.log(10) * np.linspace(-1000, -990, 51)
    curve = {"log_delta": log_delta.tolist(), "log_density": [-math.log(10 * math.log(10))] * 50 + [None]}
    plain = {"log_window": [log_delta[10], log_delta[20]], "caustics": [{"log_delta": log_delta[-1], "kind": "fold"}]}
    figure = predicted_density_figure(plain, curve)
    x, y = _drawn(figure, "predicted")
    np.testing.assert_allclose(x, np.linspace(-1000, -990.2, 50))
    np.testing.assert_allclose(y, -x - math.log10(10 * math.log(10)))
    assert _drawn(figure, "caustic (fold)")[0] == pytest.approx([-990, -990])
    (window,) = figure.axes[0].patches
    assert window.get_x() == pytest.approx(-998)  # type: ignore[attr-defined]


def test_draws_lie_on_the_predicted_density() -> None:
    # Errors of one branch, whose density has no jumps.
    prediction = predict_from_density(Composition("softsign", "mse"), "uniform(0.5,2.3)")
    draws = prediction.distribution.rvs(200_000, np.random.default_rng(0))
    figure = predicted_density_figure(prediction.to_dict(), prediction.curve(), draws)
    (x, y), (size, density) = _drawn(figure, "predicted"), _drawn(figure, "sampled")
    counts = 10.0 ** (density + size) * draws.size * np.diff(size).min() * math.log(10)
    error = 1 / np.sqrt(counts) / math.log(10)
    assert counts.sum() == pytest.approx(draws.size)
    assert (np.abs(density - np.interp(size, x, y)) / error)[1:-1].max() < 5


def test_the_local_exponent_is_the_intrinsic_one_less_the_data_term() -> None:
    figure = parts_figure(PREDICTION.curve())
    exponent, kappa, data = (_drawn(figure, label)[1] for label in ("k", "κ", "data"))
    known = np.isfinite(exponent) & np.isfinite(kappa)
    assert known.sum() > 100
    np.testing.assert_allclose(exponent[known], (kappa - data)[known], atol=1e-9)
    unknown = {**PREDICTION.curve(), "kappa": [None] * len(exponent)}
    assert len(parts_figure(unknown).axes[0].lines) == 1
