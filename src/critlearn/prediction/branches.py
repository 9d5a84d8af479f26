"""Branches of a channel over a density: stretches on which the fluctuation rises or falls, and its inverse there."""

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.errors import InvalidInputError
from critlearn.prediction.channel import Channel
from critlearn.prediction.margin_density import MarginDensity, Points

REACH: Final = 1e-9
"""Probability beyond which the ends of a distribution are left out."""

_BISECTIONS: Final = 60
_HALVINGS: Final = 64
_WIDE: Final = 1e3
_LARGEST: Final = 1e150
_JUMP: Final = 1e-6
"""Change of ``ln|delta|`` in the smallest step from an end of a branch above which it is a jump there."""


@dataclass(frozen=True)
class Branch:
    """An interval of inputs on which a channel is monotone, with the values of ``ln|delta|`` at its ends.

    On a `constant` one they are equal, ``-inf`` where the fluctuation is zero throughout.
    """

    low: float
    high: float
    log_low: float
    log_high: float
    constant: bool = False


def branches_of(density: MarginDensity, channel: Channel) -> list[Branch]:
    """Split the support at the turning points, kinks and zeros of a channel."""
    with np.errstate(over="ignore"):
        low, high = (float(density.quantile(np.array(q))) for q in (REACH / 10, 1 - REACH / 10))
    if not (-_LARGEST < low <= high < _LARGEST):
        raise InvalidInputError(
            f"the density cannot be followed: all but {REACH:g} of its probability lies between {low:.3g} and "
            f"{high:.3g}; at most {_LARGEST:g} is allowed"
        )
    singular = [point for point in channel.singular if low < point < high]
    grid = np.unique(
        np.concatenate([np.linspace(low, high, 4001), _far(low, high), *(_around(p, low, high) for p in singular)])
    )
    values, sign = channel.log_fluctuation(grid), _signs(channel, grid)
    usable = ~np.isnan(sign) & ~np.isin(grid, singular)
    grid, sign, values = grid[usable], sign[usable], values[usable]
    turns = [
        _bisect_sign(channel, grid[i], grid[i + 1], sign[i])
        for i in np.flatnonzero(sign[1:] != sign[:-1])
        if not any(grid[i] < point < grid[i + 1] for point in singular)
    ]
    points = np.array(sorted({low, high, *singular, *turns}))
    branches = []
    for start, stop in itertools.pairwise(points):
        inner = np.linspace(start, stop, 7)[1:-1]
        inside = channel.log_fluctuation(inner)
        if (inside == inside[0]).all():
            branches.append(Branch(float(start), float(stop), float(inside[0]), float(inside[0]), constant=True))
            continue
        # A fluctuation that vanishes or diverges at an end is followed to where almost no input is left. The value
        # right at a junction belongs to one side only.
        near = np.array([start, stop, start + _step(start, high - low), stop - _step(stop, high - low)])
        logs = channel.log_fluctuation(near)
        with np.errstate(invalid="ignore"):
            belongs = np.isfinite(logs[:2]) & (np.abs(logs[:2] - logs[2:]) < _JUMP)
        log_start, log_stop = np.where(belongs, logs[:2], logs[2:])
        if math.isfinite(log_start) and math.isfinite(log_stop) and log_start != log_stop:
            branches.append(Branch(float(start), float(stop), float(log_start), float(log_stop)))
    return branches


def _step(point: float, width: float) -> float:
    """Small step away from a point, however wide the support is."""
    return float(1e-14 * min(width, 10 * max(1.0, abs(point))))


def _far(low: float, high: float) -> Float64[np.ndarray, " n"]:
    """Grid that is even in the logarithm, for supports so wide that an even one sees nothing of their middle."""
    reach = max(abs(low), abs(high))
    if reach < _WIDE:
        return np.array([])
    sizes = np.geomspace(1e-3, reach, 2001)
    both = np.concatenate([-sizes, sizes])
    return both[(both > low) & (both < high)]


def _signs(channel: Channel, x: Points) -> Points:
    """Sign of the channel's slope: 0 where the fluctuation does not change or is zero, NaN where it is not defined."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope = channel.derivatives(x)[0]
    sign = np.where(np.isfinite(slope), np.sign(slope), np.nan)
    return np.where(np.isneginf(channel.log_fluctuation(x)), 0.0, sign)


def _around(point: float, low: float, high: float) -> Float64[np.ndarray, " n"]:
    """Grid that closes in on a singular point from both sides."""
    offsets = (high - low) * np.logspace(-12, -2, 200)
    near = np.concatenate([point - offsets, point + offsets])
    return near[(near > low) & (near < high)]


def _bisect_sign(channel: Channel, low: float, high: float, sign_low: float) -> float:
    """Point at which the slope of a channel changes sign."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _signs(channel, np.array([middle]))[0] == sign_low:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def inverse(channel: Channel, branch: Branch, log_delta: Points) -> Points:
    """Inputs on a branch at which ``l(x)`` takes given values; the branch's ends for values beyond them."""
    rising = branch.log_high > branch.log_low
    low, high = (_ordered(np.full(log_delta.shape, end)) for end in (branch.low, branch.high))
    for _ in range(_HALVINGS):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        too_low = (channel.log_fluctuation(_from_ordered(middle)) < log_delta) == rising
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    first, last = (branch.low, branch.high) if rising else (branch.high, branch.low)
    # Right at an end a singular density may hold more than the last step of the floating-point numbers resolves.
    x = np.where(
        log_delta <= min(branch.log_low, branch.log_high), first, 0.5 * (_from_ordered(low) + _from_ordered(high))
    )
    return np.asarray(np.where(log_delta >= max(branch.log_low, branch.log_high), last, x))


def _ordered(x: Points) -> Int64[np.ndarray, "..."]:
    """Places of floating-point numbers in their order.

    Halving them finds a number of any magnitude, 1e-200 or 1e30, to its last digit.
    """
    bits = np.ascontiguousarray(x, dtype=np.float64).view(np.int64).reshape(np.shape(x))
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _from_ordered(places: Int64[np.ndarray, "..."]) -> Points:
    """Inverse of `_ordered`."""
    bits = np.where(places < 0, np.iinfo(np.int64).min - places, places)
    return np.ascontiguousarray(bits).view(np.float64).reshape(np.shape(places))
