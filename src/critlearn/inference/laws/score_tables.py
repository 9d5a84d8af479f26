"""Power laws on hundreds of windows of the same cells, from running sums on a grid of exponents.

A window's sums are differences of running sums over all cells, so that its score costs the same whatever it holds. On
a grid of parameters the zero of the score is bracketed by halving, and a cubic through its ends, with their slopes,
gives it to a thousandth of its error for as many as 1e8 values.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.inference.counts.cells import Cells

_STEP: Final = 0.05
"""Distance of fine grid points, relative to the parameter where that is large: the cubic's error is its fourth power
over 384.
"""

_REFINED: Final = 8
"""Fine steps in a coarse one; a power of two, as they are halved."""

_LARGEST: Final = 400.0
"""Largest parameter that is looked for; steeper laws are left to the search for a single one."""

_INNER: Final = 4.0
"""Parameter, times the width of the cells, below which fine steps are no longer relative to it: the law is flat."""

_CUBIC_STEPS: Final = 5
"""Steps of Newton's method for the zero of the cubic, which is nearly a straight line."""


@dataclass(frozen=True, eq=False)
class _Tables:
    """Running sums over cells, shape (parameter, edge): of masses, of moments, and of the values' means in cells."""

    theta: Float64[np.ndarray, " parameter"]
    mass: Float64[np.ndarray, "parameter edge"]
    first: Float64[np.ndarray, "parameter edge"]
    second: Float64[np.ndarray, "parameter edge"]
    between: Float64[np.ndarray, "parameter edge"]
    observed: Float64[np.ndarray, "parameter edge"]
    spread: Float64[np.ndarray, "parameter edge"]

    @classmethod
    def of(
        cls, cells: Cells, pooled: Float64[np.ndarray, " cell"], theta: Float64[np.ndarray, " parameter"]
    ) -> "_Tables":
        """Tables at some parameters."""
        u, log_weights = cells.nodes
        x = u - cells.edges[0]
        # Masses fall away from the end where they are largest, and are summed up from the other: nothing cancels.
        ends = np.where(theta > 0, float(cells.edges[-1] - cells.edges[0]), 0.0)
        shares = np.exp(log_weights.T[None] + theta[:, None, None] * (x.T[None] - ends[:, None, None]))
        mass = shares.sum(axis=1)
        shares *= x.T
        first = shares.sum(axis=1)
        shares *= x.T
        second = shares.sum(axis=1)
        held = mass > 0
        mean = np.where(held, first / np.where(held, mass, 1.0), 0.0)
        spread = np.where(held, second / np.where(held, mass, 1.0) - mean**2, 0.0)
        sums = [_running(part, theta) for part in (mass, first, second, mass * mean**2)]
        sums += [_from_below(part * pooled) for part in (mean, spread)]
        return cls(theta, *sums)

    def at(
        self, row: Int64[np.ndarray, " window"], start: Int64[np.ndarray, " window"], stop: Int64[np.ndarray, " window"]
    ) -> "_Sums":
        """Sums on windows, each at a parameter of its own."""
        tables = (self.mass, self.first, self.second, self.between, self.observed, self.spread)
        return _Sums(*(table[row, stop] - table[row, start] for table in tables))


@dataclass(frozen=True)
class _Sums:
    """Sums on windows."""

    mass: Float64[np.ndarray, " window"]
    first: Float64[np.ndarray, " window"]
    second: Float64[np.ndarray, " window"]
    between: Float64[np.ndarray, " window"]
    observed: Float64[np.ndarray, " window"]
    spread: Float64[np.ndarray, " window"]

    @property
    def mean(self) -> Float64[np.ndarray, " window"]:
        """Mean of ``u`` under the law."""
        return self.first / self.mass

    def score(self, n: Float64[np.ndarray, " window"]) -> Float64[np.ndarray, " window"]:
        """Derivative of the log-likelihood per value; NaN where the law has no mass in floats."""
        return self.observed / n - self.mean

    def slope(self, n: Float64[np.ndarray, " window"]) -> Float64[np.ndarray, " window"]:
        """Derivative of the score."""
        return self.spread / n - (self.second / self.mass - self.mean**2)

    def information(self) -> Float64[np.ndarray, " window"]:
        """Fisher's information of one value that is known by its cell."""
        return self.between / self.mass - self.mean**2


def _from_below(parts: Float64[np.ndarray, "parameter cell"]) -> Float64[np.ndarray, "parameter edge"]:
    """Sums of all cells below an edge."""
    return np.pad(np.cumsum(parts, axis=1), ((0, 0), (1, 0)))


def _running(
    parts: Float64[np.ndarray, "parameter cell"], theta: Float64[np.ndarray, " parameter"]
) -> Float64[np.ndarray, "parameter edge"]:
    """Sums whose differences are those of the cells between: from below for rising laws, else less those above."""
    rising = theta > 0
    result = np.empty((len(theta), parts.shape[1] + 1))
    result[rising] = _from_below(parts[rising])
    result[~rising] = -_from_below(parts[~rising, ::-1])[:, ::-1]
    return result


def fit_by_tables(
    cells: Cells,
    pooled: Float64[np.ndarray, " cell"],
    start: Int64[np.ndarray, " window"],
    stop: Int64[np.ndarray, " window"],
) -> tuple[Float64[np.ndarray, " window"], Float64[np.ndarray, " window"]]:
    """Parameters ``1 - k`` and information of one value on windows of cells, which must hold a maximum.

    NaN where the law is steeper than tables can show.
    """
    below = np.concatenate([[0.0], np.cumsum(pooled)])
    n = below[stop] - below[start]
    filled = np.flatnonzero(pooled)
    inner = _INNER / float(cells.edges[filled[-1] + 1] - cells.edges[filled[0]])
    most = np.ceil(np.arcsinh(_LARGEST / inner) / (_STEP * _REFINED))
    coarse = np.arange(-most, most + 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        place = _bracket(_Tables.of(cells, pooled, inner * np.sinh(coarse * _STEP * _REFINED)), n, start, stop)
        used, which = np.unique(place, return_inverse=True)
        # Each coarse step that holds a zero, in fine ones: rows of its own.
        fine = (coarse[used][:, None] * _REFINED + np.arange(_REFINED + 1)) * _STEP
        tables = _Tables.of(cells, pooled, inner * np.sinh(fine.ravel()))
        low = which * (_REFINED + 1)
        row = _bracket(tables, n, start, stop, low, low + _REFINED)
        left, right = tables.at(row, start, stop), tables.at(row + 1, start, stop)
        width = tables.theta[row + 1] - tables.theta[row]
        scores = left.score(n), right.score(n)
        x = _zero_of_cubic(*scores, left.slope(n) * width, right.slope(n) * width)
        theta = tables.theta[row] + x * width
        # Over a fine step the information is a power of the parameter, if not a constant.
        information = left.information() ** (1 - x) * right.information() ** x
        known = (scores[0] >= 0) & (scores[1] <= 0) & (information > 0)
    return np.where(known, theta, np.nan), np.where(known, information, np.nan)


def _bracket(
    tables: _Tables,
    n: Float64[np.ndarray, " window"],
    start: Int64[np.ndarray, " window"],
    stop: Int64[np.ndarray, " window"],
    low: Int64[np.ndarray, " window"] | None = None,
    high: Int64[np.ndarray, " window"] | None = None,
) -> Int64[np.ndarray, " window"]:
    """Rows before the zero of the score, which falls with the parameter."""
    low = np.zeros(len(n), dtype=np.int64) if low is None else low
    high = np.full(len(n), len(tables.theta) - 1) if high is None else high
    while (high - low > 1).any():
        middle = (low + high) // 2
        score = tables.at(middle, start, stop).score(n)
        # Where a steep law vanishes, its zero is at a flatter one.
        positive = np.where(np.isnan(score), tables.theta[middle] < 0, score > 0)
        low, high = np.where(positive, middle, low), np.where(positive, high, middle)
    return low


def _zero_of_cubic(
    left: Float64[np.ndarray, " window"],
    right: Float64[np.ndarray, " window"],
    left_slope: Float64[np.ndarray, " window"],
    right_slope: Float64[np.ndarray, " window"],
) -> Float64[np.ndarray, " window"]:
    """Zero between 0 and 1 of the cubic with these values and slopes there."""
    square = 3 * (right - left) - 2 * left_slope - right_slope
    cube = 2 * (left - right) + left_slope + right_slope
    x = left / (left - right)
    for _ in range(_CUBIC_STEPS):
        value = left + x * (left_slope + x * (square + x * cube))
        x = np.clip(x - value / (left_slope + x * (2 * square + 3 * x * cube)), 0.0, 1.0)
    return x
