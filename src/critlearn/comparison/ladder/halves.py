"""Distributions of ``ln|delta|`` made from either half of the samples, with the influence of each group of samples.

Groups of even number are one half, those of odd number the other. The influence of a group is what its samples add to
a distribution, beyond their share of it: resampled, influences give the sampling error of everything that follows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
import scipy.special
from jaxtyping import Float64, Int64

from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.truncated_power_law import bins_inside, exponents
from critlearn.numerics.window import Window
from critlearn.prediction.densities.margin_density import EmpiricalDensity, InputDensity, MarginDensity
from critlearn.prediction.error_values import ErrorValues
from critlearn.prediction.push_forward.push_forward import Part

_BINS: Final = 2048
"""Bins of a distribution, at most: the sketches' bins over 10 decades, which are joined where it is wider."""

_CELLS: Final = 16_384
"""Cells of values whose probabilities are pushed forward: at most 5e-4 of a normal density is in one."""

_PER_BANDWIDTH: Final = 10
"""Points for each bandwidth between which a distribution function is linear: it is off by 1e-3 of a kernel's mass."""

_REACH: Final = 8.0
"""Standard deviations up to which a normal density is pushed forward: 1e-15 is left out."""

_LEFT_OUT: Final = 1e-7
"""Probability at each end of the errors' distribution whose bins are not resolved."""


@dataclass(frozen=True, eq=False)
class Half:
    """Distribution made from one half of the samples; what is missing from its sum are exact zeros.

    Parameters
    ----------
    mass
        Probability of each bin.
    influence
        Of each group of samples of this half.
    """

    mass: Float64[np.ndarray, " bin"]
    influence: Float64[np.ndarray, "group bin"]


@dataclass(frozen=True, eq=False)
class Halves:
    """Distributions from both halves of the samples, on the same bins.

    Parameters
    ----------
    first_bin
        Number of the first bin, in units of `width`.
    width
        Width of a bin in ``ln|delta|``.
    halves
        One distribution from each half.
    """

    first_bin: int
    width: float
    halves: tuple[Half, Half]

    @property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges of the bins in ``ln|delta|``."""
        return (self.first_bin + np.arange(self.halves[0].mass.size + 1)) * self.width

    def on(self, first_bin: int, bins: int) -> "Halves":
        """The same distributions on a range of bins that contains their own."""
        before = self.first_bin - first_bin
        after = bins - before - self.halves[0].mass.size
        halves = [
            Half(np.pad(half.mass, (before, after)), np.pad(half.influence, ((0, 0), (before, after))))
            for half in self.halves
        ]
        return Halves(first_bin, self.width, (halves[0], halves[1]))

    def shifted(self, by: float) -> "Halves":
        """Distributions of ``ln|delta|`` plus a number, to the nearest bin."""
        return Halves(self.first_bin + round(by / self.width), self.width, self.halves)

    def exponent(self, window: Window) -> tuple[float, Float64[np.ndarray, " group"]] | None:
        """Exponent on a window, the mean of those of both halves, and the influence of each group on it.

        None where a half has no exponent there.
        """
        try:
            inside = bins_inside(self.edges, window)
        except ValueError:
            return None
        found, influence = 0.0, []
        for half in self.halves:
            mass = half.mass[inside]
            both = exponents(np.concatenate([mass[None], mass + half.influence[:, inside]]), self.width)
            if not np.isfinite(both[0]):
                return None
            found += both[0] / 2
            influence.append(np.nan_to_num(both[1:] - both[0]) / 2)
        return float(found), np.concatenate(influence)


def bins_joined(*spans: float) -> int:
    """Number of the sketches' bins that are joined, so that spans in ``ln|delta|`` together need few bins."""
    return max(1, math.ceil(sum(spans) / (BIN_WIDTH * _BINS)))


def sample_groups(samples: int, groups: int) -> Int64[np.ndarray, " sample"]:
    """Number of the group of each sample, as in sketches."""
    return np.arange(samples) % groups


def of_sketch(sketch: LogSketch, joined: int, missing: Float64[np.ndarray, " group"] | None = None) -> Halves:
    """Distributions of what a sketch has counted.

    Parameters
    ----------
    sketch
        Counts by groups of samples.
    joined
        Number of bins that become one.
    missing
        Number of zeros in each group that are not counted: of samples that have no value at all.
    """
    before = sketch.first_bin % joined
    counts = sketch.group_counts
    after = -(before + counts.shape[1]) % joined
    counts = np.pad(counts, ((0, 0), (before, after))).reshape(len(counts), -1, joined).sum(axis=2)
    zeros = sketch.group_zeros - (0 if missing is None else missing)
    totals = counts.sum(axis=1) + zeros
    halves = [_half(counts[at::2].astype(np.float64), totals[at::2].astype(np.float64)) for at in range(2)]
    return Halves((sketch.first_bin - before) // joined, joined * BIN_WIDTH, (halves[0], halves[1]))


def _half(counts: Float64[np.ndarray, "group bin"], totals: Float64[np.ndarray, " group"]) -> Half:
    """Distribution from counts by group; ``totals`` are the values of each group, zeros included."""
    total = max(float(totals.sum()), 1.0)
    mass = counts.sum(axis=0) / total
    return Half(mass, (counts - totals[:, None] * mass) / total)


def of_values(
    values: ErrorValues,
    groups: int,
    joined: int,
    parts_of: Callable[[ErrorValues], list[Part]],
    *,
    gaussian: bool = False,
) -> Halves:
    """Distributions of the errors for densities of the values that are estimated from either half.

    Parameters
    ----------
    values
        What the errors depend on.
    groups
        Number of groups of samples.
    joined
        Number of the sketches' bins that become one.
    parts_of
        Estimates the densities.
    gaussian
        Whether the densities are normal ones of each class. The influence of a group is then what its samples change
        in means, deviations and shares; otherwise that of its values themselves.
    """
    group = sample_groups(values.values.size, groups)
    cells = [_Cells.of(values, number, joined) for number in range(len(values.channels))]
    first = min(part.first for part in cells)
    bins = max(part.first + part.bins for part in cells) - first
    halves = []
    for at in range(2):
        own, own_group = values.of(group % 2 == at), group[group % 2 == at]
        mass = sum((_pushed(part, cells, values, first, bins) for part in parts_of(own)), np.zeros(bins))
        numbers = np.unique(own_group)
        if gaussian:
            influence = _gaussian_influence(own, own_group, numbers, cells, first, bins)
        else:
            influence = _influence_of_values(own, own_group, numbers, joined, first, bins)
        # Samples without any error are exact zeros.
        there = 1 - own.zeros
        halves.append(Half(mass * there, influence))
    return Halves(first, joined * BIN_WIDTH, (halves[0], halves[1]))


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of the values of a channel, and the bin of ``ln|delta|`` that each belongs to; -1 for none."""

    edges: Float64[np.ndarray, " edge"]
    bin: Int64[np.ndarray, " cell"]
    first: int
    bins: int

    @classmethod
    def of(cls, values: ErrorValues, number: int, joined: int) -> "_Cells":
        """Cells over all values that a density of theirs may reach."""
        own = values.values[(values.part == number) & ~np.isnan(values.values)]
        classes = [found for found in values.classes() if found[0] == number]
        low = min([float(own.min()), *(mean - _REACH * deviation for _, _, mean, deviation in classes)])
        high = max([float(own.max()), *(mean + _REACH * deviation for _, _, mean, deviation in classes)])
        edges = np.linspace(low, high, _CELLS + 1)
        with np.errstate(all="ignore"):
            logs = values.channels[number].log_fluctuation(0.5 * (edges[1:] + edges[:-1]))
        there = np.isfinite(logs)
        # The range of the values themselves, and of normal ones but for their far ends.
        density = sum(
            share * np.diff(InputDensity("normal", mean, deviation).cumulative(edges))
            for _, share, mean, deviation in classes
        )
        order = np.argsort(logs[there])
        below = np.cumsum(np.asarray(density)[there][order])
        kept = logs[there][order][(below > _LEFT_OUT) & (below < below[-1] - _LEFT_OUT)]
        with np.errstate(all="ignore"):
            seen = values.channels[number].log_fluctuation(own)
        seen = seen[np.isfinite(seen)]
        ends = np.concatenate([kept, seen])
        index = np.floor(np.clip(np.where(there, logs, 0.0), ends.min(), ends.max()) / (joined * BIN_WIDTH))
        first = math.floor(ends.min() / (joined * BIN_WIDTH))
        bins = math.floor(ends.max() / (joined * BIN_WIDTH)) - first + 1
        return cls(edges, np.where(there, index.astype(np.int64), np.iinfo(np.int64).min), first, bins)


def _pushed(part: Part, cells: list[_Cells], values: ErrorValues, first: int, bins: int) -> Float64[np.ndarray, " bin"]:
    """Probability of each bin from one part of the values."""
    own = next(own for own, channel in zip(cells, values.channels, strict=True) if channel is part.channel)
    return _binned(own, part.share * np.diff(_cumulative(part.density, own.edges)), first, bins)


def _cumulative(density: MarginDensity, edges: Float64[np.ndarray, " edge"]) -> Float64[np.ndarray, " edge"]:
    """Distribution function at many edges; of a kernel estimate between points on which it is smooth."""
    if not isinstance(density, EmpiricalDensity):
        return density.cumulative(edges)
    low, high = density.support
    points = np.linspace(low, high, min(edges.size, int(_PER_BANDWIDTH * (high - low) / density.bandwidth) + 2))
    return np.interp(edges, points, density.cumulative(points))


def _binned(cells: _Cells, mass: Float64[np.ndarray, " cell"], first: int, bins: int) -> Float64[np.ndarray, " bin"]:
    there = cells.bin != np.iinfo(np.int64).min
    return np.bincount(cells.bin[there] - first, weights=mass[there], minlength=bins)


def _influence_of_values(
    values: ErrorValues,
    group: Int64[np.ndarray, " sample"],
    numbers: Int64[np.ndarray, " group"],
    joined: int,
    first: int,
    bins: int,
) -> Float64[np.ndarray, "group bin"]:
    """Influence of each group's values, not smoothed: smoothing hardly changes what they add."""
    with np.errstate(all="ignore"):
        logs = values.log_fluctuations(values.values)
    there = np.isfinite(logs)
    index = np.clip(np.floor(logs[there] / (joined * BIN_WIDTH)).astype(np.int64) - first, 0, bins - 1)
    place = np.searchsorted(numbers, group)
    counts = np.bincount(place[there] * bins + index, minlength=numbers.size * bins).reshape(numbers.size, bins)
    return _half(counts.astype(np.float64), np.bincount(place, minlength=numbers.size).astype(np.float64)).influence


def _gaussian_influence(
    values: ErrorValues,
    group: Int64[np.ndarray, " sample"],
    numbers: Int64[np.ndarray, " group"],
    cells: list[_Cells],
    first: int,
    bins: int,
) -> Float64[np.ndarray, "group bin"]:
    """Influence of each group on a mixture of normal densities, by way of shares, means and deviations of classes."""
    total = np.zeros((numbers.size, bins))
    place = np.searchsorted(numbers, group)
    samples = np.bincount(place, minlength=numbers.size)
    there = ~np.isnan(values.values)
    for number in np.unique(values.group[there]):
        own = there & (values.group == number)
        data, at = values.values[own], place[own]
        mean, deviation = float(data.mean()), float(data.std())
        size = data.size / values.values.size
        cell = cells[int(values.part[own][0])]
        if not deviation > 0:
            continue
        scaled = (cell.edges - mean) / deviation
        law = _binned(cell, np.diff(scipy.special.ndtr(scaled)), first, bins)
        bell = np.exp(-0.5 * scaled**2) / math.sqrt(2 * math.pi)
        # Derivatives of the distribution function by mean and deviation: -p/sd and -z p/sd of the normal density p.
        by_mean = _binned(cell, np.diff(-bell), first, bins)
        by_deviation = _binned(cell, np.diff(-scaled * bell), first, bins)
        z = (data - mean) / deviation
        counts = np.bincount(at, minlength=numbers.size)
        means = np.bincount(at, weights=z, minlength=numbers.size)
        deviations = np.bincount(at, weights=0.5 * (z**2 - 1), minlength=numbers.size)
        total += (means[:, None] * by_mean + deviations[:, None] * by_deviation) / values.values.size
        share = (counts - samples * size) / values.values.size
        total += share[:, None] * law
    return total


def product(errors: Halves, factors: Halves) -> Halves:
    """Distributions of products of independent factors: sums of logarithms, by convolution."""
    bins = errors.halves[0].mass.size + factors.halves[0].mass.size - 1
    length = scipy.fft.next_fast_len(bins, real=True)
    halves = []
    for error, factor in zip(errors.halves, factors.halves, strict=True):
        one, other = (scipy.fft.rfft(part, length) for part in (error.mass, factor.mass))
        spread = scipy.fft.rfft(error.influence, length) * other + one * scipy.fft.rfft(factor.influence, length)
        both = scipy.fft.irfft(np.concatenate([(one * other)[None], spread]), length)[:, :bins]
        # Two values spread over their bins have a sum that is spread over two bins.
        both = 0.5 * (np.pad(both, ((0, 0), (0, 1))) + np.pad(both, ((0, 0), (1, 0))))
        # The fast Fourier transform leaves rounding errors of either sign where there is no probability.
        halves.append(Half(np.maximum(both[0], 0.0), both[1:]))
    return Halves(errors.first_bin + factors.first_bin, errors.width, (halves[0], halves[1]))
