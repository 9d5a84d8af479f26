"""A prediction: density, exponent and window of the fluctuations, from a composition and a density alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from critlearn.compositions import Asymptote, Composition
from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.notation import power_text
from critlearn.numerics.window import Window
from critlearn.prediction.channel import BiasChannel, Channel, ErrorSignal, LogChannel, WeightChannel, inverse_slope
from critlearn.prediction.margin_density import EmpiricalDensity, MarginDensity
from critlearn.prediction.product import convolve
from critlearn.prediction.push_forward import Caustic, Part, PushForward, push_forward, push_forward_parts
from critlearn.prediction.scaling_window import TOLERANCE, Limit, scaling_anywhere, scaling_near
from critlearn.results import Result

_FAR: Final = (1e5, 1e7)
"""Margins at which limits that depend on the density are read off; logarithms keep them exact."""


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Result):
    """What the fluctuations of one quantity should be.

    Parameters
    ----------
    exponent
        ``k`` of ``p(delta) ~ delta^-k`` on the window; None if there is no window of half a decade.
    exact
        The exponent as a rational number, where it is the exact limit of the composition.
    window
        Where the predicted local exponent stays within the tolerance of the exponent.
    tolerance
        That tolerance.
    distribution
        Predicted distribution of ``ln|delta|``.
    source
        What the prediction was made from, in words.
    """

    exponent: float | None
    exact: str | None
    window: Window | None
    tolerance: float
    distribution: PushForward
    source: str

    @property
    def caustics(self) -> tuple[Caustic, ...]:
        """Fluctuation sizes at which the predicted density diverges."""
        return self.distribution.caustics

    def to_dict(self) -> dict[str, Any]:
        """Exponent, window and caustics as plain values; what does not exist is None."""
        return {
            "exponent": self.exponent,
            "exact": self.exact,
            "window": [self.window.lo, self.window.hi] if self.window else None,
            "decades": self.window.decades if self.window else None,
            "tolerance": self.tolerance,
            "zeros": self.distribution.zeros,
            "caustics": [caustic.to_dict() for caustic in self.caustics],
            "source": self.source,
        }

    def curve(self) -> dict[str, list[float | None]]:
        """Density and local exponent over ``ln|delta|``, at most some 2,000 points."""
        every = slice(None, None, max(1, self.distribution.mass.size // 2000))
        width = np.diff(self.distribution.edges)
        unknown = np.full(width.size, np.nan)
        kappa, data = (
            unknown if part is None else part
            for part in (self.distribution.intrinsic_exponent, self.distribution.data_term)
        )
        with np.errstate(divide="ignore"):
            log_density = np.log(self.distribution.mass / width)
        return {
            "log_delta": _plain(self.distribution.centres[every]),
            "log_density": _plain(log_density[every]),
            "exponent": _plain(self.distribution.local_exponent[every]),
            "kappa": _plain(kappa[every]),
            "data_term": _plain(data[every]),
        }

    def summary(self) -> str:
        """One phrase, e.g. ``delta^-1 (exact) on [1e-05, 0.1] (4.0 decades)``."""
        if self.exponent is None or self.window is None:
            return "no power law over half a decade or more"
        value = f"{self.exact} (exact)" if self.exact else f"{self.exponent:.3f}"
        return f"{power_text('delta', value)} on {self.window.summary()}"


def _plain(values: Float64[np.ndarray, " n"]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def check_settings(lr: float, tolerance: float) -> None:
    """Refuse a learning rate or a tolerance that is none.

    Raises
    ------
    InvalidInputError
        If one is not positive and finite.
    """
    for name, value in (("learning rate", lr), ("tolerance", tolerance)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidInputError(f"the {name} must be positive and finite; got {value}")


def predict_toy(
    composition: Composition,
    inputs: MarginDensity,
    weight: float,
    bias: float,
    *,
    lr: float = 1.0,
    tolerance: float = TOLERANCE,
) -> dict[str, Prediction]:
    """Fluctuations of weight and bias of the two-neuron model ``y = w x + b``.

    The density of ``x`` is `inputs` for the class +1 and its mirror image for the class -1, both equally frequent, so
    that the margin is ``w x + b`` for one and ``w x - b`` for the other.

    Returns
    -------
    dict
        Predictions named ``bias`` and ``weight``.
    """
    sides = [BiasChannel(composition, weight, side * bias, math.log(lr)) for side in (1, -1)]
    source = f"{composition.name} with inputs {inputs}, w = {weight:.4g}, b = {bias:.4g}"
    results = {}
    for name, channels in _toy_channels(sides).items():
        distribution = push_forward(inputs, channels)
        results[name] = with_limits(distribution, _limits(composition, inputs, channels[0]), tolerance, source)
    return results


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
    """As `predict_toy`, with the densities of the inputs of both classes (-1, +1) estimated from observations."""
    signs = (1, -1)
    shares = [float((classes == sign).mean()) for sign in signs]
    densities = [EmpiricalDensity(sign * inputs[classes == sign]) for sign in signs]
    sides = [BiasChannel(composition, weight, sign * bias, math.log(lr)) for sign in signs]
    source = f"{composition.name} with the density of {inputs.size} inputs, w = {weight:.4g}, b = {bias:.4g}"
    return {
        name: with_limits(
            push_forward_parts([Part(*part) for part in zip(densities, channels, shares, strict=True)]),
            _limits(composition, densities[0], channels[0]),
            tolerance,
            source,
        )
        for name, channels in _toy_channels(sides).items()
    }


def _toy_channels(sides: Sequence[BiasChannel]) -> dict[str, Sequence[Channel]]:
    """Channels of the two trainable variables of the toy model."""
    return {"bias": sides, "weight": [WeightChannel(side) for side in sides]}


def predict_from_margins(
    composition: ErrorSignal, margins: Float64[np.ndarray, " sample"], *, lr: float = 1.0, tolerance: float = TOLERANCE
) -> Prediction:
    """Fluctuations of the output bias of a trained network, from the density of its output margins ``t y``.

    The composition may also be a designed loss of the margin.
    """
    density = EmpiricalDensity(margins)
    distribution = push_forward(density, [BiasChannel(composition, log_rate=math.log(lr))])
    source = f"{composition.name} with the density of {density.count} output margins"
    limit = composition.asymptotic()
    limits = [] if limit.exponent is None else [Limit(limit.exponent, limit.exact)]
    return with_limits(distribution, limits, tolerance, source)


def predict_from_errors(
    log_errors: Float64[np.ndarray, " sample"], name: str, *, tolerance: float = TOLERANCE
) -> Prediction:
    """Fluctuations of size given by their logarithms: the smooth density of a loss's errors on a network's outputs.

    For losses of several outputs, whose error is no function of one margin; exact zeros (``-inf``) are left out.
    """
    density = EmpiricalDensity(log_errors[np.isfinite(log_errors)])
    distribution = push_forward(density, [LogChannel()])
    return with_limits(distribution, [], tolerance, f"{name} with the density of {density.count} output errors")


def predict_product(error: Prediction, factor: LogSketch) -> Prediction:
    """Fluctuations of weights: those of the unit's error times the activity at the other end of the weight.

    The two are taken to be independent, so that the distributions of their logarithms convolve (theory, products).

    Parameters
    ----------
    error
        Prediction for the bias of the unit.
    factor
        Activities ``|a_j|`` over samples and units; exact zeros are left out, as they make the fluctuation zero.
    """
    distribution = convolve(error.distribution, factor)
    source = f"{error.source}, times {factor.count:,} activities taken to be independent of it"
    return with_limits(distribution, [], error.tolerance, source)


def with_limits(distribution: PushForward, limits: Sequence[Limit], tolerance: float, source: str) -> Prediction:
    """A known limit where the density comes within the tolerance of it, else the constant that fits widest."""
    scaling = scaling_near(distribution, limits, tolerance) or scaling_anywhere(distribution, tolerance)
    if scaling is None:
        return Prediction(None, None, None, tolerance, distribution, source)
    return Prediction(scaling.exponent, scaling.exact, scaling.window, tolerance, distribution, source)


def _limits(composition: Composition, inputs: MarginDensity, channel: Channel) -> list[Limit]:
    """Exponents that the fluctuations of the toy model tend to, where they become small."""
    limits = []
    for asymptote in composition.asymptotes():
        if asymptote.exact is None:
            continue
        kappa = Fraction(asymptote.exact)
        if math.isfinite(asymptote.place):
            limits.append(Limit.rational(kappa))
        else:
            limits += _far_limit(kappa, inputs, channel)
    if isinstance(channel, WeightChannel):
        # The input itself vanishes linearly, at which the fluctuation is uniformly distributed.
        limits.append(Limit.rational(Fraction(0)))
    return limits


def far_limits(side: Asymptote, inputs: MarginDensity, channel: Channel) -> list[Limit]:
    """Limits at infinite margin for the exponent that the composition alone has there."""
    return _far_limit(Fraction(str(side.exact)), inputs, channel)


def _far_limit(kappa: Fraction, inputs: MarginDensity, channel: Channel) -> list[Limit]:
    """Limit at infinite margin: exact where the density adds nothing, else with the limit of its data term.

    A weight's fluctuation has one power of the margin more than the error: ``m^-n`` becomes ``m^-(n-1)``.
    """
    if isinstance(channel, WeightChannel) and kappa != 1:
        power = 1 / (kappa - 1)
        if power == 1:
            return []
        kappa = 1 + 1 / (power - 1)
    if all(math.isfinite(end) for end in inputs.support):
        return [Limit.rational(kappa)]
    terms = []
    for far in _FAR:
        if math.isinf(float(inputs.log_density(np.array([far]))[0])):
            # Underflow, not a limit.
            return []
        terms.append(float(inputs.log_density_slope(np.array([far]))[0]) * inverse_slope(channel, far))
    if not abs(terms[1] - terms[0]) <= 1e-4 * max(1.0, abs(terms[1])):
        return []
    # The rest of the way to the limit is beyond rounding where the term has settled.
    return [Limit.rational(kappa)] if abs(terms[1]) < 1e-4 else [Limit(float(kappa) - terms[1], None)]
