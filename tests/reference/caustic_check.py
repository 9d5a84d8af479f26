"""Integrals of push-forward densities along lines that caustics cross, and folds of a small network by plain torch."""

import itertools
import math

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from critlearn.duality import RestrictedMap
from critlearn.duality.density.grid_starts import GridStarts
from critlearn.duality.density.preimages import find_preimages
from reference.push_forward_check import log_normal_density

PIECES = 8
"""Intervals of a line through a cell, at whose ends preimages are counted."""

HALVINGS = 16
"""Halvings of an interval in which their number changes: the caustic is then known to 2e-6 of the cell.

The inverse square root that is left out there has an integral of a thousandth of the cell's.
"""

NODES = 10
"""Nodes of Gauss and Legendre between two caustics."""


def preimage_counts(restricted: RestrictedMap, grid: GridStarts, values: Tensor) -> np.ndarray:
    """Number of preimages of each value."""
    starts = [grid.starts(value) for value in values]
    of = torch.repeat_interleave(torch.arange(len(values)), torch.tensor([len(part) for part in starts]))
    found = find_preimages(restricted, values, torch.cat(starts), of, 1e-10)
    return torch.bincount(found.value, minlength=len(values)).numpy()


def line_integrals(restricted: RestrictedMap, grid: GridStarts, lower: Tensor, upper: Tensor) -> np.ndarray:
    """Integrals of the density along straight lines (line, K), split at the caustics that they cross."""
    lengths = (upper - lower).norm(dim=1)

    def at(lines: np.ndarray, shares: np.ndarray) -> Tensor:
        share = torch.from_numpy(shares)[:, None]
        return lower[lines] + share * (upper - lower)[lines]

    shares = np.linspace(0.0, 1.0, PIECES + 1)
    lines = np.repeat(np.arange(len(lower)), len(shares))
    counts = preimage_counts(restricted, grid, at(lines, np.tile(shares, len(lower)))).reshape(len(lower), -1)
    changed, places = np.nonzero(np.diff(counts, axis=1))
    low, high, of_low = shares[places], shares[places + 1], counts[changed, places]
    for _ in range(HALVINGS if len(changed) else 0):
        middle = (low + high) / 2
        same = preimage_counts(restricted, grid, at(changed, middle)) == of_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    angle, weight = np.polynomial.legendre.leggauss(NODES)
    pieces, where, factors = [], [], []
    for line in range(len(lower)):
        ends = np.concatenate([[0.0], np.sort((low + high)[changed == line] / 2), [1.0]])
        for one, other in itertools.pairwise(ends):
            # With the sine of an angle as variable, inverse square roots at both ends are smooth.
            sine, cosine = np.sin(angle * math.pi / 2), np.cos(angle * math.pi / 2)
            where.append((one + other) / 2 + (other - one) / 2 * sine)
            factors.append(weight * math.pi / 2 * cosine * (other - one) / 2 * float(lengths[line]))
            pieces.append(np.full(NODES, line))
    of = np.concatenate(pieces)
    logs = restricted.log_density(at(of, np.concatenate(where)), grid, log_normal_density).numpy()
    return np.bincount(of, np.exp(logs) * np.concatenate(factors), minlength=len(lower))


class PlainFolds:
    """Changes of both hidden biases of a 2-2-1 network with tanh and squared error, by plain torch alone."""

    def __init__(self, first: Tensor, bias: Tensor, second: Tensor, last: Tensor) -> None:
        self.parts = (first, bias, second, last)

    def changes(self, x: Tensor) -> Tensor:
        """Minus the gradient of the loss with respect to the hidden biases."""
        first, bias, second, last = self.parts
        hidden = torch.tanh(first @ x + bias)
        output = torch.tanh(second @ hidden + last)
        return -2 * (output - 1) * (1 - output**2) * second * (1 - hidden**2)

    def determinant(self, x: Tensor) -> Tensor:
        """Determinant of its derivative."""
        return torch.linalg.det(torch.func.jacfwd(self.changes)(x))

    def fold(self, generator: np.random.Generator) -> Tensor | None:
        """A point at which the determinant is zero, on a random segment; None if it has no sign change there."""
        one, other = (torch.from_numpy(generator.uniform(-2.5, 2.5, 2)) for _ in range(2))
        values = [float(self.determinant(torch.lerp(one, other, share))) for share in (0.0, 1.0)]
        if values[0] * values[1] >= 0:
            return None
        share = brentq(lambda at: float(self.determinant(torch.lerp(one, other, at))), 0, 1, xtol=1e-15)
        return self.onto(torch.lerp(one, other, share))

    def onto(self, x: Tensor) -> Tensor:
        """Newton's method back to the determinant's zeros."""
        for _ in range(8):
            slope = torch.func.grad(self.determinant)(x)
            x = x - self.determinant(x) * slope / slope.square().sum()
        return x

    def along(self, x: Tensor, distance: float) -> Tensor:
        """Another fold at this distance, along the curve of folds."""
        slope = torch.func.grad(self.determinant)(x)
        return self.onto(x + distance * torch.stack([-slope[1], slope[0]]) / slope.norm())
