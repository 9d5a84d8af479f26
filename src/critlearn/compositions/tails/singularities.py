"""Pre-activations at which the error signal vanishes or diverges, found on the whole line in floating point."""

from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.compositions.activation import Activation
from critlearn.compositions.error_signal import state_of
from critlearn.compositions.loss import Loss
from critlearn.compositions.tails.criteria import LEAST_DIP, LEAST_SINGULAR_POWER, MOST_CANDIDATES

_GRID: Final = np.sinh(np.linspace(-12.0, 12.0, 6001))
"""Points of the search, out to 8e4, finest around 0."""

_NARROWINGS: Final = 30
"""Number of times an interval around a minimum is narrowed to a quarter; a sign change gets twice as many halvings."""

_REACHES: Final = (3e-2, 1e-3, 1e-5)
"""Distances from a candidate, relative to its size or 1, at which the error signal is tested for a power."""

_SMOOTH: Final = 30
"""Largest slope of ``lambda``, in these distances, that a smooth function is expected to have there."""

Grid = Float64[np.ndarray, " point"]
Points = Float64[np.ndarray, " place"]


@lru_cache(maxsize=1024)
def singular_places(activation: Activation, loss: Loss, t: float) -> tuple[float, ...]:
    """Find the pre-activations at which the error signal vanishes or diverges like a power, in ascending order.

    Candidates are changes of the sign of ``h'``, minima and maxima of ``lambda``, and the middle and the ends of
    stretches on which the error vanishes. Those near which ``lambda`` changes with ``ln|y - y0|`` are kept.
    """
    search = _Search(activation, loss, t)
    grid = np.unique(np.append(_GRID, [] if activation.bounded else [t]))
    found = search.candidates(grid)
    nearest = found[np.argsort(np.abs(found))][:MOST_CANDIDATES]
    if nearest.size == 0:
        return ()
    return _merged(nearest[search.singular(nearest)])


class _Search:
    """Search for places at which ``lambda`` is singular, for one target."""

    def __init__(self, activation: Activation, loss: Loss, t: float) -> None:
        self.activation, self.loss, self.t = activation, loss, t

    def log_error(self, points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(state_of(self.activation, self.loss, points, self.t).log_error())

    def sign(self, points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.broadcast_to(state_of(self.activation, self.loss, points, self.t).sign(), points.shape)

    def candidates(self, grid: Grid) -> Points:
        values, sign = self.log_error(grid), self.sign(grid)
        known = ~(np.isnan(values) | np.isnan(sign))
        grid, values, sign = grid[known], values[known], sign[known]
        zero = np.isneginf(values)
        turns = np.flatnonzero((sign[1:] * sign[:-1] < 0) & ~zero[1:] & ~zero[:-1])
        crossed = self._crossings(grid[turns], grid[turns + 1])
        dips, peaks = (self._extrema(grid, sense * values, sense) for sense in (1.0, -1.0))
        infinite = grid[np.isposinf(values)]
        return np.concatenate([crossed, dips, peaks, infinite, self._stretches_of_zeros(grid, zero)])

    def _crossings(self, low: Points, high: Points) -> Points:
        """Points at which ``h'`` changes its sign, by bisection of all intervals at once."""
        if low.size == 0:
            return low
        first = self.sign(low)
        for _ in range(2 * _NARROWINGS):
            middle = 0.5 * (low + high)
            same = self.sign(middle) == first
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return 0.5 * (low + high)

    def _extrema(self, grid: Grid, values: Grid, sense: float) -> Points:
        """Minima of ``values`` (``lambda`` times `sense`) that are deeper than a smooth function's, narrowed down."""
        inner = values[1:-1]
        lowest = (inner <= values[:-2]) & (inner <= values[2:]) & np.isfinite(inner)
        with np.errstate(invalid="ignore"):
            depth = np.maximum(values[:-2], values[2:]) - inner
        at = np.flatnonzero(lowest & (depth > LEAST_DIP)) + 1
        low, high = grid[at - 1], grid[at + 1]
        if low.size == 0:
            return low
        for _ in range(_NARROWINGS):
            points = low + (high - low) * np.linspace(0, 1, 9)[:, None]
            heights = sense * self.log_error(points.ravel()).reshape(points.shape)
            best = np.argmin(np.where(np.isnan(heights), np.inf, heights), axis=0)
            columns = np.arange(low.size)
            low, high = points[np.maximum(best - 1, 0), columns], points[np.minimum(best + 1, 8), columns]
        return 0.5 * (low + high)

    def _stretches_of_zeros(self, grid: Grid, zero: np.ndarray) -> Points:
        """Middle and ends of stretches on which the error is zero, exactly or by rounding."""
        if not zero.any():
            return grid[:0]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], zero, [False]]).astype(int)))
        starts, stops = edges[::2], edges[1::2] - 1
        has_start, has_stop = starts > 0, stops < grid.size - 1
        first = self._edge(grid[starts[has_start] - 1], grid[starts[has_start]])
        last = self._edge(grid[stops[has_stop] + 1], grid[stops[has_stop]])
        inside = has_start & has_stop
        return np.concatenate([0.5 * (first[inside[has_start]] + last[inside[has_stop]]), first, last])

    def _edge(self, live: Points, dead: Points) -> Points:
        """Last points at which the error is not zero yet, by bisection of all intervals at once."""
        for _ in range(2 * _NARROWINGS):
            if live.size == 0:
                break
            middle = 0.5 * (live + dead)
            vanishes = np.isneginf(self.log_error(middle))
            live, dead = np.where(vanishes, live, middle), np.where(vanishes, middle, dead)
        return live

    def singular(self, places: Points) -> np.ndarray:
        """Whether ``lambda`` changes with the logarithm of the distance, above or below each place."""
        scale = np.maximum(1.0, np.abs(places))
        found = np.zeros(places.shape, dtype=bool)
        for direction in (-1, 1):
            for reach in _REACHES:
                near, nearer = (self.log_error(places + direction * factor * reach * scale) for factor in (1.0, 0.1))
                with np.errstate(invalid="ignore"):
                    power = (near - nearer) / np.log(10.0)
                # The change of a smooth function vanishes with the distance, that of a power does not.
                found |= np.abs(np.where(np.isfinite(power), power, 0.0)) > max(LEAST_SINGULAR_POWER, _SMOOTH * reach)
        return found


def _merged(places: Points) -> tuple[float, ...]:
    """Places in ascending order, those that differ by rounding merged, and those close to a round number rounded."""
    kept: list[float] = []
    # Of two places within a relative 1e-5 one is kept, a round one if there is any.
    for place in sorted(float(place) for place in places):
        near = round(place, 6)
        place = near + 0.0 if abs(place - near) < 1e-9 * max(1.0, abs(place)) else place
        if kept and abs(place - kept[-1]) < 1e-5 * max(1.0, abs(place)):
            if abs(kept[-1] - round(kept[-1], 6)) > 0:
                kept[-1] = place
            continue
        kept.append(place)
    return tuple(kept)
