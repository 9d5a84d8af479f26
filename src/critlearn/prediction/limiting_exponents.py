"""Limiting exponents of small fluctuations, from a composition and the density that is pushed through it."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from critlearn.compositions import Asymptote, Composition
from critlearn.prediction.criteria import SAME_LIMIT
from critlearn.prediction.densities.margin_density import MarginDensity
from critlearn.prediction.push_forward.channel import BiasChannel, WeightChannel, inverse_slope
from critlearn.prediction.scaling_window import Limit

_FAR: Final = (1e5, 1e7)
"""Inputs at which the limit of the data term is evaluated, in logarithms; it must agree at both."""


def limiting_exponents(
    composition: Composition, inputs: MarginDensity, channel: BiasChannel | WeightChannel
) -> list[Limit]:
    """List the exponents of a channel in each limit in which its fluctuations become small."""
    error = channel.error if isinstance(channel, WeightChannel) else channel
    limits = []
    for asymptote in composition.asymptotes(error.target):
        if asymptote.exponent is None:
            continue
        if math.isinf(asymptote.place) and asymptote.exact is not None:
            limits += _far_limits(asymptote, inputs, channel)
        else:
            limits.append(Limit(asymptote.exponent, asymptote.exact))
    if isinstance(channel, WeightChannel):
        # A weight's fluctuation also vanishes linearly with its input, where its density is constant: exponent 0.
        limits.append(Limit.rational(Fraction(0)))
    return limits


def _far_limits(asymptote: Asymptote, inputs: MarginDensity, channel: BiasChannel | WeightChannel) -> list[Limit]:
    """Limit at infinite pre-activation: exact if the data term vanishes there, else with the limit of the data term.

    A weight's fluctuation has one more power of the margin than the error: ``m^-n`` becomes ``m^-(n-1)``.
    """
    kappa = Fraction(str(asymptote.exact))
    weight = channel.error.weight if isinstance(channel, WeightChannel) else channel.weight
    if isinstance(channel, WeightChannel) and kappa != 1:
        power = 1 / (kappa - 1)
        if power == 1:
            return []
        kappa = 1 + 1 / (power - 1)
    if all(math.isfinite(end) for end in inputs.support):
        return [Limit.rational(kappa)]
    terms = []
    for far in np.copysign(_FAR, math.copysign(1.0, asymptote.place) * weight):
        if math.isinf(float(inputs.log_density(np.array([far]))[0])):
            # The density has underflowed, so there is no data term to evaluate.
            return []
        terms.append(float(inputs.log_density_slope(np.array([far]))[0]) * inverse_slope(channel, far))
    if not abs(terms[1] - terms[0]) <= SAME_LIMIT * max(1.0, abs(terms[1])):
        return []
    # A data term that has converged to nearly 0 is 0, and the exponent exact.
    return [Limit.rational(kappa)] if abs(terms[1]) < SAME_LIMIT else [Limit(float(kappa) - terms[1], None)]


def distinct(limits: Sequence[Limit]) -> list[Limit]:
    """Remove repeated limits, keeping their order."""
    return list(dict.fromkeys(limits))
