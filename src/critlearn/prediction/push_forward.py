"""Push-forward of a density through channels, over all branches, onto the grid on which fluctuations are counted."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.prediction.channel import Channel
from critlearn.prediction.margin_density import MarginDensity, Points

REACH: Final = 1e-9
"""Probability beyond which the ends of a distribution are left out."""

_BISECTIONS: Final = 60
_MOST_BINS: Final = 30_000


@dataclass(frozen=True)
class Caustic:
    """A fluctuation size at which the density diverges, as ``|delta - delta_c|^exponent``."""

    log_delta: float
    kind: str
    exponent: float

    def to_dict(self) -> dict[str, float | str]:
        """Fields as plain values."""
        return {"log_delta": self.log_delta, "kind": self.kind, "exponent": self.exponent}


@dataclass(frozen=True, eq=False)
class PushForward:
    """Distribution of ``ln|delta|``: probability in each bin, and the local exponent at each bin's centre.

    ``local_exponent`` is NaN where there is no density.
    """

    edges: Float64[np.ndarray, " edge"]
    mass: Float64[np.ndarray, " bin"]
    local_exponent: Float64[np.ndarray, " bin"]
    caustics: tuple[Caustic, ...]

    @property
    def centres(self) -> Float64[np.ndarray, " bin"]:
        """Centres of the bins in ``ln|delta|``."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


@dataclass(frozen=True)
class Part:
    """A share of all inputs: their density, and the channel that they take."""

    density: MarginDensity
    channel: Channel
    share: float


@dataclass(frozen=True)
class _Branch:
    """An interval of inputs on which a channel is monotone, with the values of ``ln|delta|`` at its ends."""

    low: float
    high: float
    log_low: float
    log_high: float


def push_forward(density: MarginDensity, channels: Sequence[Channel]) -> PushForward:
    """Distribution of the fluctuations when each input takes each channel with equal probability.

    As `push_forward_parts`, with one density and equal shares.
    """
    return push_forward_parts([Part(density, channel, 1 / len(channels)) for channel in channels])


def push_forward_parts(parts: Sequence[Part]) -> PushForward:
    """Distribution of the fluctuations of inputs that come in parts, such as classes.

    On a branch, ``p(ln delta) = p(x) / |l'(x)|``; probabilities of bins are differences of the distribution function
    at the inverse images of their edges, so that they add up to 1 whatever diverges in between. The local exponent is
    ``k = 1 - d ln p(ln delta) / d ln delta``, the branches weighted by their density (theory, one-dimensional
    reduction).

    Raises
    ------
    InvalidInputError
        If the fluctuations are the same for every input.
    """
    branches = [_branches(part.density, part.channel) for part in parts]
    ends = [end for of_part in branches for branch in of_part for end in (branch.log_low, branch.log_high)]
    finite = [end for end in ends if math.isfinite(end)]
    if not finite or max(finite) - min(finite) < BIN_WIDTH:
        raise InvalidInputError("the fluctuation is the same for every input: there is nothing to push forward")
    edges = _grid(min(finite), max(finite))
    mass, weight, drift = (np.zeros(edges.size - 1) for _ in range(3))
    caustics: list[Caustic] = []
    centres = 0.5 * (edges[1:] + edges[:-1])
    for part, of_part in zip(parts, branches, strict=True):
        for branch in of_part:
            mass += part.share * _mass(part.density, part.channel, branch, edges)
            local, slope = _local(part.density, part.channel, branch, centres)
            weight += part.share * local
            drift += part.share * local * slope
        caustics += _caustics(part.channel, of_part)
    with np.errstate(invalid="ignore", divide="ignore"):
        local_exponent = np.where(weight > 0, 1 - drift / weight, np.nan)
    return _trimmed(PushForward(edges, mass, local_exponent, tuple(caustics)))


def _grid(lowest: float, highest: float) -> Float64[np.ndarray, " edge"]:
    """Edges on the sketches' grid, or on every second, fourth, ... of them where there would be too many."""
    step = BIN_WIDTH
    while (highest - lowest) / step > _MOST_BINS:
        step *= 2
    return np.arange(math.floor(lowest / step) - 1, math.ceil(highest / step) + 2) * step


def _trimmed(result: PushForward) -> PushForward:
    """Without the ends that hold less than `REACH` of the probability."""
    below, above = np.cumsum(result.mass), np.cumsum(result.mass[::-1])[::-1]
    kept = np.flatnonzero((below > REACH) & (above > REACH))
    at = slice(kept[0], kept[-1] + 1)
    edges = result.edges[kept[0] : kept[-1] + 2]
    return PushForward(edges, result.mass[at], result.local_exponent[at], result.caustics)


def _branches(density: MarginDensity, channel: Channel) -> list[_Branch]:
    """Split the support at the turning points, kinks and zeros of a channel."""
    low, high = (float(density.quantile(np.array(q))) for q in (REACH / 10, 1 - REACH / 10))
    singular = [point for point in channel.singular if low < point < high]
    grid = np.unique(np.concatenate([np.linspace(low, high, 4001), *(_around(p, low, high) for p in singular)]))
    slope = channel.derivatives(grid)[0]
    usable = np.isfinite(slope) & ~np.isin(grid, singular)
    grid, sign = grid[usable], np.sign(slope[usable])
    turns = [
        _bisect_sign(channel, grid[i], grid[i + 1], sign[i])
        for i in np.flatnonzero(sign[1:] * sign[:-1] < 0)
        if not any(grid[i] < point < grid[i + 1] for point in singular)
    ]
    points = np.array(sorted({low, high, *singular, *turns}))
    logs = channel.log_fluctuation(points)
    branches = []
    nearest = 1e-14 * (high - low)
    for (start, log_start), (stop, log_stop) in itertools.pairwise(zip(points, logs, strict=True)):
        # A fluctuation that vanishes at an end is followed down to where almost no input is left.
        if log_start == -math.inf:
            log_start = float(channel.log_fluctuation(np.array([start + nearest]))[0])
        if log_stop == -math.inf:
            log_stop = float(channel.log_fluctuation(np.array([stop - nearest]))[0])
        if math.isfinite(log_start) and math.isfinite(log_stop) and log_start != log_stop:
            branches.append(_Branch(float(start), float(stop), float(log_start), float(log_stop)))
    return branches


def _around(point: float, low: float, high: float) -> Float64[np.ndarray, " n"]:
    """Grid that closes in on a singular point from both sides."""
    offsets = (high - low) * np.logspace(-12, -2, 200)
    near = np.concatenate([point - offsets, point + offsets])
    return near[(near > low) & (near < high)]


def _bisect_sign(channel: Channel, low: float, high: float, sign_low: float) -> float:
    """Point at which the slope of a channel changes sign."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if np.sign(channel.derivatives(np.array([middle]))[0][0]) == sign_low:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _inverse(channel: Channel, branch: _Branch, log_delta: Points) -> Points:
    """Inputs on a branch at which ``l(x)`` takes given values; the branch's ends for values beyond them."""
    rising = branch.log_high > branch.log_low
    low, high = np.full(log_delta.shape, branch.low), np.full(log_delta.shape, branch.high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        too_low = (channel.log_fluctuation(middle) < log_delta) == rising
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return 0.5 * (low + high)


def _mass(
    density: MarginDensity, channel: Channel, branch: _Branch, edges: Float64[np.ndarray, " edge"]
) -> Float64[np.ndarray, " bin"]:
    """Probability that a branch sends into each bin."""
    x = _inverse(channel, branch, edges)
    low, high = np.minimum(x[1:], x[:-1]), np.maximum(x[1:], x[:-1])
    # The smaller of the two tails is the one that is known to full relative precision.
    upper = density.cumulative(low) > 0.5
    from_above = density.survival(low) - density.survival(high)
    from_below = density.cumulative(high) - density.cumulative(low)
    return np.maximum(np.where(upper, from_above, from_below), 0.0)


def _local(
    density: MarginDensity, channel: Channel, branch: _Branch, centres: Float64[np.ndarray, " bin"]
) -> tuple[Float64[np.ndarray, " bin"], Float64[np.ndarray, " bin"]]:
    """Density of ``ln delta`` from a branch at bin centres, and its logarithmic slope ``d ln p / d ln delta``."""
    inside = (centres > min(branch.log_low, branch.log_high)) & (centres < max(branch.log_low, branch.log_high))
    weight, slope = np.zeros(centres.size), np.zeros(centres.size)
    if inside.any():
        x = _inverse(channel, branch, centres[inside])
        first, second = channel.derivatives(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight[inside] = np.nan_to_num(np.exp(density.log_density(x)) / np.abs(first), nan=0.0, posinf=0.0)
            slope[inside] = np.nan_to_num(density.log_density_slope(x) / first - second / first**2)
    return weight, slope


def _caustics(channel: Channel, branches: Sequence[_Branch]) -> list[Caustic]:
    """Folds: turning points between two branches at which the slope passes through zero, not over a kink."""
    found = []
    for left, right in itertools.pairwise(branches):
        if left.high != right.low or left.high in channel.singular:
            continue
        if (left.log_high > left.log_low) == (right.log_high > right.log_low):
            continue
        step = 1e-6 * max(1.0, abs(left.high))
        slopes, curvatures = channel.derivatives(np.array([left.high - step, left.high + step]))
        if np.all(np.abs(slopes) < 10 * step * (1 + np.abs(curvatures))):
            found.append(Caustic(left.log_high, "fold", -0.5))
    return found
