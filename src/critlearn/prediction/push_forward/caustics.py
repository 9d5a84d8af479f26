"""Caustics of a channel: fluctuation sizes at which the density diverges, because the channel's slope vanishes."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int64

from critlearn.numerics.caustic_order import CausticOrder
from critlearn.numerics.window import exp_or_infinity, format_exp
from critlearn.prediction.criteria import HIGHEST_ORDER, ORDER_ERROR, SAME_CAUSTIC
from critlearn.prediction.densities.margin_density import Points
from critlearn.prediction.push_forward.branches import Branch, end_of_stretch
from critlearn.prediction.push_forward.channel import Channel
from critlearn.results import Result

_PLACES: Final = 401
"""Points on a branch at which the slope is sampled: a tenth of those that find the branches."""


@dataclass(frozen=True, repr=False)
class Caustic(CausticOrder, Result):
    """Caustic: fluctuation size at which the density diverges, ``p ~ |delta - delta_c|^-exponent``.

    Parameters
    ----------
    log_delta
        Logarithm of the size.
    order
        Power n of ``delta - delta_c ~ (x - x_c)^n``: 2 at a fold, 3 at a cusp (theory, caustics).

    >>> Caustic(0.0, 3).summary()
    'cusp at delta = 1: density ~ |delta - 1|^-0.667'
    """

    derived_values = ("delta", "kind", "exponent")

    log_delta: float
    order: int = 2

    @property
    def delta(self) -> float:
        """Size of the fluctuation; infinite where it is above the largest float."""
        return exp_or_infinity(self.log_delta)

    def summary(self) -> str:
        """One line, e.g. ``fold at delta = 0.77: density ~ |delta - 0.77|^-0.5``."""
        delta = format_exp(self.log_delta)
        return f"{self.kind} at delta = {delta}: density ~ |delta - {delta}|^-{self.exponent:.3g}"


def caustics_between(channel: Channel, branches: Sequence[Branch]) -> list[Caustic]:
    """Find the caustics of a channel: points between two branches, or inside one, at which its slope vanishes.

    At a kink, a zero or a pole the slope does not vanish from above and from below, so no order is found there.
    """
    between = [
        left.high
        for left, right in itertools.pairwise(branches)
        if left.high == right.low and not (left.constant or right.constant)
    ]
    inside = _stationary_inside(channel, [branch for branch in branches if not branch.constant])
    places = np.concatenate([np.array(between, dtype=np.float64), inside])
    found = []
    for log_delta, order in zip(
        channel.log_fluctuation(places).tolist(), _orders(channel, places).tolist(), strict=True
    ):
        if order and math.isfinite(log_delta):
            found.append(Caustic(log_delta, order))
    return found


def distinct(caustics: Sequence[Caustic]) -> tuple[Caustic, ...]:
    """Sort caustics by size and remove repeated ones: a periodic error signal has the same one on many branches."""
    found: list[Caustic] = []
    for caustic in sorted(caustics, key=lambda one: (one.log_delta, one.order)):
        if not found or found[-1].order != caustic.order or caustic.log_delta - found[-1].log_delta > SAME_CAUSTIC:
            found.append(caustic)
    return tuple(found)


def _stationary_inside(channel: Channel, branches: Sequence[Branch]) -> Points:
    """Points inside branches at which the slope touches zero without changing its sign."""
    if not branches:
        return np.empty(0)
    ends = np.array([[branch.low, branch.high] for branch in branches])
    # All branches in one call, whose overhead exceeds the arithmetic of one branch.
    x = np.linspace(ends[:, 0], ends[:, 1], _PLACES + 2)[1:-1]
    rising = _growth_of_slope(channel, x)
    # |l'| has a minimum where its derivative sign(l') l'' turns from negative to positive.
    turning = (rising[:-1] < 0) & (rising[1:] > 0)
    return end_of_stretch(lambda x: _growth_of_slope(channel, x) < 0, x[:-1][turning], x[1:][turning])


def _growth_of_slope(channel: Channel, x: Points) -> Points:
    """``sign(l') l''``."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope, curvature = channel.derivatives(x)
        return np.asarray(np.sign(slope) * curvature)


def _orders(channel: Channel, places: Points) -> Int64[np.ndarray, " place"]:
    """Order n of ``l(x) - l(x_c) ~ (x - x_c)^n`` from the power n - 1 of the slope; 0 where it does not vanish."""
    steps = 1e-3 * np.maximum(1.0, np.abs(places))
    near = places + steps * np.array([-1.0, -0.1, 1.0, 0.1])[:, None]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slopes = np.abs(channel.derivatives(near)[0])
        orders = 1 + np.log10(slopes[0::2] / slopes[1::2])
        order = np.round(orders.mean(axis=0))
        usable = np.isfinite(slopes).all(axis=0) & (slopes > 0).all(axis=0)
        fits = usable & (np.abs(orders - order) < ORDER_ERROR).all(axis=0)
        return np.where(fits & (order >= 2) & (order <= HIGHEST_ORDER), order, 0).astype(np.int64)
