"""Limits of the intrinsic exponent at finite pre-activations: where the error signal vanishes or diverges."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.asymptotics.decay import Decay, decay_of, power_in_words
from critlearn.compositions.error_signal import state_of
from critlearn.compositions.loss import Loss
from critlearn.compositions.symbolic.functions import s, y
from critlearn.compositions.tails.approach import approach_at_place
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.criteria import LEAST_ORDER, MOST_PLACES, ORDER_ACCURACY
from critlearn.compositions.tails.local_order import (
    LocalOrder,
    exact_place,
    has_integer_orders,
    measured_order,
    refined_place,
)
from critlearn.compositions.tails.log_error_expressions import (
    Slopes,
    is_log_of_zero,
    log_error_expression,
    precise_slopes,
)
from critlearn.compositions.tails.loss_power import loss_power_at_limit
from critlearn.compositions.tails.singularities import singular_places
from critlearn.numerics.time_budget import Allowance

_APPROACHING: Final = np.array([1 / 3, 1 / 50, 1 / 100, 1 / 200, 1 / 400])
"""Distances from a place for measuring the approach: one further away, then each half the one before."""

_REACH: Final = 1e-3
_REACHES: Final = (_REACH, 1e-2, 1e-5)
"""Distances from a guess, in this order, at which the search for the exact place begins."""

_SAME_PLACE: Final = 1e-6
"""Relative distance below which two places are one."""

_ROUNDING: Final = 1e-9
"""Relative distance of an output from its target below which they meet."""

_ZERO: Final = 1e-27
"""Absolute value below which a place is 0: places are known to some 28 digits."""

_NARROW: Final = 1e-6
_STEADY: Final = 1e-3
"""Half-width of an interval around a place, and largest change of ``ln f'`` over it for an output linear there."""

_FLAT: Final = -7.0
"""Logarithm of the slope below which an output is not called linear."""


def zeros_and_poles(activation: Activation, loss: Loss, t: float, symbolic: Allowance) -> Iterator[Asymptote]:
    """Yield the limits at the zeros and poles of the error signal nearest to 0, from above and from below."""
    seen: list[float] = []
    for guess in sorted(singular_places(activation, loss, t), key=abs):
        if len(seen) == MOST_PLACES:
            return
        above, below = (_asymptote_at(activation, loss, t, guess, direction, symbolic) for direction in (1, -1))
        found = above or below
        # Several guesses may lead to one place, as where rounding makes a whole stretch vanish.
        if found is None or any(abs(found.place - place) < _SAME_PLACE * max(1.0, abs(place)) for place in seen):
            continue
        seen.append(found.place)
        if above is not None and below is not None and above.exponent == below.exponent:
            below = None
        else:
            above, below = _named_direction(above, "above"), _named_direction(below, "below")
        for asymptote, direction in ((above, 1), (below, -1)):
            if asymptote is not None:
                yield _with_approach(asymptote, activation, loss, t, direction)


def _named_direction(asymptote: Asymptote | None, direction: str) -> Asymptote | None:
    return None if asymptote is None else replace(asymptote, location=f"{asymptote.location} from {direction}")


def _with_approach(asymptote: Asymptote, activation: Activation, loss: Loss, t: float, direction: int) -> Asymptote:
    """Add the approach of kappa, measured at points each twice as close as the one before."""
    if asymptote.exponent is None:
        return asymptote
    points = asymptote.place + direction * _APPROACHING
    with np.errstate(all="ignore"):
        first, second = (np.asarray(part) for part in state_of(activation, loss, points, t).derivatives())
        distances = 1 + second / first**2 - asymptote.exponent
    return replace(asymptote, approach=approach_at_place([float(distance) for distance in distances], "|y - y0|"))


def _asymptote_at(
    activation: Activation, loss: Loss, t: float, guess: float, direction: int, symbolic: Allowance
) -> Asymptote | None:
    """Limit from one direction, by the measured order or by the rules of `decay_of` with ``|y - y0| = 1/s``."""
    half_line = 1 if guess > 0 or (guess == 0 and direction > 0) else -1
    outwards = direction * half_line
    value = float(activation(np.array([guess + direction * _REACH]))[0])
    residual_sign = 1 if value > t else -1
    form = log_error_expression(activation, loss, t, half_line, residual_sign)
    if is_log_of_zero(form):
        return None
    # Tried in this order: a linear output; a measured order known to be rational; the exact rules; any measured order.
    linear = _power_of_linear_output(activation, loss, t, guess, residual_sign)
    if linear is not None:
        return _of_power(linear, "", "|e|", f"y = {guess:.6g} (residual -> 0)", guess)
    slopes = precise_slopes(form)
    place = _located(slopes, abs(guess), outwards)
    if place == 0 and guess != 0:
        return _asymptote_at(activation, loss, t, 0.0, direction, symbolic)
    order = measured_order(slopes, place, outwards)
    at = half_line * float(place) + 0.0
    residual = not activation.bounded and _meets_target(float(activation(np.array([at]))[0]), t)
    location = f"y = {at:.6g}" + (" (residual -> 0)" if residual else "")
    distance = f"|y - {at:.6g}|" if at > 0 else (f"|y + {-at:.6g}|" if at < 0 else "|y|")
    if order is not None and order.rational is not None and has_integer_orders(form, place):
        return _of_power(order.rational, "", distance, location, at)
    exact = exact_place(place)
    decay = None if exact is None else symbolic.spend(lambda: decay_of(form.subs(y, exact + outwards / s)))
    if decay is not None and decay.order == 0 and _agrees(decay, order):
        return _of_power(decay.rate, decay.logarithms(distance), distance, location, at)
    if decay is not None and decay.order > 0 and order is None:
        size = "small" if decay.rate > 0 else "large"
        return Asymptote(1.0, "1", decay.tail_at(distance), location, size, place=at)
    if order is None or abs(order.value) < max(LEAST_ORDER, order.error):
        # A power of a logarithm, as of ln|y|, the slope of y ln|y|, is no power of the distance.
        return None
    return _of_measured_order(order, distance, location, at)


def _meets_target(value: float, t: float) -> bool:
    return abs(value - t) < _ROUNDING * max(1.0, abs(t))


def _power_of_linear_output(
    activation: Activation, loss: Loss, t: float, place: float, residual_sign: int
) -> sp.Expr | None:
    """Exponent p of ``|dH/df| ~ |f - t|^p`` where the output crosses its target with nonzero slope; None elsewhere.

    ``f - t`` is of first order there, so that p is the order of the error signal.
    """
    if activation.bounded:
        return None
    step = _NARROW * max(1.0, abs(place))
    near = place + step * np.array([-1.0, 0.0, 1.0])
    with np.errstate(all="ignore"):
        log_slopes, values = np.asarray(activation.log_slope(near)), np.asarray(activation(near))
    crosses = _meets_target(float(values[1]), t) and (values[0] - t) * (values[2] - t) < 0
    if not (crosses and np.isfinite(log_slopes).all() and log_slopes[1] > _FLAT and np.ptp(log_slopes) < _STEADY):
        return None
    return loss_power_at_limit(loss.forms(residual_sign), t, t)


def _agrees(decay: Decay, order: LocalOrder | None) -> bool:
    """Whether the order by the rules agrees with the measured one within its error; True without a measurement."""
    return order is None or abs(float(decay.rate) - order.value) <= max(ORDER_ACCURACY, 2 * order.error)


def _located(slopes: Slopes, guess: float, outwards: int) -> mpmath.mpf:
    """Singular place near a guess at full precision; the guess itself if it is 0 or none is found."""
    for reach in _REACHES if guess != 0 else ():
        for towards in (outwards, -outwards):
            place = refined_place(slopes, guess, towards * reach)
            if place is not None:
                return place if abs(place) > _ZERO else mpmath.mpf(0)
    return mpmath.mpf(guess)


def _of_power(power: sp.Expr, logarithms: str, distance: str, location: str, place: float) -> Asymptote | None:
    """Asymptote of an error signal ``|y - y0|^n``: exponent ``1 - 1/n`` (theory, one-dimensional reduction, (3))."""
    if power == 0:
        return None
    kappa = 1 - 1 / power
    tail = (distance if power == 1 else f"{distance}^{power_in_words(power)}") + logarithms
    size = "small" if power > 0 else "large"
    exact = str(kappa) if kappa.is_Rational else None
    return Asymptote(float(kappa), exact, tail, location, size, place=place)


def _of_measured_order(order: LocalOrder, distance: str, location: str, place: float) -> Asymptote:
    return Asymptote(
        1 - 1 / order.value,
        None,
        f"{distance}^{order.value:.4g}",
        location,
        "small" if order.value > 0 else "large",
        method="numeric",
        uncertainty=order.error / order.value**2,
        place=place,
    )
