"""Places at which error signals vanish or diverge, against the roots that their formulas have."""

import math

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.compositions.tails.criteria import MOST_CANDIDATES
from critlearn.compositions.tails.singularities import singular_places

pytestmark = pytest.mark.usefixtures("without_shape_checker")  # checked in the other tests; here it would be slow


@pytest.mark.parametrize(
    ("activation", "loss", "t", "places"),
    [
        ("identity", "mse", 0.3, [0.3]),
        ("square", "mse", 1.0, [-1.0, 0.0, 1.0]),  # h' = 4 y (y^2 - 1)
        ("asinh", "mse", 2.0, [math.sinh(2.0)]),
        ("y**3 - y", "mse", 0.0, [-1.0, -1 / math.sqrt(3), 0.0, 1 / math.sqrt(3), 1.0]),
        ("identity", "sqrt(abs(e))", 0.5, [0.5]),  # a pole
        ("tanh", "mse", 1.0, []),
        ("identity", "mae", 0.0, []),  # a jump of constant size is no zero
        ("exp(-y**2)", "mse", 5.0, [0.0]),
    ],
)
def test_places_are_the_roots(activation: str, loss: str, t: float, places: list[float]) -> None:
    composition = Composition(activation, loss)
    found = singular_places(composition.activation, composition.loss, t)
    np.testing.assert_allclose(found, places, rtol=0, atol=1e-7)


def test_of_a_periodic_output_the_nearest_places_are_looked_at() -> None:
    composition = Composition("sin(y)", "mse")
    found = np.array(singular_places(composition.activation, composition.loss, 0.0))
    assert 20 < found.size <= MOST_CANDIDATES
    # sin y cos y = 0 at multiples of pi / 2, none of them left out near 0.
    near = found[np.abs(found) < 10]
    np.testing.assert_allclose(near, np.arange(-6, 7) * math.pi / 2, rtol=0, atol=1e-7)
