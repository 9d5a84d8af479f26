"""Branches of a channel over a density: intervals on which the fluctuation is monotone."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.optimize import elementwise

from critlearn.errors import InvalidInputError
from critlearn.prediction.criteria import LARGEST_INPUT, MOST_BRANCHES, REACH
from critlearn.prediction.densities.margin_density import MarginDensity, Points
from critlearn.prediction.push_forward.channel import Channel

_HALVINGS: Final = 60
"""Halvings of a bracket: all 53 digits of a float, and a few for a bracket next to zero."""

_WIDE: Final = 1e3
"""Size of the support above which an even grid of 4,000 points does not resolve its middle."""

_JUMP: Final = 1e-6
"""Change of ``ln|delta|`` in the smallest step from an end of a branch above which it jumps there."""


@dataclass(frozen=True)
class Branch:
    """Branch of a channel: interval of inputs on which it is monotone, with ``ln|delta|`` at both ends.

    On a `constant` branch both values are equal, and ``-inf`` if the fluctuation is zero throughout.
    """

    low: float
    high: float
    log_low: float
    log_high: float
    constant: bool = False


def branches_of(density: MarginDensity, channel: Channel) -> list[Branch]:
    """Split the support at the turning points, kinks and zeros of a channel.

    Raises
    ------
    InvalidInputError
        If the density extends beyond `LARGEST_INPUT`, or the fluctuation oscillates too fast.
    """
    with np.errstate(over="ignore"):
        low, high = (float(density.quantile(np.array(q))) for q in (REACH / 10, 1 - REACH / 10))
    if not (-LARGEST_INPUT < low <= high < LARGEST_INPUT):
        raise InvalidInputError(
            f"the density cannot be followed: all but {REACH:g} of its probability lies between {low:.3g} and "
            f"{high:.3g}; at most {LARGEST_INPUT:g} is allowed"
        )
    return branches_within(low, high, channel)


def branches_within(low: float, high: float, channel: Channel) -> list[Branch]:
    """Find the branches of a channel between two inputs.

    Raises
    ------
    InvalidInputError
        If there are more than `MOST_BRANCHES`.
    """
    singular = [point for point in channel.singular if low < point < high]
    grid = np.unique(
        np.concatenate([np.linspace(low, high, 4001), _far(low, high), *(_around(p, low, high) for p in singular)])
    )
    values, sign = channel.log_fluctuation(grid), _signs(channel, grid)
    usable = ~np.isnan(sign) & ~np.isin(grid, singular)
    grid, sign, values = grid[usable], sign[usable], values[usable]
    # A sign change across a singular point is that point itself, not a turning point beside it.
    at = np.flatnonzero(sign[1:] != sign[:-1])
    between = np.array(
        [any(low < point < high for point in singular) for low, high in zip(grid[at], grid[at + 1], strict=True)]
    )
    at = at[~between] if at.size else at
    turns = _bisect_signs(channel, grid[at], grid[at + 1], sign[at])
    points = np.array(sorted({low, high, *singular, *turns}))
    if points.size > MOST_BRANCHES:
        raise InvalidInputError(
            f"the fluctuation rises and falls more than {MOST_BRANCHES} times between {low:.3g} and {high:.3g}: "
            "it oscillates too fast to be followed there"
        )
    return _branches(channel, points, high - low)


def _branches(channel: Channel, points: Float64[np.ndarray, " point"], width: float) -> list[Branch]:
    """Make the branches between successive points, all in one call: many short calls would be slow."""
    start, stop = points[:-1], points[1:]
    inside = channel.log_fluctuation(np.linspace(start, stop, 7)[1:-1])
    constant = (inside == inside[0]).all(axis=0)
    # A fluctuation that vanishes or diverges at an end is followed up to a tiny step from it. The value exactly at a
    # junction belongs to only one of the two branches, so it is used only if it continues the values beside it.
    near = np.stack([start, stop, start + _steps(start, width), stop - _steps(stop, width)])
    logs = channel.log_fluctuation(near)
    with np.errstate(invalid="ignore"):
        belongs = np.isfinite(logs[:2]) & (np.abs(logs[:2] - logs[2:]) < _JUMP)
    ends = np.where(belongs, logs[:2], logs[2:])
    branches = []
    for i, (low, high) in enumerate(itertools.pairwise(points.tolist())):
        log_low, log_high = ends[:, i].tolist()
        if constant[i]:
            branches.append(Branch(low, high, float(inside[0, i]), float(inside[0, i]), constant=True))
        elif math.isfinite(log_low) and math.isfinite(log_high) and log_low != log_high:
            branches.append(Branch(low, high, log_low, log_high))
    return branches


def _steps(points: Points, width: float) -> Points:
    """Small steps away from points: 1e-13 of their size (or of 1), and at most 1e-14 of the support's width."""
    return np.asarray(1e-14 * np.minimum(width, 10 * np.maximum(1.0, np.abs(points))))


def _far(low: float, high: float) -> Float64[np.ndarray, " n"]:
    """Logarithmic grid, for supports so wide that an even grid does not resolve their middle."""
    reach = max(abs(low), abs(high))
    if reach < _WIDE:
        return np.array([])
    sizes = np.geomspace(1e-3, reach, 2001)
    both = np.concatenate([-sizes, sizes])
    return both[(both > low) & (both < high)]


def _signs(channel: Channel, x: Points) -> Points:
    """Sign of the channel's slope: 0 where the fluctuation is constant or zero, NaN where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope = channel.derivatives(x)[0]
    sign = np.where(np.isfinite(slope), np.sign(slope), np.nan)
    return np.where(np.isneginf(channel.log_fluctuation(x)), 0.0, sign)


def _around(point: float, low: float, high: float) -> Float64[np.ndarray, " n"]:
    """Logarithmic grid around a singular point, above and below it."""
    offsets = (high - low) * np.logspace(-12, -2, 200)
    near = np.concatenate([point - offsets, point + offsets])
    return near[(near > low) & (near < high)]


def _bisect_signs(channel: Channel, low: Points, high: Points, sign_low: Points) -> Points:
    """Points at which the slope of a channel changes sign, in all intervals at once."""
    return end_of_stretch(lambda x, sign: _signs(channel, x) == sign, low, high, sign_low)


def end_of_stretch(holds: Callable[..., np.ndarray], low: Points, high: Points, *arguments: Points) -> Points:
    """Points between `low`, where a condition on ``x`` and the arguments holds, and `high`, where it does not."""
    if low.size == 0:
        return low
    # The condition as a step function of value -1 or 1 has no slope, so the root finder bisects to the last digit.
    found = elementwise.find_root(
        lambda x, *own: np.where(holds(x, *own), -1.0, 1.0), (low, high), args=arguments, maxiter=_HALVINGS
    )
    return np.asarray(0.5 * (found.bracket[0] + found.bracket[1]))
