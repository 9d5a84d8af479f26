"""Cells of a histogram in ``u = ln delta``, and integrals over them: what every likelihood is made of.

A law is given by the logarithm of its density in ``u``. Its probability of a cell is a sum over a few nodes: Gauss
points for a cell of the real line, the integers themselves for a law on integers. One representation thus serves
sketches, histograms with any edges, raw values and discrete data, and all laws are normalised by the same sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from critlearn.errors import InvalidInputError
from critlearn.numerics.truncated_power_law import bins_inside
from critlearn.numerics.window import Window

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Logarithm of an unnormalised density in ``u = ln delta``, at values of ``u``."""

FAR: Final = 2000.0
"""Distance beyond the data, in ln delta, up to which a law without a cut-off is normalised."""

FAR_END: Final = 709.0
"""Logarithm from which on the upper end of a window is none: 1e308 has 709.2."""

_EXACT_INTEGERS: Final = 200
"""Integers that are cells of their own; larger ones are closer together than the 1% of a sketch's bins."""

_INTEGER_RATIO: Final = 1.01
"""Ratio of the ends of a cell of several integers, about that of a sketch's bins."""

_SUMMED_INTEGERS: Final = 4
"""Integers of a cell up to which they are summed one by one; more are an integral but for one part in 10^4."""

_NEXT: Final = 1 + 1e-12
"""Ratio to the next integer from which on the two have different logarithms."""

_GROWTH: Final = 1.05
"""Ratio of neighbouring cells beyond the data, where a law is smooth: 400 of them reach anywhere."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Adjacent cells in ``u``.

    Parameters
    ----------
    edges
        Ascending edges in ``ln delta``.
    width
        Width of the cells if all are equal and the law is continuous, so that closed forms hold; None otherwise.
    first_integer
        Smallest integer of each cell and the one after the last, for a law on integers; None for a continuous one.
    points
        Number of Gauss points in a cell; None for as many as the widest cell needs.

    Raises
    ------
    InvalidInputError
        If the edges are not finite and ascending.
    """

    edges: Float64[np.ndarray, " edge"]
    width: float | None = None
    first_integer: Float64[np.ndarray, " edge"] | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        """Raise if the edges are not finite and ascending."""
        if not (np.isfinite(self.edges).all() and (np.diff(self.edges) > 0).all()):
            raise InvalidInputError("the edges of a histogram must be finite and ascending in ln delta")

    @classmethod
    def equal(cls, start: float, width: float, cells: int) -> "Cells":
        """Cells of one width."""
        return cls(start + width * np.arange(cells + 1), width)

    @classmethod
    def integers(cls, lowest: int, highest: int) -> "Cells":
        """One cell for each integer up to 200, above that cells of 1% that hold several."""
        first: list[float] = list(range(lowest, min(highest, _EXACT_INTEGERS) + 1))
        following = max(lowest, _EXACT_INTEGERS + 1)
        while following <= highest:
            first.append(following)
            following = max(following + 1, math.floor(following * _INTEGER_RATIO))
        # Above 1e12 neighbouring integers have the same logarithm but for rounding: the last cell holds more than one.
        end = max(highest + 1, math.ceil(first[-1] * _NEXT))
        bounds = np.array([*first, end], dtype=np.float64)
        return cls(np.log(bounds - 0.5), None, bounds)

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.edges) - 1

    @cached_property
    def centres(self) -> Float64[np.ndarray, " cell"]:
        """Middle of each cell in ``u``."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def measure(self) -> Float64[np.ndarray, " cell"]:
        """Measure by which a cell's probability is divided for a density: width in ``u``, or number of integers."""
        return np.diff(self.edges if self.first_integer is None else self.first_integer)

    @cached_property
    def nodes(self) -> tuple[Float64[np.ndarray, "cell node"], Float64[np.ndarray, "cell node"]]:
        """Nodes in ``u`` and logarithms of their weights: ``P(cell) = sum exp(log weight + log density(node))``."""
        nodes, log_weights = self._nodes()
        # Neighbours in memory are cells: a sum over the few nodes of each takes half the time then.
        return np.asfortranarray(nodes), np.asfortranarray(log_weights)

    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Gauss points, or integers, of each cell."""
        widths = np.diff(self.edges)
        if self.first_integer is not None:
            return self._integer_nodes(widths)
        at, weight = _gauss_rule(self._gauss_points())
        nodes = self.centres[:, None] + 0.5 * widths[:, None] * at
        return nodes, np.log(0.5 * widths[:, None] * weight)

    def _gauss_points(self) -> int:
        """Number of Gauss points: the wider a cell, the more a law bends across it, and the more of them it takes."""
        if self.points is not None:
            return self.points
        widths = np.diff(self.edges)
        if self.first_integer is not None:
            # The nodes of few integers are these themselves, however wide their cells are.
            widths = widths[~(np.diff(self.first_integer) <= _SUMMED_INTEGERS)]
        widest = float(widths.max(initial=0.0))
        return 3 if widest < 0.1 else (8 if widest < 1 else 24)

    def _integer_nodes(self, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integers of cells that hold few; in cells of more, Gauss points of the integral that their sum nearly is."""
        first = np.asarray(self.first_integer)
        held = np.diff(first)
        # Beyond the integers seen the cells of an open law have none that are known by number: integrals.
        few = held <= _SUMMED_INTEGERS
        points = int(np.max(held, where=few, initial=float(self._gauss_points())))
        at, weight = _gauss_rule(points)
        nodes = self.centres[:, None] + 0.5 * widths[:, None] * at
        log_weights = np.log(0.5 * widths[:, None] * weight)
        index = np.arange(points)
        integers = first[:-1][few, None] + np.minimum(index, held[few, None] - 1)
        nodes[few] = np.log(integers)
        # A probability function f(x) is the density in u over x: the weight of an integer is 1/x.
        log_weights[few] = np.where(index < held[few, None], -nodes[few], -np.inf)
        return nodes, log_weights

    def joined(self, at: Int64[np.ndarray, " joint"]) -> "Cells":
        """Cells between some of the edges, which are given as indices."""
        first = None if self.first_integer is None else self.first_integer[at]
        return Cells(self.edges[at], None, first)

    def part(self, start: int, stop: int) -> "Cells":
        """Cells ``start .. stop - 1``."""
        first = None if self.first_integer is None else self.first_integer[start : stop + 1]
        return Cells(self.edges[start : stop + 1], self.width, first, self.points)

    def extended(self, below: float, above: float) -> "Cells":
        """Cells with further, growing ones that reach this far beyond the ends in ``u``."""
        if below <= 0 and above <= 0:
            return self
        left = self.edges[0] - _growing(self.edges[1] - self.edges[0], below)[::-1]
        right = self.edges[-1] + _growing(self.edges[-1] - self.edges[-2], above)
        first = self.first_integer
        if first is not None:
            # Beyond the integers seen a sum over them is an integral but for one part in 24 x^2 / k^2.
            first = np.concatenate([np.full(len(left), np.nan), first, np.full(len(right), np.nan)])
        # Each further cell is a twentieth of its distance wide, over which no law that still matters there bends much.
        return Cells(np.concatenate([left, self.edges, right]), None, first, self._gauss_points())

    def log_masses(self, log_density: LogDensity) -> Float64[np.ndarray, " cell"]:
        """Logarithms of the normalised probabilities of the cells."""
        nodes, log_weights = self.nodes
        masses = np.logaddexp.reduce(log_density(nodes) + log_weights, axis=1)
        return masses - np.logaddexp.reduce(masses)

    def log_normaliser(self, log_density: LogDensity) -> float:
        """Logarithm of the integral of a density over all cells."""
        nodes, log_weights = self.nodes
        return float(np.logaddexp.reduce(np.logaddexp.reduce(log_density(nodes) + log_weights, axis=1)))

    def inside(self, window: Window) -> slice:
        """Cells that lie wholly in a window.

        Raises
        ------
        InvalidInputError
            If fewer than three do.
        """
        return bins_inside(self.edges, window)


@lru_cache
def _gauss_rule(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre quadrature: an eigenvalue problem, worth keeping."""
    at, weight = np.polynomial.legendre.leggauss(points)
    return at, weight


def _growing(width: float, reach: float) -> np.ndarray:
    """Distances of edges whose steps grow by 5% each, up to ``reach``."""
    if reach <= 0:
        return np.zeros(0)
    steps = width * np.cumsum(_GROWTH ** np.arange(1, 400))
    steps = steps[steps < reach]
    return np.append(steps, reach)
