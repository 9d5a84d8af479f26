"""Prediction of the fluctuations of a trained network's output bias from the density of its outputs."""

import numpy as np
from jaxtyping import Float64

from critlearn.compositions import SoftmaxCrossEntropy
from critlearn.compositions.named.resolve import signal_of
from critlearn.errors import InvalidInputError
from critlearn.prediction.criteria import TOLERANCE
from critlearn.prediction.densities.margin_density import EmpiricalDensity
from critlearn.prediction.error_values import (
    ErrorValues,
    has_margin,
    values_of_errors,
    values_of_margins,
    values_of_outputs,
)
from critlearn.prediction.prediction import Prediction, check_settings, with_limits
from critlearn.prediction.push_forward.channel import ErrorSignal
from critlearn.prediction.push_forward.push_forward import push_forward_parts


def predict_from_margins(
    composition: ErrorSignal | SoftmaxCrossEntropy,
    margins: Float64[np.ndarray, " sample"],
    *,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Prediction:
    """Predict the fluctuations of a trained network's output bias from the density of its output margins ``t y``.

    It may also be a designed loss of the margin, or softmax with cross-entropy and the margins of the true classes.

    Raises
    ------
    InvalidInputError
        If the composition's error is no function of the margin: `predict_from_outputs` takes outputs and targets.
    """
    check_settings(lr, tolerance)
    composition = signal_of(composition)
    if not has_margin(composition):
        raise InvalidInputError(
            f"the error of {composition.name} is not the same function of the margin for both classes; "
            "predict_from_outputs takes outputs and targets"
        )
    return _from_values(values_of_margins(composition, margins, lr=lr), tolerance)


def predict_from_outputs(
    composition: ErrorSignal,
    outputs: Float64[np.ndarray, " sample"],
    targets: Float64[np.ndarray, " sample"],
    *,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Prediction:
    """Predict the fluctuations of a trained network's output bias from its pre-activations ``y`` and their targets.

    One density is estimated if the error is a function of the margin ``t y`` or of the residual ``y - t``. Otherwise
    one is estimated for each of two targets, or, for more targets, the density of the errors themselves.

    Parameters
    ----------
    composition
        Activation and loss, or a designed loss of the margin.
    outputs
        Pre-activations of the output.
    targets
        Classes -1 and +1, or real targets.
    lr
        Learning rate.
    tolerance
        Largest distance of the local exponent from a constant in the window.

    Raises
    ------
    InvalidInputError
        If a setting is not positive, or the outputs have no density.
    """
    check_settings(lr, tolerance)
    return _from_values(values_of_outputs(composition, outputs, targets, lr=lr), tolerance)


def predict_from_errors(
    log_errors: Float64[np.ndarray, " sample"], name: str, *, tolerance: float = TOLERANCE
) -> Prediction:
    """Predict fluctuations from the logarithms of output errors, by a kernel estimate of their density.

    For losses of several outputs, whose error is no function of one margin; exact zeros (``-inf``) are left out.
    """
    return _from_values(values_of_errors(log_errors, name), tolerance)


def _from_values(known: ErrorValues, tolerance: float) -> Prediction:
    """Predict from a kernel estimate whose bandwidth is that for the slope of a density: for its local exponent."""
    source = f"{known.name} with the density of {known.values.size} {known.what}"
    return with_limits(push_forward_parts(known.densities(EmpiricalDensity)), known.limits, tolerance, source)
