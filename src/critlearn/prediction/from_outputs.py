"""Prediction of the fluctuations of a trained network's output bias from the density of its outputs."""

import math
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.prediction.criteria import TOLERANCE
from critlearn.prediction.densities.margin_density import EmpiricalDensity
from critlearn.prediction.limiting_exponents import distinct
from critlearn.prediction.prediction import Prediction, check_settings, with_limits
from critlearn.prediction.push_forward.channel import BiasChannel, ErrorSignal, LogChannel
from critlearn.prediction.push_forward.push_forward import Part, push_forward, push_forward_parts
from critlearn.prediction.scaling_window import Limit

_PROBES: Final = np.array([-31.0, -7.3, -2.1, -0.37, 0.21, 1.4, 3.3, 11.7])
"""Pre-activations at which the error signals of both classes are compared: both signs, small and saturated."""


def has_margin(composition: ErrorSignal) -> bool:
    """Whether the error is the same function of the margin ``t y`` for both classes.

    True for an odd activation and a symmetric loss, false for an exponential or a softplus.
    """
    one, other = composition.log_error_signal(_PROBES, 1), composition.log_error_signal(-_PROBES, -1)
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-9))


def predict_from_margins(
    composition: ErrorSignal, margins: Float64[np.ndarray, " sample"], *, lr: float = 1.0, tolerance: float = TOLERANCE
) -> Prediction:
    """Predict the fluctuations of a trained network's output bias from the density of its output margins ``t y``.

    The composition may also be a designed loss of the margin.

    Raises
    ------
    InvalidInputError
        If the composition's error is no function of the margin: `predict_from_outputs` takes outputs and targets.
    """
    check_settings(lr, tolerance)
    if not has_margin(composition):
        raise InvalidInputError(
            f"the error of {composition.name} is not the same function of the margin for both classes; "
            "predict_from_outputs takes outputs and targets"
        )
    return _from_one_density(composition, margins, "margins", lr, tolerance)


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
    if outputs.shape != targets.shape or outputs.ndim != 1:
        raise InvalidInputError(
            f"one output and one target per sample are needed; got shapes {outputs.shape} and {targets.shape}"
        )
    values = np.unique(targets)
    classes = bool(np.isin(values, (-1.0, 1.0)).all())
    if classes and has_margin(composition):
        return _from_one_density(composition, outputs * targets, "margins", lr, tolerance)
    errors = composition.log_error_signal(outputs, targets)  # type: ignore[arg-type]
    residuals = outputs - targets
    # Shifted by 1, because the channels evaluate the error signal at target 1.
    if not classes and np.allclose(errors, composition.log_error_signal(residuals + 1.0, 1), rtol=1e-9, atol=1e-9):
        return _from_one_density(composition, residuals + 1.0, "residuals", lr, tolerance)
    if values.size > 2:
        return predict_from_errors(errors + math.log(lr), composition.name, tolerance=tolerance)
    parts = []
    for value in values:
        own = outputs[targets == value]
        channel = BiasChannel(composition, log_rate=math.log(lr), target=float(value))
        parts.append(Part(EmpiricalDensity(own), channel, own.size / outputs.size))
    limits = [limit for value in values for limit in _limit(composition, float(value))]
    source = f"{composition.name} with the densities of {outputs.size} outputs, one for each target"
    return with_limits(push_forward_parts(parts), distinct(limits), tolerance, source)


def predict_from_errors(
    log_errors: Float64[np.ndarray, " sample"], name: str, *, tolerance: float = TOLERANCE
) -> Prediction:
    """Predict fluctuations from the logarithms of output errors, by a kernel estimate of their density.

    For losses of several outputs, whose error is no function of one margin; exact zeros (``-inf``) are left out.
    """
    density = EmpiricalDensity(log_errors[np.isfinite(log_errors)])
    distribution = push_forward(density, [LogChannel()])
    return with_limits(distribution, [], tolerance, f"{name} with the density of {density.count} output errors")


def _from_one_density(
    composition: ErrorSignal, values: Float64[np.ndarray, " sample"], what: str, lr: float, tolerance: float
) -> Prediction:
    """Predict from one density for all samples, pushed through the error signal of the class +1."""
    density = EmpiricalDensity(values)
    distribution = push_forward(density, [BiasChannel(composition, log_rate=math.log(lr))])
    source = f"{composition.name} with the density of {density.count} output {what}"
    return with_limits(distribution, _limit(composition, 1.0), tolerance, source)


def _limit(composition: ErrorSignal, target: float) -> list[Limit]:
    limit = composition.asymptotic(target)
    return [] if limit.exponent is None else [Limit(limit.exponent, limit.exact)]
