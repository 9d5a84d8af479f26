"""Distributions of ``ln|delta|`` made from either half of the samples, with the influence of each group of samples.

Half of the groups of samples are one half. The influence of a group is what its samples add to
a distribution, beyond their share of it: resampled, influences give the sampling error of everything that follows.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
import scipy.special
from jaxtyping import Float64, Int64, Num

from critlearn.comparison.criteria import LEAST_PREDICTED_SHARE
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.truncated_power_law import exponents, weights_on
from critlearn.numerics.window import Window
from critlearn.prediction.error_values import ErrorValues

_BINS: Final = 2048
"""Bins of a distribution, at most: the sketches' bins over 10 decades, which are joined where it is wider."""

_CELLS: Final = 16_384
"""Cells of values whose probabilities are pushed forward: at most 5e-4 of a normal density is in one."""

_REACH: Final = 8.0
"""Standard deviations up to which a normal density is pushed forward: 1e-15 is left out."""

_FAR: Final = 1e-6
"""Share of the values at each end that are not told apart: no distance or exponent depends on them."""

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
    offset
        Mean distance of the values from the centres of their bins, in bins: values that are all the same lie nowhere
        near them.
    """

    first_bin: int
    width: float
    halves: tuple[Half, Half]
    offset: float = 0.0

    @property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges of the bins in ``ln|delta|``."""
        return (self.first_bin + np.arange(self.halves[0].mass.size + 1)) * self.width

    @property
    def reach(self) -> float:
        """Width in ``ln|delta|`` of the middle 98% of the values."""
        below = np.cumsum(0.5 * (self.halves[0].mass + self.halves[1].mass))
        low, high = np.interp([0.01 * below[-1], 0.99 * below[-1]], below, self.edges[1:])
        return float(high - low)

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

    def share(self, window: Window) -> float:
        """Probability of a window, of its whole bins, averaged over both halves; 0 where fewer than three are in it."""
        try:
            return float(np.mean([weights_on(self.edges, half.mass, window).sum() for half in self.halves]))
        except ValueError:
            return 0.0

    def exponent(self, window: Window) -> tuple[float, Float64[np.ndarray, " group"]] | None:
        """Exponent on a window, the mean of those of both halves, and the influence of each group on it.

        Stretches of the window where nothing is count as such. None where a half has no exponent there.
        """
        found, influence = 0.0, []
        for half in self.halves:
            try:
                mass, moved = (weights_on(self.edges, part, window) for part in (half.mass, half.influence))
            except ValueError:
                return None
            both = exponents(np.concatenate([mass[None], mass + moved]), self.width)
            if mass.sum() < LEAST_PREDICTED_SHARE or not np.isfinite(both[0]):
                return None
            found += both[0] / 2
            influence.append(np.nan_to_num(both[1:] - both[0]) / 2)
        return float(found), np.concatenate(influence)


def resolved(sketch: LogSketch) -> LogSketch:
    """Sketch in which the last millionth of the values at each end lies in one bin.

    A few values far away would make all bins wide, and a distribution is not told apart by them.
    """
    counts = sketch.counts
    below = np.cumsum(counts)
    total = int(below[-1]) if below.size else 0
    if not total:
        return sketch
    first = int(np.searchsorted(below, _FAR * total, side="right"))
    last = int(np.searchsorted(below, (1 - _FAR) * total, side="left"))

    def folded(part: Int64[np.ndarray, "group bin"]) -> Int64[np.ndarray, "group bin"]:
        kept = part[:, first : last + 1].copy()
        kept[:, 0] += part[:, :first].sum(axis=1)
        kept[:, -1] += part[:, last + 1 :].sum(axis=1)
        return kept

    sides = folded(sketch.group_positive), folded(sketch.group_negative)
    return LogSketch(sketch.first_bin + first, *sides, sketch.group_zeros)


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
    sketch = resolved(sketch)
    before = sketch.first_bin % joined
    counts = sketch.group_counts
    after = -(before + counts.shape[1]) % joined
    counts = np.pad(counts, ((0, 0), (before, after))).reshape(len(counts), -1, joined).sum(axis=2)
    zeros = sketch.group_zeros - (0 if missing is None else missing)
    totals = counts.sum(axis=1) + zeros
    halves = _halves(counts, totals)
    every = sketch.counts
    places = (before + np.arange(every.size)) % joined + 0.5
    offset = float(every @ places) / (max(int(every.sum()), 1) * joined) - 0.5
    return Halves((sketch.first_bin - before) // joined, joined * BIN_WIDTH, halves, offset)


def groups_of_half(groups: int, half: int) -> Int64[np.ndarray, " group"]:
    """Numbers of the groups in half 0 or 1: by the parity of the ones in their binary digits (Thue and Morse).

    Even and odd numbers would give one class each to the halves of data whose classes take turns.

    >>> groups_of_half(8, 0).tolist()
    [0, 3, 5, 6]
    """
    return np.array([group for group in range(groups) if group.bit_count() % 2 == half], dtype=np.int64)


def _halves(counts: Num[np.ndarray, "group bin"], totals: Num[np.ndarray, " group"]) -> tuple[Half, Half]:
    """Distributions of both halves from counts by group."""
    chosen = [groups_of_half(len(counts), half) for half in range(2)]
    one, other = (_half(counts[own].astype(np.float64), totals[own].astype(np.float64)) for own in chosen)
    return one, other


def _half(counts: Float64[np.ndarray, "group bin"], totals: Float64[np.ndarray, " group"]) -> Half:
    """Distribution from counts by group; ``totals`` are the values of each group, zeros included."""
    total = max(float(totals.sum()), 1.0)
    mass = counts.sum(axis=0) / total
    return Half(mass, (counts - totals[:, None] * mass) / total)


def of_values(values: ErrorValues, groups: int, joined: int) -> Halves:
    """Distributions of the errors of either half, as they are: path factors smooth them more than a kernel would."""
    group = sample_groups(values.values.size, groups)
    with np.errstate(all="ignore"):
        logs = values.log_fluctuations(values.values)
    there = np.isfinite(logs)
    scaled = logs[there] / (joined * BIN_WIDTH)
    index = np.floor(scaled).astype(np.int64)
    first, bins = int(index.min()), int(index.max() - index.min()) + 1
    counts = np.bincount(group[there] * bins + index - first, minlength=groups * bins).reshape(groups, bins)
    totals = np.bincount(group, minlength=groups)
    return Halves(first, joined * BIN_WIDTH, _halves(counts, totals), float((scaled - index).mean()) - 0.5)


def of_gaussian_values(values: ErrorValues, groups: int, joined: int) -> Halves:
    """Distributions of the errors of normal values with the means and deviations of each class in either half.

    The influence of a group is what its samples change in shares, means and deviations.
    """
    group = sample_groups(values.values.size, groups)
    cells = [_Cells.of(values, number, joined) for number in range(len(values.channels))]
    first = min(part.first for part in cells)
    bins = max(part.first + part.bins for part in cells) - first
    halves = []
    for at in range(2):
        chosen = np.isin(group, groups_of_half(groups, at))
        own, own_group = values.of(chosen), group[chosen]
        classes = own.classes()
        mass = sum((_pushed(law, cells[law[0]], first, bins) for law in classes), np.zeros(bins))
        # Samples without any error are exact zeros.
        influence = _gaussian_influence(own, own_group, cells, first, bins)
        halves.append(Half(mass * (1 - own.zeros), influence))
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
            share * np.diff(scipy.special.ndtr((edges - mean) / deviation)) for _, share, mean, deviation in classes
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


def _pushed(law: tuple[int, float, float, float], cells: _Cells, first: int, bins: int) -> Float64[np.ndarray, " bin"]:
    """Probability of each bin from the normal values of one class: channel, share, mean and deviation."""
    _, share, mean, deviation = law
    return _binned(cells, share * np.diff(scipy.special.ndtr((cells.edges - mean) / deviation)), first, bins)


def _binned(cells: _Cells, mass: Float64[np.ndarray, " cell"], first: int, bins: int) -> Float64[np.ndarray, " bin"]:
    there = cells.bin != np.iinfo(np.int64).min
    return np.bincount(cells.bin[there] - first, weights=mass[there], minlength=bins)


def _gaussian_influence(
    values: ErrorValues,
    group: Int64[np.ndarray, " sample"],
    cells: list[_Cells],
    first: int,
    bins: int,
) -> Float64[np.ndarray, "group bin"]:
    """Influence of each group on a mixture of normal densities, by way of shares, means and deviations of classes."""
    numbers = np.unique(group)
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
    later = min(max(0.5 + errors.offset + factors.offset, 0.0), 1.0)
    halves = []
    for error, factor in zip(errors.halves, factors.halves, strict=True):
        one, other = (scipy.fft.rfft(part, length) for part in (error.mass, factor.mass))
        spread = scipy.fft.rfft(error.influence, length) * other + one * scipy.fft.rfft(factor.influence, length)
        both = scipy.fft.irfft(np.concatenate([(one * other)[None], spread]), length)[:, :bins]
        # Two values spread over their bins have a sum that is spread over two bins, evenly if they are.
        both = (1 - later) * np.pad(both, ((0, 0), (0, 1))) + later * np.pad(both, ((0, 0), (1, 0)))
        # The fast Fourier transform leaves rounding errors of either sign where there is no probability.
        halves.append(Half(np.maximum(both[0], 0.0), both[1:]))
    return Halves(errors.first_bin + factors.first_bin, errors.width, (halves[0], halves[1]))
