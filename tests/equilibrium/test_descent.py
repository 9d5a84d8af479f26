"""Descents against minima that are known, and the rules of a step's length against the function itself."""

import math
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der
from torch import Tensor

from critlearn.equilibrium.descent import descent


def _rosenbrock(place: Tensor) -> tuple[float, Tensor]:
    return float(rosen(place.numpy())), torch.from_numpy(rosen_der(place.numpy()))


@pytest.mark.parametrize("dimension", [2, 5, 30])
def test_rosenbrocks_valley_is_followed_to_its_end(dimension: int) -> None:
    start = torch.full((dimension,), -1.2, dtype=torch.float64)
    # Not on the diagonal, where higher dimensions have a second minimum.
    start[1::2] = 1.0
    values, places = zip(*descent(_rosenbrock, start, evaluations=1000), strict=True)
    assert torch.equal(places[0], start)
    assert all(below < above for above, below in pairwise(values))
    np.testing.assert_allclose(places[-1], 1.0, atol=1e-5)


def test_a_quadratic_of_any_scale_takes_a_few_steps() -> None:
    """Curvatures of 1e6 to 3e6: the first step is far too long, and most evaluations are those of whole steps."""
    curvatures = torch.linspace(1e6, 3e6, 50, dtype=torch.float64)
    seen = 0

    def evaluated(place: Tensor) -> tuple[float, Tensor]:
        nonlocal seen
        seen += 1
        return 0.5 * float(curvatures @ place**2), curvatures * place

    (first, _), *_, (last, _) = islice(descent(evaluated, torch.ones_like(curvatures), evaluations=30), 12)
    assert last < 1e-6 * first
    assert seen < 20


def test_steps_satisfy_wolfes_conditions() -> None:
    start = torch.tensor([-1.2, 1.0, 0.3], dtype=torch.float64)
    for (value, place), (lower, there) in pairwise(descent(_rosenbrock, start, evaluations=60)):
        step = there - place
        slope = float(step @ _rosenbrock(place)[1])
        assert slope < 0
        assert lower <= value + 1e-4 * slope
        assert float(step @ _rosenbrock(there)[1]) >= 0.9 * slope


def test_where_there_is_no_value_the_descent_stays_away() -> None:
    """The minimum lies at 1, and there is no number beyond 1.01."""

    def evaluated(place: Tensor) -> tuple[float, Tensor]:
        if float(place) > 1.01:
            return math.inf, torch.zeros_like(place)
        return float((place - 1) ** 2), 2 * (place - 1)

    *_, (value, place) = descent(evaluated, torch.tensor([-30.0], dtype=torch.float64), evaluations=100)
    assert float(place) == pytest.approx(1, abs=1e-6)
    assert value < 1e-12


def test_a_kink_is_reached_and_left() -> None:
    """|x| + y^2: bisection needs no smoothness."""

    def evaluated(place: Tensor) -> tuple[float, Tensor]:
        x, y = place
        return float(x.abs() + y**2), torch.stack([x.sign(), 2 * y])

    *_, (value, _) = descent(evaluated, torch.tensor([3.0, 2.0], dtype=torch.float64), evaluations=200)
    assert value < 1e-3


def test_evaluations_are_bounded_and_a_flat_place_ends_the_descent() -> None:
    seen = 0

    def evaluated(place: Tensor) -> tuple[float, Tensor]:
        nonlocal seen
        seen += 1
        return _rosenbrock(place)

    assert len(list(descent(evaluated, torch.zeros(4, dtype=torch.float64), evaluations=7))) >= 2
    assert seen == 7
    (only,) = descent(evaluated, torch.ones(4, dtype=torch.float64), evaluations=7)
    assert only[0] == 0.0
