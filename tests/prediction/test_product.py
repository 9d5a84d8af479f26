"""Products of independent factors against closed forms and Monte Carlo."""

import math

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction import parse_density, predict_from_margins, predict_product
from critlearn.prediction.product import convolve
from critlearn.prediction.push_forward.channel import BiasChannel
from critlearn.prediction.push_forward.push_forward import push_forward


def test_product_of_power_laws_has_the_larger_exponent() -> None:
    # |e| uniform (k = 0) and |a| with density a^-1/2 / 2 on (0, 1) (k = 1/2): the product's is (p^-1/2 - 1),
    # whose local exponent p^-1/2 / (2 (p^-1/2 - 1)) tends to 1/2.
    error = push_forward(parse_density("uniform(0,1)"), [BiasChannel(Composition("identity", "mse"), -0.5, 1.0)])
    activity = np.random.default_rng(2).uniform(size=4_000_000) ** 2
    result = convolve(error, LogSketch.from_values(activity))
    assert result.mass.sum() == pytest.approx(1, abs=1e-5)
    at = np.log([1e-4, 1e-3, 1e-2])
    measured = np.interp(at, result.centres, result.local_exponent)
    root = np.exp(-0.5 * at)
    np.testing.assert_allclose(measured, 0.5 * root / (root - 1), atol=0.02)


def test_product_matches_monte_carlo_and_has_no_half_bin_bias() -> None:
    generator = np.random.default_rng(11)
    margins = parse_density("normal(4,1)").sample(20_000, generator)
    error = predict_from_margins(Composition("sigmoid", "bce"), margins)
    activity = np.abs(generator.normal(size=500_000))
    result = predict_product(error, LogSketch.from_values(activity)).distribution
    mean = float((result.mass * result.centres).sum() / result.mass.sum())
    # E ln|N(0,1)| = -(gamma + ln 2) / 2, and the mean logarithm of a product is the sum of the factors'.
    error_mean = float((error.distribution.mass * error.distribution.centres).sum())
    assert mean - error_mean == pytest.approx(-0.5 * (np.euler_gamma + math.log(2)), abs=4 * 1.11 / math.sqrt(5e5))


def test_factor_of_zeros_is_refused() -> None:
    error = predict_from_margins(Composition("sigmoid", "bce"), np.linspace(1.0, 5.0, 50))
    with pytest.raises(InvalidInputError, match="all zero"):
        predict_product(error, LogSketch.from_values(np.zeros(10)))
