"""Push-forward of a density through channels, summed over all branches, onto a grid of ``ln|delta|``."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.prediction.criteria import PROBABILITY_ERROR, REACH
from critlearn.prediction.densities.margin_density import MarginDensity, Points
from critlearn.prediction.push_forward.branches import Branch, branches_of
from critlearn.prediction.push_forward.caustics import Caustic, caustics_between, distinct
from critlearn.prediction.push_forward.channel import Channel
from critlearn.prediction.push_forward.grid import Grid, even_grid
from critlearn.prediction.push_forward.inversion import inverse, inverses

_QUANTILES: Final = (np.arange(1000) + 0.5) / 1000
"""Probabilities whose quantiles give typical fluctuations, for a grid that is fine where these are."""


@dataclass(frozen=True, eq=False)
class PushForward:
    """Pushed-forward distribution of ``ln|delta|``: probability of each bin, and local exponent at each centre.

    Parameters
    ----------
    edges, mass
        Edges of the bins in ``ln|delta|`` and probability of each bin; of one width, unless the grid is graded.
    local_exponent
        ``k = kappa - data term`` (theory, eq. (1)); NaN where there is no density.
    caustics
        Fluctuation sizes at which the density diverges.
    intrinsic_exponent, data_term
        The two terms of the local exponent, each branch weighted by its density; None if they are not known separately.
    zeros
        Probability of a fluctuation that is exactly zero.
    routes
        The parts with their branches, which give the exact distribution function and samples; empty if only the bins
        are known.
    """

    edges: Float64[np.ndarray, " edge"]
    mass: Float64[np.ndarray, " bin"]
    local_exponent: Float64[np.ndarray, " bin"]
    caustics: tuple[Caustic, ...]
    intrinsic_exponent: Float64[np.ndarray, " bin"] | None = None
    data_term: Float64[np.ndarray, " bin"] | None = None
    zeros: float = 0.0
    routes: tuple["Route", ...] = ()

    def even(self) -> "PushForward":
        """Convert to bins of one width, over which the probability of wider bins is spread evenly."""
        if np.allclose(np.diff(self.edges), self.edges[1] - self.edges[0], rtol=1e-6):
            return self
        edges = even_grid(self.edges[0], self.edges[-1], self.edges)
        below = np.concatenate([[0.0], np.cumsum(self.mass)])
        centres = 0.5 * (edges[1:] + edges[:-1])
        own = np.clip(np.searchsorted(self.edges, centres, side="right") - 1, 0, self.mass.size - 1)
        parts = [None if part is None else part[own] for part in (self.intrinsic_exponent, self.data_term)]
        return replace(
            self,
            edges=edges,
            mass=np.diff(np.interp(edges, self.edges, below)),
            local_exponent=self.local_exponent[own],
            intrinsic_exponent=parts[0],
            data_term=parts[1],
        )

    @property
    def centres(self) -> Float64[np.ndarray, " bin"]:
        """Centres of the bins in ``ln|delta|``."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def log_density(self) -> Float64[np.ndarray, " bin"]:
        """Logarithm of the mean density of ``ln|delta|`` in each bin; ``-inf`` in an empty bin.

        Only the part of the first and the last bin that fluctuations can reach counts; otherwise the density would seem
        to drop there.
        """
        ends = [end for route in self.routes for branch in route.branches for end in (branch.log_low, branch.log_high)]
        reached = np.clip(self.edges, min(ends), max(ends)) if ends else self.edges
        width = np.diff(reached)
        with np.errstate(divide="ignore"):
            return np.log(self.mass / np.where(width > 0, width, np.diff(self.edges)))

    def cumulative(self, log_delta: Points) -> Points:
        """Probability of fluctuations up to ``exp(log_delta)``, zeros included."""
        if self.routes:
            return np.asarray(sum(route.cumulative(np.asarray(log_delta, dtype=np.float64)) for route in self.routes))
        below = self.zeros + np.concatenate([[0.0], np.cumsum(self.mass)])
        return np.asarray(np.interp(log_delta, self.edges, below))

    def rvs(self, size: int, generator: np.random.Generator) -> Float64[np.ndarray, " size"]:
        """Draw ``ln|delta|``; ``-inf`` for a fluctuation that is exactly zero."""
        uniform = generator.random(size)
        if self.routes:
            ends = np.cumsum([route.part.share for route in self.routes])[:-1]
            chosen = np.searchsorted(ends, generator.random(size), side="right")
            drawn = np.empty(size)
            for i, route in enumerate(self.routes):
                x = route.part.density.quantile(uniform[chosen == i])
                drawn[chosen == i] = route.part.channel.log_fluctuation(x)
            return drawn
        below = self.zeros + np.concatenate([[0.0], np.cumsum(self.mass)])
        rising = np.concatenate([[True], np.diff(below) > 0])
        drawn = np.interp(uniform * below[-1], below[rising], self.edges[rising])
        return np.where(uniform * below[-1] < self.zeros, -np.inf, drawn)


@dataclass(frozen=True)
class Part:
    """Part of the inputs, such as a class: its density, its channel and its share."""

    density: MarginDensity
    channel: Channel
    share: float


@dataclass(frozen=True)
class Route:
    """Part of the inputs with the branches of its channel."""

    part: Part
    branches: tuple[Branch, ...]

    def cumulative(self, log_delta: Points) -> Points:
        """Probability that an input belongs to this part and induces a fluctuation up to a size."""
        density, total = self.part.density, np.zeros(np.shape(log_delta))
        for branch in self.branches:
            if branch.constant:
                inside = _between(density, np.array([branch.low, branch.high]))[0]
                total = total + np.where(log_delta >= branch.log_low, inside, 0.0)
                continue
            x = inverse(self.part.channel, branch, log_delta)
            start = branch.low if branch.log_high > branch.log_low else branch.high
            total = total + _between(density, np.stack([np.full(np.shape(x), start), x]))[0]
        return self.part.share * total


def push_forward(density: MarginDensity, channels: Sequence[Channel], grid: Grid = even_grid) -> PushForward:
    """Push a density forward through channels that each input takes with equal probability.

    Same as `push_forward_parts` with one density and equal shares.
    """
    return push_forward_parts([Part(density, channel, 1 / len(channels)) for channel in channels], grid)


def push_forward_parts(parts: Sequence[Part], grid: Grid = even_grid) -> PushForward:
    """Push the densities of several parts of the inputs, such as classes, forward through their channels.

    On a branch, ``p(ln delta) = p(x) / |l'(x)|``. Probabilities of bins are differences of the distribution function at
    the preimages of their edges, so they add up to 1 even if the density diverges in between. The local exponent is
    ``k = 1 - d ln p(ln delta) / d ln delta``, averaged over branches with their densities as weights (theory,
    one-dimensional reduction).

    Parameters
    ----------
    parts
        Densities, channels and shares.
    grid
        Function that makes the edges in ``ln|delta|`` from the lowest, the highest and typical values.

    Raises
    ------
    InvalidInputError
        If the fluctuations are the same for every input.
    """
    branches = [branches_of(part.density, part.channel) for part in parts]
    ends = [end for of_part in branches for branch in of_part for end in (branch.log_low, branch.log_high)]
    finite = [end for end in ends if math.isfinite(end)]
    if not finite or max(finite) - min(finite) < BIN_WIDTH:
        raise InvalidInputError("the fluctuation is the same for every input: there is nothing to push forward")
    # One grid for all parts, so that their masses add bin by bin.
    edges = grid(min(finite), max(finite), np.concatenate([_typical(part) for part in parts]))
    mass, weight, kappa, data = (np.zeros(edges.size - 1) for _ in range(4))
    caustics: list[Caustic] = []
    zeros = 0.0
    centres = 0.5 * (edges[1:] + edges[:-1])
    for part, of_part in zip(parts, branches, strict=True):
        inverted = _inverted(part.channel, of_part, edges, centres)
        for branch in of_part:
            # A constant fluctuation is an atom of the distribution: all of its probability falls into one bin.
            if branch.constant:
                share = part.share * float(_between(part.density, np.array([branch.low, branch.high]))[0])
                if math.isinf(branch.log_low):
                    zeros += share
                else:
                    mass[np.searchsorted(edges, branch.log_low, side="right") - 1] += share
                continue
            x = next(inverted)
            mass += part.share * _between(part.density, x[0])
            local, own_kappa, own_data = _local(part.density, part.channel, branch, centres, x[1])
            weight += part.share * local
            kappa += part.share * local * own_kappa
            data += part.share * local * own_data
        caustics += caustics_between(part.channel, of_part)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa, data = (np.where(weight > 0, total / weight, np.nan) for total in (kappa, data))
    routes = tuple(Route(part, tuple(of_part)) for part, of_part in zip(parts, branches, strict=True))
    result = PushForward(edges, mass, kappa - data, distinct(caustics), kappa, data, zeros, routes)
    return _trimmed(result)


def _typical(part: Part) -> Points:
    """``ln|delta|`` at evenly spaced quantiles of the inputs."""
    with np.errstate(all="ignore"):
        logs = part.channel.log_fluctuation(part.density.quantile(_QUANTILES))
    return np.asarray(logs[np.isfinite(logs)])


def complete(result: PushForward) -> PushForward:
    """Return a push-forward, or raise if probability was lost: an exponent of the rest would be meaningless.

    Raises
    ------
    InvalidInputError
        If bins and zeros do not hold a probability of 1 within `PROBABILITY_ERROR`.
    """
    total = float(result.mass.sum()) + result.zeros
    if not abs(total - 1) <= PROBABILITY_ERROR:
        raise InvalidInputError(
            f"the density cannot be followed: its fluctuations hold a probability of {total:.7g}, not 1 within "
            f"{PROBABILITY_ERROR:g}; its tail or a singularity lies beyond the range of floating-point numbers"
        )
    return result


def _trimmed(result: PushForward) -> PushForward:
    """Remove the bins at each end that hold less than `REACH` of the probability together."""
    below, above = np.cumsum(result.mass), np.cumsum(result.mass[::-1])[::-1]
    kept = np.flatnonzero((below > REACH) & (above > REACH))
    at = slice(kept[0], kept[-1] + 1)
    edges = result.edges[kept[0] : kept[-1] + 2]
    kappa, data = result.intrinsic_exponent, result.data_term
    return PushForward(
        edges,
        result.mass[at],
        result.local_exponent[at],
        result.caustics,
        None if kappa is None else kappa[at],
        None if data is None else data[at],
        result.zeros,
        result.routes,
    )


def _inverted(
    channel: Channel,
    branches: Sequence[Branch],
    edges: Float64[np.ndarray, " edge"],
    centres: Float64[np.ndarray, " bin"],
) -> Iterator[tuple[Points, Points]]:
    """Inputs at the edges of bins and at their centres, for each branch that is not constant."""
    moving = [branch for branch in branches if not branch.constant]
    both = np.concatenate([edges, centres])
    for x in inverses(channel, moving, [both] * len(moving)) if moving else []:
        yield x[: edges.size], x[edges.size :]


def _between(density: MarginDensity, x: Points) -> Points:
    """Probability between successive inputs, in either order."""
    low, high = np.minimum(x[1:], x[:-1]), np.maximum(x[1:], x[:-1])
    # The difference is taken of the smaller of the two tails, which has full relative precision.
    upper = density.cumulative(low) > 0.5
    from_above = density.survival(low) - density.survival(high)
    from_below = density.cumulative(high) - density.cumulative(low)
    return np.maximum(np.where(upper, from_above, from_below), 0.0)


def _local(
    density: MarginDensity, channel: Channel, branch: Branch, centres: Float64[np.ndarray, " bin"], places: Points
) -> tuple[Float64[np.ndarray, " bin"], Float64[np.ndarray, " bin"], Float64[np.ndarray, " bin"]]:
    """Density of ``ln delta`` from a branch at bin centres, ``1 + l''/l'^2`` and the data term ``(ln p)'/l'``."""
    inside = (centres > min(branch.log_low, branch.log_high)) & (centres < max(branch.log_low, branch.log_high))
    weight, kappa, data = (np.zeros(centres.size) for _ in range(3))
    if inside.any():
        x = places[inside]
        first, second = channel.derivatives(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight[inside] = np.nan_to_num(np.exp(density.log_density(x)) / np.abs(first), nan=0.0, posinf=0.0)
            kappa[inside] = np.nan_to_num(1 + second / first**2)
            data[inside] = np.nan_to_num(density.log_density_slope(x) / first)
    return weight, kappa, data
