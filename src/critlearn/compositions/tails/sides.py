"""All sides of a composition: the ends of the line, and the zeros and poles of the error signal in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.asymptotics.asymptotic_branch import branches_far_out
from critlearn.compositions.asymptotics.decay import Decay, decay_of, in_words
from critlearn.compositions.asymptotics.growth_order import UnclearError
from critlearn.compositions.asymptotics.singularities import singular_places
from critlearn.compositions.error_signal import state_of
from critlearn.compositions.loss import Loss, LossForms, log_opposite, log_residual, log_width, output, target
from critlearn.compositions.symbolic.functions import plain, s, y
from critlearn.compositions.tails.approach import approach_at_end, approach_at_place
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.tails.local_order import (
    LocalOrder,
    exact_place,
    has_integer_orders,
    measured_order,
    refined_place,
)
from critlearn.compositions.tails.log_error_expressions import (
    Slopes,
    half_at,
    log_error_form,
    log_residual_form,
    loss_forms,
    precise_slopes,
)
from critlearn.compositions.tails.numeric_tail import numeric_tail
from critlearn.numerics.time_budget import Allowance

_CLOSE_BY: Final = np.array([1 / 3, 1 / 50, 1 / 100, 1 / 200, 1 / 400])
_MOST_PLACES: Final = 6
"""Zeros and poles that are listed, those nearest to 0: a periodic activation has no end of them."""

_REACH: Final = 1e-3
_LEAST_POWER: Final = 1e-3
_NARROW: Final = 1e-6
_SAME: Final = 1e-6
_STEADY: Final = 1e-3
_NOTHING: Final = 1e-27
_ZERO: Final = "zero"
_FLAT: Final = -7.0
"""Logarithm of the slope below which an output is not called linear."""

_SYMBOLIC_SECONDS: Final = 0.8
_NUMERIC_SECONDS: Final = 0.5
"""Processor time for all sides together: what the rules do not give in it is found numerically, or not at all."""


@dataclass(frozen=True)
class _Time:
    """Processor time that is left for one composition."""

    symbolic: Allowance
    numeric: Allowance


@lru_cache(maxsize=1024)
def all_sides(activation: Activation, loss: Loss, t: float) -> tuple[Asymptote, ...]:
    """Sides of a composition for a target, the governing one first.

    For an output that saturates that is margin -> inf; else, of those where fluctuations become small, the one with
    the largest exponent, to which the density of the smallest fluctuations belongs.
    """
    time = _Time(Allowance(_SYMBOLIC_SECONDS), Allowance(_NUMERIC_SECONDS))
    ends = {1: _end(activation, loss, t, 1, time)}
    ends[-1] = _mirrored(activation, loss, t, ends[1]) or _end(activation, loss, t, -1, time)
    inner = list(_inner(activation, loss, t, time))
    if activation.bounded:
        governing = 1 if t > 0 else -1
        outer = [ends[governing], ends[-governing]]
        # Where the error is zero from some margin on, that is where fluctuations become small.
        last = [side for side in inner if side.side == "small"] if outer[0].tail == _ZERO else []
        return (*last, *outer, *(side for side in inner if side not in last))
    first, second = ends[1], ends[-1]
    if activation.name == "identity" and (first.exponent, first.tail) == (second.exponent, second.tail):
        outer = [first]
    else:
        outer = [replace(first, location="y -> inf"), replace(second, location="y -> -inf")]
    rank = {"small": 0, "large": 1, "constant": 2}
    return tuple(
        sorted(
            [*outer, *inner],
            key=lambda side: (rank[side.side], side.exponent is None, -side.exponent if side.exponent else 0.0),
        )
    )


def _approached(side: Asymptote, activation: Activation, loss: Loss, t: float, points: np.ndarray) -> Asymptote:
    """Side at a finite place with the approach of kappa, as seen at points each twice as close as the one before."""
    if side.exponent is None:
        return side
    with np.errstate(all="ignore"):
        first, second = (np.asarray(part) for part in state_of(activation, loss, points, t).derivatives())
        distances = 1 + second / first**2 - side.exponent
    return replace(side, approach=approach_at_place([float(distance) for distance in distances], "|y - y0|"))


def _end(activation: Activation, loss: Loss, t: float, end: int, time: _Time) -> Asymptote:
    """Limit at ``y -> end * infinity``."""
    half = half_at(activation, end)
    if activation.bounded:
        right = end * t > 0
        forms = loss_forms(activation, loss, t, 1)
        # On the wrong side the residual is the whole width, and the loss acts through the other distance, if at all.
        gap = half.log_upper_gap if end > 0 else half.log_lower_gap
        power = _power(forms.log_derivative, log_residual if right else log_opposite, vanishing=True)
        location, variable = ("margin -> inf", "m") if right else ("margin -> -inf", "|m|")
        return _analysed(
            log_error_form(activation, loss, t, end, 1), gap, half.log_derivative, power, location, variable, end, time
        )
    limit, side = activation.limits[1 if end > 0 else 0], _side_far_out(activation, t, end)
    forms = loss.forms(side)
    linear = activation.name == "identity"
    location, variable = ("residual -> inf", "e") if linear else (f"y -> {'inf' if end > 0 else '-inf'}", "|y|")
    return _analysed(
        log_error_form(activation, loss, t, end, side),
        log_residual_form(activation, half, t),
        half.log_derivative,
        _power_at_limit(forms, limit, t),
        location,
        variable,
        end,
        time,
    )


def _mirrored(activation: Activation, loss: Loss, t: float, upper: Asymptote) -> Asymptote | None:
    """The other end of an even error signal: the same, and not found again in what time is left."""
    if activation.bounded:
        return None
    on = [_side_far_out(activation, t, end) for end in (-1, 1)]
    forms = [log_error_form(activation, loss, t, end, side) for end, side in zip((-1, 1), on, strict=True)]
    if forms[0] != forms[1]:
        return None
    location = upper.location if activation.name == "identity" else "y -> -inf"
    return replace(upper, location=location, place=-math.inf)


def _side_far_out(activation: Activation, t: float, end: int) -> int:
    """Side of the target on which the output is at an end of the line."""
    limit = activation.limits[1 if end > 0 else 0]
    return 1 if limit > t or (limit == t and _above(activation, end, t)) else -1


def _above(activation: Activation, end: int, t: float) -> bool:
    return bool(activation(np.array([end * 30.0]))[0] >= t)


def _power_at_limit(forms: LossForms, limit: float, t: float) -> sp.Expr | None:
    """Power of the residual as which a loss acts where the output tends to a limit."""
    if forms.log_derivative.free_symbols & {output, target} or math.isnan(limit):
        return None
    if math.isfinite(limit) and limit != t:
        return sp.Integer(0)
    return _power(forms.log_derivative, log_residual, vanishing=limit == t)


@lru_cache(maxsize=1024)
def _power(form: sp.Expr, symbol: sp.Symbol, *, vanishing: bool) -> sp.Expr | None:
    """Power of a distance as which a loss acts where the distance vanishes, or grows; None if there is none."""
    fixed = form.subs({other: 0 for other in (log_residual, log_opposite, log_width) if other != symbol})
    decay = decay_of(fixed.subs(symbol, -sp.log(s) if vanishing else sp.log(s)))
    if decay is None or decay.power is None or len(decay.growth.terms) > 1:
        return None
    return decay.power if vanishing else -decay.power


def _analysed(
    whole: sp.Expr,
    gap: sp.Expr,
    slope: sp.Expr,
    power: sp.Expr | None,
    location: str,
    variable: str,
    end: int,
    time: _Time,
) -> Asymptote:
    """Decay of the error signal from those of its factors, or of the whole where that does not tell."""
    place = end * math.inf
    if _is_zero(whole) or _is_zero(branches_far_out(plain(whole.subs(y, s)))):
        return Asymptote(None, None, _ZERO, location, side="constant", place=place)
    decay = time.symbolic.spend(lambda: _symbolic(whole.subs(y, s), gap.subs(y, s), slope.subs(y, s), power))
    if decay is not None:
        return _described(decay, precise_slopes(whole), location, variable, place)
    found = time.numeric.spend(lambda: numeric_tail(precise_slopes(whole), variable))
    if found is None:
        return Asymptote(None, None, "no power law", location, method="numeric", uncertainty=None, place=place)
    return replace(found, location=location, place=place)


def _is_zero(form: sp.Expr) -> bool:
    """Whether a form is the logarithm of what vanishes identically."""
    return bool(form.has(sp.zoo, -sp.oo, sp.nan))


def _symbolic(whole: sp.Expr, gap: sp.Expr, slope: sp.Expr, power: sp.Expr | None) -> Decay | None:
    if power is not None:
        falls = decay_of(slope)
        near = decay_of(gap) if power != 0 else falls
        if falls is not None and near is not None:
            try:
                decay = near.times(power, falls) if power != 0 else falls
            except UnclearError:
                pass
            else:
                if decay.power != 0:
                    return decay
    return decay_of(whole)


def _described(decay: Decay, slopes: Slopes, location: str, variable: str, place: float) -> Asymptote:
    """Exponent ``1 + 1/n`` of ``s^-n``, 1 of an exponential (theory, one-dimensional reduction)."""
    tail = decay.tail(variable)
    if decay.power == 0:
        side = "constant" if decay.constant else ("small" if decay.rate > 0 else "large")
        return Asymptote(None, None, tail, location, side, place=place)
    side = "small" if decay.rate > 0 else "large"
    kappa = sp.Integer(1) if decay.power is None else 1 + 1 / decay.power
    exact = str(kappa) if kappa.is_Rational else None
    approach = approach_at_end(slopes, kappa, "m" if "margin" in location else "y")
    return Asymptote(float(kappa), exact, tail, location, side, approach, place=place)


def _inner(activation: Activation, loss: Loss, t: float, time: _Time) -> Iterator[Asymptote]:
    """Zeros and poles of the error signal at finite pre-activations."""
    seen: list[float] = []
    for guess in sorted(singular_places(activation, loss, t), key=abs):
        if len(seen) == _MOST_PLACES:
            return
        above, below = (_at(activation, loss, t, guess, direction, time) for direction in (1, -1))
        found = above or below
        # Several guesses may lead to one place, as where rounding makes a whole stretch vanish.
        if found is None or any(abs(found.place - place) < _SAME * max(1.0, abs(place)) for place in seen):
            continue
        seen.append(found.place)
        if above is not None and below is not None and above.exponent == below.exponent:
            below = None
        elif above is not None or below is not None:
            above, below = _from_one_side(above, "above"), _from_one_side(below, "below")
        for side, direction in ((above, 1), (below, -1)):
            if side is not None:
                yield _approached(side, activation, loss, t, side.place + direction * _CLOSE_BY)


def _from_one_side(side: Asymptote | None, which: str) -> Asymptote | None:
    return None if side is None else replace(side, location=f"{side.location} from {which}")


def _at(activation: Activation, loss: Loss, t: float, guess: float, direction: int, time: _Time) -> Asymptote | None:
    """Limit on one side of a place: its order measured at high precision, or by the rules with ``|y - y0| = 1/s``."""
    on = 1 if guess > 0 or (guess == 0 and direction > 0) else -1
    outwards = direction * on
    value = float(activation(np.array([guess + direction * _REACH]))[0])
    side = 1 if value > t else -1
    form = log_error_form(activation, loss, t, on, side)
    if _is_zero(form):
        return None
    acts = _power_of_linear_output(activation, loss, t, guess, side)
    if acts is not None:
        return _at_power(acts, "", "|e|", f"y = {guess:.6g} (residual -> 0)", guess)
    place, order = _measured(form, abs(guess), outwards)
    if place == 0 and guess != 0:
        return _at(activation, loss, t, 0.0, direction, time)
    at = on * float(place) + 0.0
    residual = not activation.bounded and abs(float(activation(np.array([at]))[0]) - t) < 1e-9 * max(1.0, abs(t))
    location = f"y = {at:.6g}" + (" (residual -> 0)" if residual else "")
    variable = f"|y - {at:.6g}|" if at > 0 else (f"|y + {-at:.6g}|" if at < 0 else "|y|")
    if order is not None and order.rational is not None and has_integer_orders(form, place):
        return _at_power(order.rational, "", variable, location, at)
    exact = exact_place(place)
    ruled = None if exact is None else time.symbolic.spend(lambda: decay_of(form.subs(y, exact + outwards / s)))
    if ruled is not None and ruled.order == 0 and _fits(ruled, order):
        return _at_power(ruled.rate, ruled.logarithms(variable), variable, location, at)
    if ruled is not None and ruled.order > 0 and order is None:
        end = "small" if ruled.rate > 0 else "large"
        return Asymptote(1.0, "1", ruled.tail_at(variable), location, end, place=at)
    if order is None or abs(order.value) < max(_LEAST_POWER, order.error):
        # A power of a logarithm, as near the slope ln|y| of y ln|y|, is none of the distance.
        return None
    return _numeric(order, variable, location, at)


def _power_of_linear_output(activation: Activation, loss: Loss, t: float, place: float, side: int) -> sp.Expr | None:
    """Power of the residual as which a loss acts, where the output meets its target with a slope that is not zero.

    The order of ``f - t`` is 1 there, so that this power is the whole order. None elsewhere.
    """
    if activation.bounded:
        return None
    step = _NARROW * max(1.0, abs(place))
    near = place + step * np.array([-1.0, 0.0, 1.0])
    with np.errstate(all="ignore"):
        slopes, values = np.asarray(activation.log_slope(near)), np.asarray(activation(near))
    meets = abs(values[1] - t) < 1e-9 * max(1.0, abs(t)) and (values[0] - t) * (values[2] - t) < 0
    if not (meets and np.isfinite(slopes).all() and slopes[1] > _FLAT and np.ptp(slopes) < _STEADY):
        return None
    return _power_at_limit(loss.forms(side), t, t)


def _measured(form: sp.Expr, guess: float, outwards: int) -> tuple[mpmath.mpf, LocalOrder | None]:
    slopes = precise_slopes(form)
    place = _located(slopes, guess, outwards)
    return place, measured_order(slopes, place, outwards)


def _fits(decay: Decay, order: LocalOrder | None) -> bool:
    """Whether what the rules give is what is measured, as far as that is known."""
    return order is None or abs(float(decay.rate) - order.value) <= max(1e-6, 2 * order.error)


def _located(slopes: Slopes, guess: float, outwards: int) -> mpmath.mpf:
    """Place to full precision; the guess itself if it is one, or if none is found near it."""
    for reach in (_REACH, 1e-2, 1e-5):
        if guess == 0:
            break
        for towards in (outwards, -outwards):
            place = refined_place(slopes, guess, towards * reach)
            if place is not None:
                # Places are known to some 28 digits.
                return place if abs(place) > _NOTHING else mpmath.mpf(0)
    return mpmath.mpf(guess)


def _at_power(power: sp.Expr, logarithms: str, variable: str, location: str, place: float) -> Asymptote | None:
    """Error signal ``|y - y0|^n``: exponent ``1 - 1/n``."""
    if power == 0:
        return None
    kappa = 1 - 1 / power
    tail = (variable if power == 1 else f"{variable}^{in_words(power)}") + logarithms
    side = "small" if power > 0 else "large"
    exact = str(kappa) if kappa.is_Rational else None
    return Asymptote(float(kappa), exact, tail, location, side, place=place)


def _numeric(order: LocalOrder, variable: str, location: str, place: float) -> Asymptote:
    return Asymptote(
        1 - 1 / order.value,
        None,
        f"{variable}^{order.value:.4g}",
        location,
        "small" if order.value > 0 else "large",
        method="numeric",
        uncertainty=order.error / order.value**2,
        place=place,
    )
