"""Limit of the intrinsic exponent at infinite pre-activation, from the growth of the error signal there."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.asymptotics.asymptotic_branch import asymptotic_branch
from critlearn.compositions.asymptotics.decay import Decay, decay_of
from critlearn.compositions.asymptotics.growth_order import UndecidedError
from critlearn.compositions.loss import Loss, log_opposite, log_residual
from critlearn.compositions.symbolic.functions import plain, s, y
from critlearn.compositions.tails.approach import approach_at_end
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.log_error_expressions import (
    Slopes,
    forms_on_half_line,
    is_log_of_zero,
    log_error_expression,
    log_residual_expression,
    loss_forms,
    precise_slopes,
)
from critlearn.compositions.tails.loss_power import loss_power, loss_power_at_limit
from critlearn.compositions.tails.numeric_tail import numeric_tail
from critlearn.numerics.time_budget import Allowance

ZERO_TAIL = "zero"
"""Tail of an error signal that is zero from some margin on."""


@dataclass(frozen=True)
class _EndOfErrorSignal:
    """Error signal towards one end of the line.

    Parameters
    ----------
    log_error, log_distance, log_slope
        Logarithms of the error signal, of the distance that the loss acts through, and of the slope of the activation.
    power
        Exponent p of loss slope ~ distance^p; None if the loss is no power there.
    location, variable
        What the end and the distance along the line are called.
    place
        ``-inf`` or ``inf``.
    """

    log_error: sp.Expr
    log_distance: sp.Expr
    log_slope: sp.Expr
    power: sp.Expr | None
    location: str
    variable: str
    place: float


def asymptote_at_end(
    activation: Activation, loss: Loss, t: float, end: int, *, symbolic: Allowance, numeric: Allowance
) -> Asymptote:
    """Limit of kappa at ``y -> end * infinity``: by exact rules, else by extrapolation, within the time left."""
    signal = (_at_saturation if activation.bounded else _without_saturation)(activation, loss, t, end)
    log_error = signal.log_error
    if is_log_of_zero(log_error) or is_log_of_zero(asymptotic_branch(plain(log_error.subs(y, s)))):
        return Asymptote(None, None, ZERO_TAIL, signal.location, "constant", place=signal.place)
    decay = symbolic.spend(lambda: _decay(signal))
    if decay is not None:
        return _from_decay(decay, precise_slopes(log_error), signal)
    found = numeric.spend(lambda: numeric_tail(precise_slopes(log_error), signal.variable))
    if found is None:
        found = Asymptote(None, None, "no power law", "", method="numeric", uncertainty=None)
    return replace(found, location=signal.location, place=signal.place)


def mirrored(activation: Activation, loss: Loss, t: float, upper: Asymptote) -> Asymptote | None:
    """Limit at ``-infinity``, copied from that at ``+infinity`` for an even error signal; None for others.

    A second computation might run out of time and give a different answer.
    """
    if activation.bounded:
        return None
    expressions = [
        log_error_expression(activation, loss, t, end, _residual_sign_at_end(activation, t, end)) for end in (-1, 1)
    ]
    if expressions[0] != expressions[1]:
        return None
    location = upper.location if activation.name == "identity" else "y -> -inf"
    return replace(upper, location=location, place=-math.inf)


def _at_saturation(activation: Activation, loss: Loss, t: float, end: int) -> _EndOfErrorSignal:
    """Error signal of an activation that saturates, at the target's class or at the other one."""
    forms = forms_on_half_line(activation, end)
    right = end * t > 0
    # At the other class the residual is the whole width; the loss depends on the other distance, if on any.
    log_distance = forms.log_upper_gap if end > 0 else forms.log_lower_gap
    log_loss_slope = loss_forms(activation, loss, t, 1).log_derivative
    return _EndOfErrorSignal(
        log_error_expression(activation, loss, t, end, 1),
        log_distance,
        forms.log_derivative,
        loss_power(log_loss_slope, log_residual if right else log_opposite, vanishing=True),
        "margin -> inf" if right else "margin -> -inf",
        "m" if right else "|m|",
        end * math.inf,
    )


def _without_saturation(activation: Activation, loss: Loss, t: float, end: int) -> _EndOfErrorSignal:
    """Error signal of an activation that does not saturate at both ends."""
    limit, residual_sign = activation.limits[1 if end > 0 else 0], _residual_sign_at_end(activation, t, end)
    linear = activation.name == "identity"
    return _EndOfErrorSignal(
        log_error_expression(activation, loss, t, end, residual_sign),
        log_residual_expression(activation, end, t),
        forms_on_half_line(activation, end).log_derivative,
        loss_power_at_limit(loss.forms(residual_sign), limit, t),
        "residual -> inf" if linear else f"y -> {'inf' if end > 0 else '-inf'}",
        "e" if linear else "|y|",
        end * math.inf,
    )


def _residual_sign_at_end(activation: Activation, t: float, end: int) -> int:
    """Sign of ``f - t`` at an end of the line."""
    limit = activation.limits[1 if end > 0 else 0]
    if limit == t:
        # Sign of f - t as the output tends to its target, read at |y| = 30.
        return 1 if activation(np.array([end * 30.0]))[0] >= t else -1
    return 1 if limit > t else -1


def _decay(signal: _EndOfErrorSignal) -> Decay | None:
    """Decay of the error signal from the decays of its factors; from the whole expression if these do not suffice."""
    log_error, log_distance, log_slope = (
        form.subs(y, s) for form in (signal.log_error, signal.log_distance, signal.log_slope)
    )
    if signal.power is not None:
        of_slope = decay_of(log_slope)
        of_distance = decay_of(log_distance) if signal.power != 0 else of_slope
        if of_slope is not None and of_distance is not None:
            with suppress(UndecidedError):
                decay = of_distance.times(signal.power, of_slope) if signal.power != 0 else of_slope
                # At power 0 the leading terms cancel or are constant: the whole expression decides.
                if decay.power != 0:
                    return decay
    return decay_of(log_error)


def _from_decay(decay: Decay, slopes: Slopes, signal: _EndOfErrorSignal) -> Asymptote:
    """Limit of kappa: ``1 + 1/n`` for ``s^-n``, 1 for an exponential (theory, one-dimensional reduction)."""
    tail = decay.tail(signal.variable)
    size = "small" if decay.rate > 0 else "large"
    if decay.power == 0:
        size = "constant" if decay.constant else size
        return Asymptote(None, None, tail, signal.location, size, place=signal.place)
    kappa = sp.Integer(1) if decay.power is None else 1 + 1 / decay.power
    exact = str(kappa) if kappa.is_Rational else None
    approach = approach_at_end(slopes, kappa, "m" if "margin" in signal.location else "y")
    return Asymptote(float(kappa), exact, tail, signal.location, size, approach, place=signal.place)
