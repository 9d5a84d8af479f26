"""Prediction of fluctuations from a composition and a density alone: it never sees a measurement."""

from critlearn.prediction.margin_density import EmpiricalDensity, InputDensity, MarginDensity, parse_density
from critlearn.prediction.prediction import (
    Prediction,
    predict_from_margins,
    predict_product,
    predict_toy,
    predict_toy_from_data,
)
from critlearn.prediction.push_forward import Caustic, PushForward

__all__ = [
    "Caustic",
    "EmpiricalDensity",
    "InputDensity",
    "MarginDensity",
    "Prediction",
    "PushForward",
    "parse_density",
    "predict_from_margins",
    "predict_product",
    "predict_toy",
    "predict_toy_from_data",
]
