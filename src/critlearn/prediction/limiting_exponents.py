"""Exponents in the limit of small fluctuations, from a composition and the density that goes through it."""

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
"""Inputs at which limits that depend on the density are read off; logarithms keep them exact."""


def limiting_exponents(
    composition: Composition, inputs: MarginDensity, channel: BiasChannel | WeightChannel
) -> list[Limit]:
    """Exponents of a channel in each limit in which its fluctuations become small."""
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
        # The input itself vanishes linearly, at which the fluctuation is uniformly distributed.
        limits.append(Limit.rational(Fraction(0)))
    return limits


def _far_limits(asymptote: Asymptote, inputs: MarginDensity, channel: BiasChannel | WeightChannel) -> list[Limit]:
    """Limit at infinite pre-activation: exact where the density adds nothing, else with the limit of its data term.

    A weight's fluctuation has one power of the margin more than the error: ``m^-n`` becomes ``m^-(n-1)``.
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
            # Underflow, not a limit.
            return []
        terms.append(float(inputs.log_density_slope(np.array([far]))[0]) * inverse_slope(channel, far))
    if not abs(terms[1] - terms[0]) <= SAME_LIMIT * max(1.0, abs(terms[1])):
        return []
    # The rest of the way to the limit is beyond rounding where the term has converged.
    return [Limit.rational(kappa)] if abs(terms[1]) < SAME_LIMIT else [Limit(float(kappa) - terms[1], None)]


def distinct(limits: Sequence[Limit]) -> list[Limit]:
    """Limits without those that were there before, in order."""
    return list(dict.fromkeys(limits))
