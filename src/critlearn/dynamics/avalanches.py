"""Avalanches: excursions of an activity above a threshold, with sizes, durations, shapes, and the times between."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, as_real_array


@dataclass(frozen=True, eq=False)
class Avalanches:
    """Excursions of an activity above a threshold, without those that the ends of the series cut.

    Parameters
    ----------
    excess
        Activity above the threshold at each step; not positive outside avalanches.
    threshold
        The threshold.
    starts, stops
        First step of each, and the step after its last.
    """

    excess: Float64[np.ndarray, " time"]
    threshold: float
    starts: Int64[np.ndarray, " avalanche"]
    stops: Int64[np.ndarray, " avalanche"]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def durations(self) -> Int64[np.ndarray, " avalanche"]:
        """Steps that each lasts."""
        return self.stops - self.starts

    @cached_property
    def sizes(self) -> Float64[np.ndarray, " avalanche"]:
        """Sum of the excess over each."""
        if not len(self):
            return np.zeros(0)
        ends = np.stack([self.starts, self.stops], axis=1).ravel()
        # The sums over the quiet stretches between are left out.
        return np.add.reduceat(np.append(self.excess, 0.0), ends)[::2]

    def profile(self, number: int) -> Float64[np.ndarray, " step"]:
        """Excess during one of them, step by step."""
        return self.excess[self.starts[number] : self.stops[number]]


def as_activity(activity: Any) -> Float64[np.ndarray, " time"]:
    """One signal over time as 64-bit floats.

    Raises
    ------
    InvalidInputError
        If it is not one, has masked values, holds NaN or infinity, or is constant.
    """
    signal = as_real_array("an activity", activity)
    if signal.ndim != 1 or signal.size < 2:
        raise InvalidInputError(f"an activity is one signal over time, of two steps or more; got shape {signal.shape}")
    signal = np.array(signal, dtype=np.float64)
    if not np.isfinite(signal).all():
        raise InvalidInputError(f"an activity is finite; got NaN or infinity in {(~np.isfinite(signal)).sum()} steps")
    if (signal == signal[0]).all():
        raise InvalidInputError(f"an activity that is {signal[0]:g} at all steps has no dynamics")
    return signal


def deviations(activity: Any) -> Float64[np.ndarray, " time"]:
    """Deviations of a signal from its mean, in units of the largest: their squares neither overflow nor vanish.

    Raises
    ------
    InvalidInputError
        As `as_activity`.
    """
    signal = as_activity(activity)
    signal = signal / np.abs(signal).max()
    signal -= signal.mean()
    return signal / np.abs(signal).max()


def find_avalanches(activity: Any, threshold: float = 0.0) -> Avalanches:
    """Find the stretches of time in which an activity is above a threshold.

    Sizes are sums of what is above it: with a threshold of 0 and counts of events, their number. The threshold is part
    of the result: exponents that change with it say little.

    Raises
    ------
    InvalidInputError
        If the activity is not a finite signal over time, or the threshold not a finite number.

    >>> found = find_avalanches([0, 1, 2, 0, 0, 3, 0])
    >>> found.sizes.tolist(), found.durations.tolist()
    ([3.0, 3.0], [2, 1])
    """
    excess = as_activity(activity) - _checked(threshold)
    steps = np.diff((excess > 0).astype(np.int8))
    starts, stops = np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1) + 1
    # One that has begun before the series, and one that goes on after it, are of unknown size.
    stops = stops[stops > starts[0]] if starts.size else stops[:0]
    return Avalanches(excess, float(threshold), starts[: stops.size], stops)


def joined(parts: Sequence[Avalanches]) -> Avalanches:
    """Avalanches of several series as those of one, with the threshold of the first."""
    offsets = np.cumsum([0, *(part.excess.size for part in parts[:-1])])
    starts, stops = (
        np.concatenate([getattr(part, name) + offset for part, offset in zip(parts, offsets, strict=True)])
        for name in ("starts", "stops")
    )
    return Avalanches(np.concatenate([part.excess for part in parts]), parts[0].threshold, starts, stops)


def waiting_times(activity: Any, threshold: float) -> Int64[np.ndarray, " interval"]:
    """Steps from each one at which the activity is above a threshold to the next such step.

    Raises
    ------
    InvalidInputError
        As `find_avalanches`.

    >>> waiting_times([0, 5, 5, 0, 0, 6], 4).tolist()
    [1, 3]
    """
    return np.diff(np.flatnonzero(as_activity(activity) > _checked(threshold)))


def _checked(threshold: float) -> float:
    """Return a threshold, which must be a finite number."""
    if not math.isfinite(as_number(threshold)):
        raise InvalidInputError(f"the threshold of an activity is a finite number; got {threshold!r}")
    return float(threshold)
