"""A predicted window has the exponent that is stated for it, as a fit of the predicted density there shows."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from critlearn.compositions import Composition
from critlearn.numerics.window import Window
from critlearn.prediction import parse_density, predict_toy


def fitted(samples: np.ndarray, window: Window) -> tuple[float, int]:
    """Maximum-likelihood exponent of a truncated power law, from its one equation; and how many are in the window."""
    inside = samples[(samples > window.log_lo) & (samples < window.log_hi)]
    width = window.log_hi - window.log_lo
    mean = (inside.mean() - window.log_lo) / width

    def equation(z: float) -> float:
        return (0.5 + z / 12 if abs(z) < 1e-4 else 1 / -math.expm1(-z) - 1 / z) - mean

    return 1 - brentq(equation, -200.0, 200.0) / width, inside.size


@pytest.mark.parametrize(
    ("activation", "loss", "inputs", "weight", "bias"),
    [
        ("identity", "mse", "uniform(-0.3,2.3)", 0.64, 0.0),
        ("sigmoid", "bce", "uniform(-0.3,2.3)", 2.1, 0.4),
        ("softsign", "mse", "uniform(-0.3,2.3)", 2.1, 0.4),
        ("tanh", "mse", "uniform(-0.3,2.3)", 3.0, 0.3),
        ("sigmoid", "bce", "laplace(1,0.7)", 2.1, 0.4),
        ("softsign", "bce", "normal(1,1)", 3.0, 0.0),
        ("arctan", "mse", "uniform(0.2,5)", 4.0, -0.5),
    ],
)
def test_draws_have_the_predicted_exponent_on_the_predicted_window(
    activation: str, loss: str, inputs: str, weight: float, bias: float
) -> None:
    composition, density = Composition(activation, loss), parse_density(inputs)
    x = density.sample(1_000_000, np.random.default_rng(0))
    side = np.where(np.arange(x.size) % 2 == 0, 1.0, -1.0)
    bias_draws = composition.log_error_signal(weight * x + side * bias)
    draws = {"bias": bias_draws, "weight": bias_draws + np.log(np.abs(x))}
    for name, prediction in predict_toy(composition, density, weight, bias).items():
        if prediction.window is None:
            continue
        assert prediction.exponent is not None
        exponent, count = fitted(draws[name], prediction.window)
        # The window holds a hundredth of the probability at least, less four binomial standard errors.
        assert count >= 0.01 * x.size - 4 * math.sqrt(0.01 * x.size)
        # The local exponent is within the tolerance everywhere; the error of a fit over half a decade at the least.
        error = math.sqrt(12 / count) / (prediction.window.log_hi - prediction.window.log_lo)
        assert abs(exponent - prediction.exponent) <= prediction.tolerance + 4 * error
