"""Caustics: sizes of fluctuations at which the density diverges, because the slope of a channel vanishes there."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from critlearn.numerics.window import exp_or_inf, format_exp
from critlearn.prediction.branches import Branch
from critlearn.prediction.channel import Channel
from critlearn.results import Result

_BISECTIONS: Final = 60
_HIGHEST_ORDER: Final = 12
_SAME: Final = 1e-9


@dataclass(frozen=True, repr=False)
class Caustic(Result):
    """A fluctuation size at which the density diverges, as ``|delta - delta_c|^exponent``.

    Where ``delta - delta_c ~ (x - x_c)^order`` the exponent is ``1/order - 1``: -1/2 at a fold (theory, caustics).
    """

    log_delta: float
    kind: str
    exponent: float
    order: int = 2

    def to_dict(self) -> dict[str, float | str]:
        """Fields as plain values."""
        return {
            "delta": exp_or_inf(self.log_delta),
            "log_delta": self.log_delta,
            "kind": self.kind,
            "exponent": self.exponent,
            "order": self.order,
        }

    def summary(self) -> str:
        """One line, e.g. ``fold at delta = 0.77: density ~ |delta - 0.77|^-0.5``."""
        delta = format_exp(self.log_delta)
        return f"{self.kind} at delta = {delta}: density ~ |delta - {delta}|^{self.exponent:.3g}"


def caustics_between(channel: Channel, branches: Sequence[Branch]) -> list[Caustic]:
    """Points at which the slope of a channel vanishes: between two branches, or inside one that goes on.

    At a kink, a zero or a pole it does not vanish from both sides, so that no order is found.
    """
    places = [
        left.high
        for left, right in itertools.pairwise(branches)
        if left.high == right.low and not (left.constant or right.constant)
    ]
    for branch in branches:
        if not branch.constant:
            places += _stationary_inside(channel, branch)
    found = []
    for place in places:
        order = _order(channel, place)
        if order is not None:
            kind = "fold" if order == 2 else ("cusp" if order == 3 else f"order {order}")
            log_delta = float(channel.log_fluctuation(np.array([place]))[0])
            if not math.isfinite(log_delta):
                continue
            found.append(Caustic(log_delta, kind, 1 / order - 1, order))
    return found


def distinct(caustics: Sequence[Caustic]) -> tuple[Caustic, ...]:
    """Caustics by size, each once: a periodic error signal has the same one on many branches."""
    found: list[Caustic] = []
    for caustic in sorted(caustics, key=lambda one: (one.log_delta, one.order)):
        if not found or found[-1].order != caustic.order or caustic.log_delta - found[-1].log_delta > _SAME:
            found.append(caustic)
    return tuple(found)


def _stationary_inside(channel: Channel, branch: Branch) -> list[float]:
    """Points inside a branch at which the slope touches zero without changing its sign."""
    x = np.linspace(branch.low, branch.high, 403)[1:-1]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope, curvature = channel.derivatives(x)
    rising = np.sign(slope) * curvature
    found = []
    # The size of the slope has a minimum where sign(l') l'' turns from negative to positive.
    for i in np.flatnonzero((rising[:-1] < 0) & (rising[1:] > 0)):
        low, high = x[i], x[i + 1]
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            first, second = channel.derivatives(np.array([middle]))
            low, high = (middle, high) if np.sign(first[0]) * second[0] < 0 else (low, middle)
        found.append(0.5 * (low + high))
    return found


def _order(channel: Channel, place: float) -> int | None:
    """Order n of ``l(x) - l(x_c) ~ (x - x_c)^n``, from how the slope vanishes; None where it does not."""
    orders = []
    for direction in (-1, 1):
        near = place + direction * 1e-3 * max(1.0, abs(place)) * np.array([1.0, 0.1])
        slopes = np.abs(channel.derivatives(near)[0])
        if not np.isfinite(slopes).all() or slopes.min() == 0:
            return None
        orders.append(1 + math.log10(slopes[0] / slopes[1]))
    order = round(sum(orders) / 2)
    fits = all(abs(one - order) < 0.1 for one in orders)
    return order if fits and 2 <= order <= _HIGHEST_ORDER else None
