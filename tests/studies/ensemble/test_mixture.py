"""Prediction for pooled fluctuations, against the exact distributions of its parts."""

from typing import Any

import numpy as np
import pytest

from critlearn.compositions import Composition
from critlearn.prediction import Prediction, parse_density, predict_toy
from critlearn.studies.ensemble.mixture import mixed_prediction


def _quantity(prediction: Prediction) -> dict[str, Any]:
    return {"predicted": prediction.to_dict(), "not_predicted": None, "curves": {"predicted": prediction.curve()}}


def test_mixture_is_the_mean_of_its_parts() -> None:
    inputs = parse_density("uniform(-0.3,2.3)")
    parts = [predict_toy(Composition("sigmoid", "bce"), inputs, weight, 0.1)["bias"] for weight in (3.0, 7.0)]
    mixture = mixed_prediction([_quantity(part) for part in parts])
    assert isinstance(mixture, Prediction)
    at = np.linspace(-12.0, -0.5, 40)
    exact = np.mean([part.distribution.cumulative(at) for part in parts], axis=0)
    assert mixture.distribution.cumulative(at) == pytest.approx(exact, abs=2e-3)
    # By finite differences of the exact distribution functions: k = 1 - d ln p / d ln delta.
    # The narrower part ends at -7, where the density jumps.
    middle, step = np.array([-10.0, -9.0, -8.0, -6.0, -5.0, -4.0, -3.0]), 0.05
    density = [np.mean([p.distribution.cumulative(u + step) - p.distribution.cumulative(u) for p in parts])
               for u in (*(middle - step), *middle)]  # fmt: skip
    below, above = np.array(density[:7]), np.array(density[7:])
    local = 1 - np.log(above / below) / step
    distribution = mixture.distribution
    assert np.interp(middle, distribution.centres, distribution.local_exponent) == pytest.approx(local, abs=0.03)
    assert mixture.exact == "1"
    assert "mean of 2 seeds" in mixture.source


def test_a_part_without_a_prediction_is_the_reason() -> None:
    assert mixed_prediction([{"predicted": None, "not_predicted": "the error is everywhere the same"}]) == (
        "the error is everywhere the same"
    )
