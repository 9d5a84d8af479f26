"""Inversion of a channel on its branches: the inputs that induce fluctuations of known sizes."""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64
from scipy.optimize import elementwise

from critlearn.prediction.densities.margin_density import Points
from critlearn.prediction.push_forward.branches import Branch
from critlearn.prediction.push_forward.channel import Channel

_AT_ONCE: Final = 20_000
"""Number of values inverted in one call: enough to outweigh its overhead, few enough for the processor's cache."""

_LAST_DIGIT: Final = float(np.finfo(np.float64).eps)
"""Relative distance of neighbouring floating-point numbers."""

_MOST_STEPS: Final = 2200
"""Largest number of steps: halvings from the largest to the smallest floating-point number; about ten are usual."""

Values: TypeAlias = Float64[np.ndarray, " n"]


def inverse(channel: Channel, branch: Branch, log_delta: Points) -> Points:
    """Inputs on a branch at which ``l(x)`` has the values ``log_delta``; an end of the branch for values beyond it."""
    return inverses(channel, [branch], [np.ravel(log_delta)])[0].reshape(np.shape(log_delta))


def inverses(channel: Channel, branches: Sequence[Branch], log_deltas: Sequence[Points]) -> list[Points]:
    """Apply `inverse` to several branches in one call, whose overhead exceeds the arithmetic of one branch."""
    rising = [branch.log_high > branch.log_low for branch in branches]
    found: list[Points] = []
    asked: list[np.ndarray] = []
    for branch, up, log_delta in zip(branches, rising, log_deltas, strict=True):
        first, last = (branch.low, branch.high) if up else (branch.high, branch.low)
        smallest, largest = sorted((branch.log_low, branch.log_high))
        # Ends are returned exactly: near an end, a singular density may have sizable probability within one spacing of
        # floating-point numbers.
        found.append(np.where(log_delta >= largest, last, np.where(log_delta <= smallest, first, math.nan)))
        asked.append(np.flatnonzero((log_delta > smallest) & (log_delta < largest)))
    counts = [at.size for at in asked]
    names = ("low", "high", "log_low", "log_high")
    ends = [np.repeat([getattr(branch, name) for branch in branches], counts) for name in names]
    target = np.concatenate([log_delta[at] for log_delta, at in zip(log_deltas, asked, strict=True)])
    x = np.empty(target.size)
    for start in range(0, target.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        x[part] = _roots(channel, target[part], *(end[part] for end in ends))
    for one, at, values in zip(found, asked, np.split(x, np.cumsum(counts)[:-1]), strict=True):
        one[at] = values
    return found


def _roots(channel: Channel, log_delta: Values, *ends: Values) -> Values:
    """Inputs at which ``l(x)`` has the values ``log_delta``, to the last digit.

    `ends` are the inputs at both ends of a branch, and ``l`` there, because the channel itself may have the value of
    the neighbouring branch exactly at an end.
    """

    def excess(x: Values, target: Values, low: Values, high: Values, log_low: Values, log_high: Values) -> Values:
        logs = channel.log_fluctuation(x)
        return np.where(x == low, log_low, np.where(x == high, log_high, logs)) - target

    with np.errstate(all="ignore"):
        found = elementwise.find_root(
            excess,
            (ends[0], ends[1]),
            args=(log_delta, *ends),
            # A relative tolerance of the root alone: it may be 1e-200, or lie close to a zero of the error signal.
            tolerances={"xatol": 0.0, "xrtol": _LAST_DIGIT, "fatol": 0.0, "frtol": 0.0},
            maxiter=_MOST_STEPS,
        )
    return np.asarray(found.x, dtype=np.float64)
