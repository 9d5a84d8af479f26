"""Loss and output error of a composition together, for training: each form is evaluated once."""

import numpy as np

from critlearn.compositions.activation import Activation
from critlearn.compositions.error_signal import checked_target, state_of, together
from critlearn.compositions.loss import Loss, log_opposite, log_residual, log_width
from critlearn.compositions.symbolic.evaluation import choose, evaluate_together, exp, half_line_of, log, sign_of
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.functions import y as size_symbol


def value_and_error(activation: Activation, loss: Loss, y: Array, t: Array) -> tuple[Array, Array]:
    """Loss ``H(f(y), t)`` and output error ``dh/dy``; shapes of ``y`` and ``t`` broadcast, precision of ``y``.

    Parameters
    ----------
    activation, loss
        The composition.
    y
        Pre-activations, as an array or a tensor in double precision.
    t
        Targets: classes for an activation that saturates, any numbers for others.
    """
    # A second form for one half-line or for one sign of the residual has to be chosen from; that takes the whole state.
    if activation.negative is not None or loss.above is not None or loss.slope is not None or loss.formula is not None:
        state = state_of(activation, loss, y, t)
        return state.evaluated(lambda forms: forms.value), state.sign() * exp(state.log_error())
    y, t = together(y, checked_target(activation, loss, t))
    if activation.bounded:
        return _of_classes(activation, loss, y, t)
    half_line = half_line_of(y)
    value, log_slope = evaluate_together((activation.value, activation.log_derivative), {size_symbol: y * half_line})
    residual = value * half_line - t
    distances = {log_residual: log(abs(residual))}
    value, log_derivative = evaluate_together((loss.value, loss.log_derivative), distances)
    return value, sign_of(residual) * exp(log_derivative + log_slope)


def _of_classes(activation: Activation, loss: Loss, y: Array, t: Array) -> tuple[Array, Array]:
    """Loss and output error of an activation that is odd about the middle of its range, for classes -1 and +1."""
    half_line = half_line_of(y)
    gaps = (activation.log_upper_gap, activation.log_lower_gap)
    closer, farther, log_slope = evaluate_together((*gaps, activation.log_derivative), {size_symbol: y * half_line})
    right = half_line == t
    lower, upper = activation.range
    distances = {
        log_residual: choose(right, closer, farther),
        log_opposite: choose(right, farther, closer),
        log_width: float(np.log(upper - lower)),
    }
    value, log_derivative = evaluate_together((loss.value, loss.log_derivative), distances)
    return value, -t * exp(log_derivative + log_slope)
