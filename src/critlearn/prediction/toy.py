"""Predictions for the toy model ``y = w x + b`` and its two trainable variables."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from critlearn.compositions import Composition
from critlearn.prediction.criteria import TOLERANCE
from critlearn.prediction.densities.margin_density import EmpiricalDensity, MarginDensity
from critlearn.prediction.limiting_exponents import distinct, limiting_exponents
from critlearn.prediction.prediction import Prediction, with_limits
from critlearn.prediction.push_forward.channel import BiasChannel, WeightChannel
from critlearn.prediction.push_forward.push_forward import Part, push_forward_parts


def predict_toy(
    composition: Composition,
    inputs: MarginDensity,
    weight: float,
    bias: float,
    *,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> dict[str, Prediction]:
    """Predict the fluctuations of weight and bias of the two-neuron model ``y = w x + b``.

    The density of ``x`` is `inputs` for the class +1 and its mirror image for the class -1, both equally frequent. Each
    class is pushed through the error signal of its own target; for an odd activation and a symmetric loss, both signals
    are the same function of the margin.

    Returns
    -------
    dict
        Predictions named ``bias`` and ``weight``.
    """
    source = f"{composition.name} with inputs {inputs}, w = {weight:.4g}, b = {bias:.4g}"
    return _predicted(composition, (inputs, inputs), (0.5, 0.5), weight, bias, lr, tolerance, source)


def predict_toy_from_data(
    composition: Composition,
    inputs: Float64[np.ndarray, " sample"],
    classes: Float64[np.ndarray, " sample"],
    weight: float,
    bias: float,
    *,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> dict[str, Prediction]:
    """Predict as `predict_toy`, with the densities of the inputs of both classes (-1, +1) estimated from data."""
    signs = (1, -1)
    shares = [float((classes == sign).mean()) for sign in signs]
    densities = [EmpiricalDensity(sign * inputs[classes == sign]) for sign in signs]
    source = f"{composition.name} with the density of {inputs.size} inputs, w = {weight:.4g}, b = {bias:.4g}"
    return _predicted(composition, densities, shares, weight, bias, lr, tolerance, source)


def _predicted(
    composition: Composition,
    densities: Sequence[MarginDensity],
    shares: Sequence[float],
    weight: float,
    bias: float,
    lr: float,
    tolerance: float,
    source: str,
) -> dict[str, Prediction]:
    """Predict for both classes; the inputs of the class -1 are mirrored, so that ``y = -w x + b`` for them."""
    errors = [BiasChannel(composition, sign * weight, bias, math.log(lr), float(sign)) for sign in (1, -1)]
    channels: dict[str, list[BiasChannel | WeightChannel]] = {
        "bias": [*errors],
        "weight": [WeightChannel(error) for error in errors],
    }
    results = {}
    for name, both in channels.items():
        routes = list(zip(densities, both, shares, strict=True))
        limits = [
            limit for density, channel, _ in routes for limit in limiting_exponents(composition, density, channel)
        ]
        distribution = push_forward_parts([Part(*route) for route in routes])
        results[name] = with_limits(distribution, distinct(limits), tolerance, source)
    return results
