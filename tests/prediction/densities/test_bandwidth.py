"""Densities of observed values whose shape is no bell: groups, hard ends, piles at an end."""

import numpy as np
import pytest
import scipy.stats

from critlearn.compositions import Composition
from critlearn.prediction import predict_from_density
from critlearn.prediction.densities.margin_density import EmpiricalDensity

SIZE = 20_000


def _drawn(shape: str) -> tuple[np.ndarray, object]:
    """Values and their distribution function."""
    generator = np.random.default_rng(1)
    if shape == "two groups":
        values = np.where(generator.random(SIZE) < 0.5, -3.0, 3.0) + 0.05 * generator.normal(size=SIZE)
        parts = scipy.stats.norm(-3, 0.05), scipy.stats.norm(3, 0.05)
        return values, lambda x: 0.5 * (parts[0].cdf(x) + parts[1].cdf(x))
    law = {"uniform": scipy.stats.uniform(-1, 3), "exponential": scipy.stats.expon(), "normal": scipy.stats.norm()}[
        shape
    ]
    return law.rvs(size=SIZE, random_state=generator), law.cdf


@pytest.mark.parametrize("shape", ["two groups", "uniform", "exponential", "normal"])
def test_the_density_is_that_of_the_values_whatever_their_shape(shape: str) -> None:
    values, truth = _drawn(shape)
    density = EmpiricalDensity(values)
    x = np.sort(
        np.concatenate([np.linspace(values.min(), values.max(), 400), np.quantile(values, np.arange(400) / 400)])
    )
    # The largest distance of an empirical distribution function is 1.36/sqrt(n) at 5%, 2/sqrt(n) once in 1500.
    assert np.abs(density.cumulative(x) - truth(x)).max() < 2.2 / np.sqrt(SIZE)  # type: ignore[operator]
    np.testing.assert_allclose(density.cumulative(x) + density.survival(x), 1, atol=1e-9)


def test_an_exponent_up_to_a_hard_end_of_the_margins() -> None:
    # tanh with squared error, margins uniform to 2: k tends to 1 with exp(-2 m); ln g(2) is the window's lower end.
    values, _ = _drawn("uniform")
    prediction = predict_from_density(Composition("tanh", "mse"), values)
    assert prediction.exact == "1"
    assert prediction.window is not None
    smallest = 2 * (1 - np.tanh(2.0)) / np.cosh(2.0) ** 2
    assert prediction.window.log_lo == pytest.approx(np.log(smallest), abs=0.1)


def test_groups_far_apart_hold_all_their_probability() -> None:
    values, _ = _drawn("two groups")
    distribution = predict_from_density(Composition("tanh", "mse"), values).distribution
    assert distribution.mass.sum() == pytest.approx(1, abs=1e-6)
