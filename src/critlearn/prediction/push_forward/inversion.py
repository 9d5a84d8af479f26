"""Inverse of a channel on its branches: the inputs at which the fluctuation has given sizes."""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.prediction.densities.margin_density import Points
from critlearn.prediction.push_forward.branches import Branch
from critlearn.prediction.push_forward.channel import Channel

_AT_ONCE: Final = 20_000
"""Numbers that are inverted together: enough to outweigh a call, few enough for the processor's cache."""

_MARGIN: Final = 1 / 32
"""Distance from an estimate, in widths of the bracket, at which the first bracket around it ends."""

_LINEAR, _EXPONENTIAL, _HALVING = range(3)
"""Ways to the next bracket: a line through ``l`` at its ends, a line through ``delta``, the middle of the bracket."""

Places: TypeAlias = Int64[np.ndarray, " n"]
Values: TypeAlias = Float64[np.ndarray, " n"]


def inverse(channel: Channel, branch: Branch, log_delta: Points) -> Points:
    """Inputs on a branch at which ``l(x)`` takes given values; the branch's ends for values beyond them."""
    return inverses(channel, [branch], [np.ravel(log_delta)])[0].reshape(np.shape(log_delta))


def inverses(channel: Channel, branches: Sequence[Branch], log_deltas: Sequence[Points]) -> list[Points]:
    """`inverse` on several branches at once: many short calls would take longer than their arithmetic."""
    rising = [branch.log_high > branch.log_low for branch in branches]
    found: list[Points] = []
    asked: list[Places] = []
    for branch, up, log_delta in zip(branches, rising, log_deltas, strict=True):
        first, last = (branch.low, branch.high) if up else (branch.high, branch.low)
        smallest, largest = sorted((branch.log_low, branch.log_high))
        # Right at an end a singular density may hold more than the last step of the floating-point numbers resolves.
        found.append(np.where(log_delta >= largest, last, np.where(log_delta <= smallest, first, math.nan)))
        asked.append(np.flatnonzero((log_delta > smallest) & (log_delta < largest)))
    counts = [at.size for at in asked]
    low, high, log_low, log_high = (
        np.repeat([getattr(branch, end) for branch in branches], counts)
        for end in ("low", "high", "log_low", "log_high")
    )
    target = np.concatenate([log_delta[at] for log_delta, at in zip(log_deltas, asked, strict=True)])
    sign = np.where(np.repeat(rising, counts), 1.0, -1.0)
    x = np.empty(target.size)
    for start in range(0, target.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        ends = (low[part], high[part], log_low[part], log_high[part])
        x[part] = _roots(channel, target[part], sign[part], *ends)
    for one, at, values in zip(found, asked, np.split(x, np.cumsum(counts)[:-1]), strict=True):
        one[at] = values
    return found


def _roots(
    channel: Channel, target: Values, sign: Values, x_low: Values, x_high: Values, log_low: Values, log_high: Values
) -> Values:
    """Inputs at which ``l`` reaches its targets, to the last digit: all brackets are narrowed together.

    Two inputs close to an estimate of the root, one on either side of it, become the next bracket. Their distance
    shrinks as the estimate's error does, with the square of the bracket's width; where they miss the root, the next
    way to an estimate is taken. A zero of the error signal is a straight line in ``delta``, a tail one in ``l``.

    Parameters
    ----------
    target
        Values of ``l`` that are looked for, between those at the ends of the brackets.
    sign
        1 where ``l`` rises from the lower to the higher end, -1 where it falls.
    x_low, x_high, log_low, log_high
        Ends of the brackets, and ``l`` there.
    """
    low, high = _ordered(x_low), _ordered(x_high)
    below, above = sign * (log_low - target), sign * (log_high - target)
    way, margin = np.full(target.size, _LINEAR), np.full(target.size, _MARGIN)
    wide = np.flatnonzero(low + 1 < high)
    while wide.size:
        start, stop = _estimates(low[wide], high[wide], below[wide], above[wide], sign[wide], way[wide], margin[wide])
        logs = channel.log_fluctuation(_from_ordered(np.concatenate([start, stop])))
        at_start, at_stop = sign[wide] * (logs.reshape(2, -1) - target[wide])
        later = at_stop < 0
        # Where rounding has the two the wrong way round, one of them is as good as the other.
        sooner = ~(at_start < 0) & ~later
        missed = later | sooner
        for ends, values, new, at_new, keep in (
            (low, below, np.where(later, stop, start), np.where(later, at_stop, at_start), sooner),
            (high, above, np.where(sooner, start, stop), np.where(sooner, at_start, at_stop), later),
        ):
            ends[wide], values[wide] = np.where(keep, ends[wide], new), np.where(keep, values[wide], at_new)
        fresh = missed | (way[wide] == _HALVING)
        way[wide] = np.where(fresh, (way[wide] + 1) % 3, way[wide])
        margin[wide] = np.where(fresh, _MARGIN, 2 * margin[wide] ** 2)
        wide = wide[low[wide] + 1 < high[wide]]
    return 0.5 * (_from_ordered(low) + _from_ordered(high))


def _estimates(
    low: Places, high: Places, below: Values, above: Values, sign: Values, way: Places, margin: Values
) -> tuple[Places, Places]:
    """Two places inside each bracket, in their order, that should have the root between them."""
    x_low, x_high = _from_ordered(low), _from_ordered(high)
    with np.errstate(all="ignore"):
        in_delta = way == _EXPONENTIAL
        first, last = (np.where(in_delta, np.expm1(sign * end), sign * end) for end in (below, above))
        share = first / (first - last)
        estimate, reach = x_low + share * (x_high - x_low), margin * (x_high - x_low)
        straight = (way != _HALVING) & np.isfinite(estimate) & np.isfinite(reach)
        tried = [_ordered(np.where(straight, estimate + side * reach, x_low)) for side in (-1, 1)]
    middle = (low >> 1) + (high >> 1) + (low & high & 1)
    start, stop = (np.where(straight, one, middle) for one in tried)
    start = np.clip(start, low + 1, high - 1)
    return start, np.clip(np.maximum(stop, start + 1), low + 1, high - 1)


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
