"""Prediction of fluctuations from a composition and a density alone, without any measurement of fluctuations."""

from critlearn.prediction.densities.any_density import MixtureDensity, ScipyDensity, density_from
from critlearn.prediction.densities.margin_density import EmpiricalDensity, InputDensity, MarginDensity, parse_density
from critlearn.prediction.from_density import caustics_of, predict_from_density
from critlearn.prediction.from_outputs import predict_from_errors, predict_from_margins, predict_from_outputs
from critlearn.prediction.prediction import Prediction, predict_product
from critlearn.prediction.push_forward.caustics import Caustic
from critlearn.prediction.push_forward.push_forward import PushForward
from critlearn.prediction.toy import predict_toy, predict_toy_from_data

__all__ = [
    "Caustic",
    "EmpiricalDensity",
    "InputDensity",
    "MarginDensity",
    "MixtureDensity",
    "Prediction",
    "PushForward",
    "ScipyDensity",
    "caustics_of",
    "density_from",
    "parse_density",
    "predict_from_density",
    "predict_from_errors",
    "predict_from_margins",
    "predict_from_outputs",
    "predict_product",
    "predict_toy",
    "predict_toy_from_data",
]
