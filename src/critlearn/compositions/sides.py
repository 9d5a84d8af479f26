"""All sides of a composition: the ends of the line, and the zeros and poles of the error signal in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import sympy as sp

from critlearn.compositions.activation import Half
from critlearn.compositions.asymptote import Asymptote
from critlearn.compositions.decay import (
    Decay,
    approach_of,
    decay_of,
    numeric_exponent,
    numeric_power,
)
from critlearn.compositions.expressions import y
from critlearn.compositions.growth import s
from critlearn.compositions.loss import LossForms, log_opposite, log_residual, log_width, output, target

if TYPE_CHECKING:
    from critlearn.compositions.composition import Composition

_GRID: Final = np.sinh(np.linspace(-12.0, 12.0, 6001))
_FAR_OUT: Final = np.array([2.0, 15.0, 30.0, 60.0, 120.0])
_CLOSE_BY: Final = np.array([1 / 3, 1 / 50, 1 / 100, 1 / 200, 1 / 400])
_MOST_PLACES: Final = 6
"""Zeros and poles that are listed, those nearest to 0 first: a periodic activation has no end of them."""

_ROUGHNESS: Final = 1e-9
_LEAST_POWER: Final = 0.05
"""Power of ``|y - y0|`` above which a dip of the error signal counts as a zero, and a peak as a pole."""


@lru_cache(maxsize=1024)
def all_sides(composition: Composition, t: float) -> tuple[Asymptote, ...]:
    """Sides of a composition for a target, the governing one first."""
    ends = {end: _approached(_end(composition, t, end), composition, t, end * _FAR_OUT) for end in (1, -1)}
    inner = list(_inner(composition, t))
    if composition.activation.bounded:
        governing = 1 if t > 0 else -1
        return (ends[governing], ends[-governing], *inner)
    first, second = ends[1], ends[-1]
    if (first.exponent, first.tail) == (second.exponent, second.tail) and "residual" in (first.location):
        outer = [first]
    else:
        outer = [_relocated(first, "y -> inf"), _relocated(second, "y -> -inf")]
    found = [*outer, *inner]
    rank = {"small": 0, "large": 1, "constant": 2}
    return tuple(sorted(found, key=lambda side: rank[side.side]))


def _approached(side: Asymptote, composition: Composition, t: float, points: np.ndarray) -> Asymptote:
    """Side with the approach of kappa to its limit, as seen at points each twice as far out as the one before."""
    if side.exponent is None:
        return side
    with np.errstate(all="ignore"):
        distances = np.asarray(composition.intrinsic_exponent(points, t)) - side.exponent
    approach = approach_of([float(distance) for distance in distances], "m" if "margin" in side.location else "y")
    # Near a point it is the inverse distance that grows.
    at_end = "inf" in side.location
    return replace(side, approach=approach if at_end else approach.replace("y^-", "|y - y0|^"))


def _relocated(side: Asymptote, location: str) -> Asymptote:
    return replace(side, location=location)


def _end(composition: Composition, t: float, end: int) -> Asymptote:
    """Limit at ``y -> end * infinity``."""
    activation = composition.activation
    half = activation.halves[1 if end > 0 else 0]
    limit = activation.limits[1 if end > 0 else 0]
    if activation.bounded:
        right = end * t > 0
        forms = _class_forms(composition, t)
        residual = half.log_upper_gap if end > 0 else half.log_lower_gap
        location, variable = ("margin -> inf", "m") if right else ("margin -> -inf", "|m|")
        # On the wrong side the residual is the whole width, and the loss acts through the other distance, if at all.
        symbol = log_residual if right else log_opposite
        log_form = _put(forms.log_derivative, composition, half, t) + half.log_derivative
        power = _power(forms.log_derivative, symbol, vanishing=True)
        return _analysed(log_form, residual, half, power, location, variable)
    side = 1 if limit > t or (limit == t and _above(composition, end, t)) else -1
    forms = composition.loss.forms(side)
    linear = activation.name == "identity"
    location, variable = ("residual -> inf", "e") if linear else (f"y -> {'inf' if end > 0 else '-inf'}", "|y|")
    residual = sp.log(sp.Abs(half.value - _exact(t)))
    log_form = _put(forms.log_derivative, composition, half, t) + half.log_derivative
    power = None
    if not forms.log_derivative.free_symbols & {output, target}:
        if math.isinf(limit):
            power = _power(forms.log_derivative, log_residual, vanishing=False)
        elif limit == t:
            power = _power(forms.log_derivative, log_residual, vanishing=True)
        elif math.isfinite(limit):
            power = sp.Integer(0)
    return _analysed(log_form, residual, half, power, location, variable)


def _above(composition: Composition, end: int, t: float) -> bool:
    return bool(composition.activation(np.array([end * 30.0]))[0] >= t)


def _class_forms(composition: Composition, t: float) -> LossForms:
    lower, upper = composition.activation.range
    return composition.loss.forms(-1, (upper, lower)) if t > 0 else composition.loss.forms(1, (lower, upper))


def _exact(t: float) -> sp.Expr:
    return sp.nsimplify(t, rational=True)


def _put(form: sp.Expr, composition: Composition, half: Half, t: float) -> sp.Expr:
    """``ln|dH/df|`` as a function of the size of the pre-activation on a half-line."""
    activation = composition.activation
    if activation.bounded:
        near, far = half.log_upper_gap, half.log_lower_gap
        if t < 0:
            near, far = far, near
        width = sp.log(_exact(activation.range[1]) - _exact(activation.range[0]))
        return form.subs({log_residual: near, log_opposite: far, log_width: width})
    residual = sp.log(sp.Abs(half.value - _exact(t)))
    return form.subs({log_residual: residual, output: half.value, target: _exact(t)})


@lru_cache(maxsize=1024)
def _power(form: sp.Expr, symbol: sp.Symbol, *, vanishing: bool) -> sp.Expr | None:
    """Power of a distance as which a loss acts where the distance vanishes, or grows; None if there is none."""
    fixed = form.subs({other: 0 for other in (log_residual, log_opposite, log_width) if other != symbol})
    decay = decay_of(fixed.subs(symbol, -sp.log(s) if vanishing else sp.log(s)))
    if decay is None or decay.power is None:
        return None
    return decay.power if vanishing else -decay.power


def _analysed(
    log_form: sp.Expr, residual: sp.Expr, half: Half, power: sp.Expr | None, location: str, variable: str
) -> Asymptote:
    """Decay of the error signal from those of its factors, or of the whole where that does not tell."""
    decay = None
    if power is not None:
        slope = decay_of(half.log_derivative.subs(y, s))
        gap = Decay(power=sp.Integer(0)) if power == 0 else decay_of(residual.subs(y, s))
        if slope is not None and gap is not None:
            decay = gap.times(power, slope)
    whole = log_form.subs(y, s)
    if decay is None or decay.power == 0:
        decay = decay_of(whole)
    if decay is None:
        return _numeric(whole, location, variable)
    return _described(decay, location, variable)


def _described(decay: Decay, location: str, variable: str) -> Asymptote:
    """Exponent ``1 + 1/n`` of ``s^-n``, 1 of an exponential (theory, one-dimensional reduction)."""
    tail = decay.tail(variable)
    if decay.power == 0:
        return Asymptote(None, None, tail, location, side="constant" if decay.order is None else "small")
    if decay.power is not None:
        side = "small" if decay.power > 0 else "large"
        kappa = 1 + 1 / decay.power
    else:
        side, kappa = ("small" if decay.rate > 0 else "large"), sp.Integer(1)
    exponent = float(kappa)
    exact = str(kappa) if kappa.is_Rational else None
    return Asymptote(exponent, exact, tail, location, side)


def _numeric(whole: sp.Expr, location: str, variable: str) -> Asymptote:
    """Limit by extrapolation where no symbolic one was found; no power law where that does not converge either."""
    found = numeric_exponent(whole)
    if found is None:
        return Asymptote(None, None, "no power law", location, method="numeric")
    exponential = abs(found.value - 1) < 1e-6
    tail = f"exponential in {variable}" if exponential else f"{variable}^{-1 / (found.value - 1):.4g}"
    side = "small" if found.value >= 1 else "large"
    return Asymptote(found.value, None, tail, location, side, method="numeric", uncertainty=found.error)


def _inner(composition: Composition, t: float) -> Iterator[Asymptote]:
    """Zeros and poles of the error signal at finite pre-activations."""
    for place in sorted(singular_places(composition, t), key=abs)[:_MOST_PLACES]:
        sides = [_at(composition, t, place, direction) for direction in (1, -1)]
        found = [
            _approached(side, composition, t, place + direction * _CLOSE_BY)
            for side, direction in zip(sides, (1, -1), strict=True)
            if side is not None
        ]
        if len(found) == 2 and found[0].exponent == found[1].exponent:
            found = found[:1]
        yield from found


@lru_cache(maxsize=1024)
def singular_places(composition: Composition, t: float) -> tuple[float, ...]:
    """Pre-activations at which the error signal vanishes or diverges like a power."""

    def log_error(points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(composition.log_error_signal(points, t))

    grid = np.unique(np.append(_GRID, [] if composition.activation.bounded else [t]))
    values = log_error(grid)
    places: list[float] = []
    for i in range(1, grid.size - 1):
        here, left, right = values[i], values[i - 1], values[i + 1]
        dip = here <= left and here <= right and not (np.isneginf(left) or np.isneginf(right))
        peak = here >= left and here >= right and not (np.isposinf(left) or np.isposinf(right))
        if not (dip or peak) or np.isnan([here, left, right]).any():
            continue
        # Plateaus are rough by rounding.
        if np.isfinite(here) and max(abs(left - here), abs(right - here)) < _ROUGHNESS:
            continue
        place = _refined(log_error, grid[i - 1], grid[i], grid[i + 1], -1.0 if dip else 1.0)
        if len(places) > 200:
            break
        powers = [_power_at(log_error, place, direction) for direction in (1, -1)]
        if max(abs(power) for power in powers) > _LEAST_POWER:
            places.append(place)
    return tuple(places)


def _refined(log_error: object, low: float, middle: float, high: float, sign: float) -> float:
    """Extremum between two points by narrowing, tried at a round number first."""
    near = float(np.round(middle, 3))
    for candidate in (middle, near):
        if low < candidate < high and not math.isfinite(float(log_error(np.array([candidate]))[0])):  # type: ignore[operator]
            return float(candidate)
    for _ in range(80):
        points = np.linspace(low, high, 9)
        best = int(np.nanargmax(sign * log_error(points)))  # type: ignore[operator]
        low, high = points[max(best - 1, 0)], points[min(best + 1, 8)]
    return float(0.5 * (low + high))


def _power_at(log_error: object, place: float, direction: int) -> float:
    """``d lambda / d ln|y - y0|`` near a place."""
    reach = 1e-4 * max(1.0, abs(place))
    values = log_error(place + direction * reach * np.array([1.0, 0.1]))  # type: ignore[operator]
    return float((values[0] - values[1]) / math.log(10)) if np.isfinite(values).all() else 0.0


def _at(composition: Composition, t: float, place: float, direction: int) -> Asymptote | None:
    """Limit on one side of a place, by the same road as at infinity with ``|y - y0| = 1/s``."""
    activation = composition.activation
    location = f"y = {place:.6g}"
    variable = f"|y - {place:.6g}|" if place > 0 else (f"|y + {-place:.6g}|" if place < 0 else "|y|")
    value = float(activation(np.array([place]))[0])
    slope = float(activation.log_slope(np.array([place]))[0])
    structural = not activation.bounded and abs(value - t) < 1e-9 and math.isfinite(slope)
    if structural:
        rising = float(np.ravel(activation.slope_sign(np.array([place])))[0]) > 0
        forms = composition.loss.forms(direction if rising else -direction)
        location = "residual -> 0"
        variable = "|e|"
        if not forms.log_derivative.free_symbols & {output, target}:
            power = _power(forms.log_derivative, log_residual, vanishing=True)
            if power is not None:
                return _at_power(power, variable, location)
    exact_place = sp.nsimplify(place, rational=True, tolerance=1e-9)
    half = activation.halves[1 if place > 0 or (place == 0 and direction > 0) else 0]
    grows = direction if place > 0 else (1 if place == 0 else -direction)
    size = abs(exact_place) + grows / s
    side = 1 if value > t or (value == t and direction > 0) else -1
    forms = _class_forms(composition, t) if activation.bounded else composition.loss.forms(side)
    whole = (_put(forms.log_derivative, composition, half, t) + half.log_derivative).subs(y, size)
    decay = decay_of(whole) if abs(float(exact_place) - place) < 1e-12 * max(1.0, abs(place)) else None
    if decay is not None and decay.power is not None:
        return _at_power(decay.power, variable, location)
    found = numeric_power(whole)
    if found is None or abs(found.value) < _LEAST_POWER:
        return None
    kappa, uncertainty = 1 - 1 / found.value, found.error / found.value**2
    side_name = "small" if found.value > 0 else "large"
    return Asymptote(
        kappa, None, f"{variable}^{found.value:.4g}", location, side_name, "unknown", "numeric", uncertainty
    )


def _at_power(power: sp.Expr, variable: str, location: str) -> Asymptote | None:
    """Error signal ``|y - y0|^n``: exponent ``1 - 1/n``."""
    if power == 0:
        return None
    kappa = 1 - 1 / power
    tail = variable if power == 1 else f"{variable}^{_in_words(power)}"
    side = "small" if power > 0 else "large"
    return Asymptote(float(kappa), str(kappa) if kappa.is_Rational else None, tail, location, side)


def _in_words(power: sp.Expr) -> str:
    return str(power) if power.is_Integer else f"({power})"
