"""Scaling window of a predicted density: the widest window on which its local exponent is nearly constant."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.window import Window
from critlearn.prediction.criteria import (
    CONVERGED,
    DECADE,
    DENSITY_JUMP,
    LEAST_PROBABILITY,
    NARROWEST,
    NARROWEST_EXACT,
    NEARLY_WIDEST,
    TOLERANCE,
)
from critlearn.prediction.push_forward.push_forward import PushForward

_HALF_A_BIN: Final = 0.5 * BIN_WIDTH
"""Half the width of a bin, by which a decade may be rounded to whole bins."""


@dataclass(frozen=True)
class Scaling:
    """Exponent, and the window on which the local exponent stays within the tolerance of it.

    ``exact`` is the exponent as a rational number, if it is the exact limit of the composition.
    """

    exponent: float
    exact: str | None
    window: Window


@dataclass(frozen=True)
class Limit:
    """Limit of the local exponent for small fluctuations."""

    exponent: float
    exact: str | None

    @classmethod
    def rational(cls, value: Fraction) -> "Limit":
        """Make a limit that is known exactly."""
        return cls(float(value), str(value))


def scaling_near(result: PushForward, limits: Sequence[Limit], tolerance: float = TOLERANCE) -> Scaling | None:
    """Find the window, of at least a decade, on which the local exponent is within the tolerance of a known limit.

    Of several limits, that whose window holds the most probability is chosen: a finite sample shows this one. Windows
    that hold less than `LEAST_PROBABILITY` are ignored.
    """
    best, most = None, LEAST_PROBABILITY
    local_exponent = _unbroken(result)
    for limit in limits:
        start, stop = _longest_run(np.abs(local_exponent - limit.exponent) <= tolerance, result)
        window, mass = _window(result, start, stop), float(result.mass[start:stop].sum())
        if window and window.decades >= NARROWEST_EXACT and mass > most:
            best, most = Scaling(limit.exponent, limit.exact, window), mass
    return best


def scaling_anywhere(result: PushForward, tolerance: float = TOLERANCE) -> Scaling | None:
    """Find the widest window on which the local exponent stays within the tolerance of any constant.

    None if it is narrower than half a decade, or holds less than `LEAST_PROBABILITY`: a drifting slope is no exponent.
    """
    start, stop = _widest_flat(_unbroken(result), 2 * tolerance, result)
    window = _window(result, start, stop)
    if window is None or window.decades < NARROWEST:
        return None
    inside = result.local_exponent[start:stop]
    converged = _converged_exponent(result, start, stop)
    if converged is not None:
        # The midpoint of the widest window may be off the limit by up to the tolerance, so the limit is preferred.
        near = _longest_run(np.abs(_unbroken(result) - converged) <= tolerance, result)
        nearer = _window(result, *near)
        if (
            nearer is not None
            and nearer.decades >= NARROWEST
            and result.mass[near[0] : near[1]].sum() > LEAST_PROBABILITY
        ):
            return Scaling(converged, None, nearer)
    return Scaling(float(0.5 * (inside.max() + inside.min())), None, window)


def _converged_exponent(result: PushForward, start: int, stop: int) -> float | None:
    """Limit that the local exponent has reached at one end of a window, by being constant over a decade; else None."""
    edges, inside = result.edges[start : stop + 1], result.local_exponent[start:stop]
    if result.intrinsic_exponent is None or edges[-1] - edges[0] < 2 * DECADE:
        return None
    first = int(np.searchsorted(edges, edges[0] + DECADE - _HALF_A_BIN))
    last = int(np.searchsorted(edges, edges[-1] - DECADE + _HALF_A_BIN, side="right")) - 1
    ends = [inside[:first], inside[last:]]
    spreads = [float(end.max() - end.min()) for end in ends]
    best = int(np.argmin(spreads))
    return float(ends[best][0 if best == 0 else -1]) if spreads[best] <= CONVERGED else None


def _unbroken(result: PushForward) -> Float64[np.ndarray, " bin"]:
    """Local exponent, NaN where the density jumps or diverges.

    The local exponent is a derivative and does not show the end of a branch, where the density drops abruptly; the
    probabilities of the bins do. Across such a drop no window has the exponent that holds before and after it.
    """
    local_exponent = result.local_exponent.copy()
    if result.intrinsic_exponent is None:
        # This local exponent is from smoothed probabilities, in which a jump already shows.
        return local_exponent
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.diff(np.log(result.mass / np.diff(result.edges)))
        between = 0.5 * (local_exponent[1:] + local_exponent[:-1])
        jumps = ~(np.abs(change - (1 - between) * np.diff(result.centres)) <= DENSITY_JUMP)
    local_exponent[1:][jumps] = np.nan
    local_exponent[:-1][jumps] = np.nan
    return local_exponent


def _window(result: PushForward, start: int, stop: int) -> Window | None:
    return Window.from_logs(result.edges[start], result.edges[stop]) if stop > start else None


def _longest_run(accepted: Bool[np.ndarray, " bin"], result: PushForward) -> tuple[int, int]:
    """Widest run of true values that holds `LEAST_PROBABILITY`, as a half-open range; empty if there is none."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], accepted.astype(np.int8), [0]])))
    if not changes.size:
        return 0, 0
    starts, stops = changes[::2], changes[1::2]
    below = np.concatenate([[0.0], np.cumsum(result.mass)])
    widths = np.where(below[stops] - below[starts] > LEAST_PROBABILITY, result.edges[stops] - result.edges[starts], 0.0)
    longest = int(np.argmax(widths))
    if widths[longest] == 0:
        return 0, 0
    return int(starts[longest]), int(stops[longest])


def _widest_flat(values: Float64[np.ndarray, " bin"], spread: float, result: PushForward) -> tuple[int, int]:
    """Widest run without NaN whose maximum exceeds its minimum by at most `spread`; empty if there is none.

    Of the runs that hold `LEAST_PROBABILITY` and are nearly as wide as the widest, the most probable is chosen: if the
    local exponent drifts linearly, as for a lognormal, all have the same width.
    """
    starts = _flat_starts(values, spread)
    stops = np.arange(1, values.size + 1)
    below = np.concatenate([[0.0], np.cumsum(result.mass)])
    probability = below[stops] - below[starts]
    widths = result.edges[stops] - result.edges[starts]
    lengths = np.where(probability > LEAST_PROBABILITY, widths, 0.0)
    if not lengths.any():
        return 0, 0
    best = int(np.argmax(np.where(lengths >= NEARLY_WIDEST * lengths.max(), probability, 0.0)))
    return int(starts[best]), int(stops[best])


def _flat_starts(values: Float64[np.ndarray, " bin"], spread: float) -> Int64[np.ndarray, " bin"]:
    """Start of the longest such run that ends with each bin, by a sliding-window minimum and maximum in linear time."""
    starts, start = np.empty(values.size, dtype=np.int64), 0
    rising: deque[int] = deque()  # indices of candidates for the minimum
    falling: deque[int] = deque()  # and for the maximum
    for stop, value in enumerate(values):
        if math.isnan(value):
            start = stop + 1
            rising.clear()
            falling.clear()
            starts[stop] = start
            continue
        while rising and values[rising[-1]] >= value:
            rising.pop()
        while falling and values[falling[-1]] <= value:
            falling.pop()
        rising.append(stop)
        falling.append(stop)
        while values[falling[0]] - values[rising[0]] > spread:
            start += 1
            if rising[0] < start:
                rising.popleft()
            if falling[0] < start:
                falling.popleft()
        starts[stop] = start
    return starts
