"""Distributions of a mode's changes that its problem of one dimension predicts, held against the other half."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.signal
from jaxtyping import Float64, Int64

from critlearn.comparison.learning_modes.jackknife import Estimate, Groups, jackknife
from critlearn.comparison.learning_modes.sample_sizes import SampleSizes
from critlearn.numerics.log_sketch import BIN_WIDTH

_BINS: Final = 1 << 15
"""Most bins of a distribution: of 154 decades at the width of a sketch's bins; wider ones for more."""


@dataclass(frozen=True, eq=False)
class GroupedCounts:
    """Counts on the grid ``width * integer``, by group of samples.

    Parameters
    ----------
    first
        Index of the first bin.
    counts
        Counts; they may be weighted.
    """

    first: int
    counts: Float64[np.ndarray, "group bin"]

    def without_each(self) -> Float64[np.ndarray, "group bin"]:
        """Counts of all groups together in the first row, then without each one of them."""
        total = self.counts.sum(axis=0)
        return np.concatenate([total[None], total - self.counts])


def distances(
    made: SampleSizes,
    mode: int,
    group: Groups,
    measured: Float64[np.ndarray, " other"],
    measured_group: Int64[np.ndarray, " other"],
) -> dict[str, Estimate]:
    """Kolmogorov-Smirnov distances of the three forms of a mode, and of one half from the other, by name; see `Mode`.

    Parameters
    ----------
    made
        Sizes of half A.
    mode
        Number of the mode.
    group
        Group of each of its samples.
    measured
        ``ln|z|`` of half B.
    measured_group
        Group of each of its samples.
    """
    log_smoothed, weights = made.log_smoothed, made.weights
    log_factor, log_change = made.log_factor[:, mode], made.log_change[:, mode]
    groups = 1 + int(max(group.max(), measured_group.max()))
    moving, other = np.isfinite(log_factor), np.isfinite(measured)
    if not moving.any() or not other.any():
        return dict.fromkeys(("bare", "independent", "joint", "noise"), Estimate(math.nan, math.nan))
    joint_logs = log_smoothed[moving] + log_factor[moving, None]
    parts = (log_smoothed, joint_logs, log_change, measured)
    width = max(BIN_WIDTH, max(float(np.ptp(part[np.isfinite(part)])) for part in parts) / _BINS)

    def counted(logs: np.ndarray, own: np.ndarray, weight: np.ndarray | None = None) -> GroupedCounts:
        return _counted(logs, own, groups, width, weight)

    error, joint = counted(log_smoothed, group, weights), counted(joint_logs, group[moving], weights)
    factor = counted(log_factor[moving], group[moving])
    here, there = counted(log_change, group), counted(measured[other], measured_group[other])
    # The constant of the bare form: the geometric mean, with which no group's other samples are mixed up.
    sizes = np.bincount(group[moving], minlength=groups)
    sums = np.bincount(group[moving], weights=log_factor[moving], minlength=groups)
    constants = np.concatenate([[sums.sum() / sizes.sum()], (sums.sum() - sums) / np.maximum(1, sizes.sum() - sizes)])
    target = there.without_each()
    errors, factors = error.without_each(), factor.without_each()
    independent = (error.first + factor.first, [_convolved(*pair) for pair in zip(errors, factors, strict=True)])

    def distance(row: int, first: int, mass: np.ndarray) -> float:
        return _kolmogorov_smirnov(first, mass, there.first, target[row])

    rows = range(groups + 1)
    found = {
        "bare": [distance(row, *_shifted(error.first, errors[row], constants[row] / width)) for row in rows],
        "independent": [distance(row, independent[0], independent[1][row]) for row in rows],
        "joint": [distance(row, joint.first, mass) for row, mass in enumerate(joint.without_each())],
        "noise": [distance(row, here.first, mass) for row, mass in enumerate(here.without_each())],
    }
    return {name: jackknife(values[0], values[1:]) for name, values in found.items()}


def _counted(
    logs: np.ndarray, group: np.ndarray, groups: int, width: float, weight: np.ndarray | None = None
) -> GroupedCounts:
    """Count logarithms, shape (sample,) or (sample, point) with weights of the points; exact zeros are left out."""
    finite = np.isfinite(logs)
    index = np.floor(logs[finite] / width).astype(np.int64)
    first = int(index.min())
    bins = int(index.max()) - first + 1
    # One number for group and bin, so that a single call counts everything.
    flat = np.broadcast_to(group.reshape(-1, *[1] * (logs.ndim - 1)), logs.shape)[finite] * bins + index - first
    share = None if weight is None else np.broadcast_to(weight, logs.shape)[finite]
    counts = np.bincount(flat, weights=share, minlength=groups * bins).astype(np.float64)
    return GroupedCounts(first, counts.reshape(groups, bins))


def _convolved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Counts of the sum of two independent logarithms, which a bin's width spreads over two bins."""
    mass = scipy.signal.fftconvolve(left, right).clip(min=0)
    return np.asarray(0.5 * (np.append(mass, 0.0) + np.insert(mass, 0, 0.0)))


def _shifted(first: int, mass: np.ndarray, bins: float) -> tuple[int, np.ndarray]:
    """Counts moved by a number of bins that need not be whole."""
    whole = math.floor(bins)
    part = bins - whole
    return first + whole, (1 - part) * np.append(mass, 0.0) + part * np.insert(mass, 0, 0.0)


def _kolmogorov_smirnov(first: int, mass: np.ndarray, other_first: int, other: np.ndarray) -> float:
    """Largest difference of two cumulative distributions at the edges of their common grid."""
    if not mass.sum() or not other.sum():
        return math.nan
    start = min(first, other_first)
    total = np.zeros(max(first + len(mass), other_first + len(other)) - start)
    total[first - start : first - start + len(mass)] += mass / mass.sum()
    total[other_first - start : other_first - start + len(other)] -= other / other.sum()
    return float(np.abs(total.cumsum()).max())
