"""Duality map restricted to as many variables as the boundary has dimensions, so that its Jacobian is square."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.linalg
import scipy.ndimage
import torch
from torch import Tensor

from critlearn.duality.jacobian.jacobian import Jacobian
from critlearn.duality.map import DualityMap
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.errors import InvalidInputError

_STEP: Final = 1e-2
"""First step along the lost direction in the search for a fold near a point, in units of the point's length."""

_STEPS: Final = 12
"""Number of times that this step shrinks by eight: down to 1e-13, where it is only rounding."""

_ALWAYS: Final = 6
"""Grid points from which Newton's method always starts, however far their changes are from the wanted ones."""


def choose_variables(jacobian: Jacobian) -> list[int]:
    """Choose K variables whose square block of the Jacobian is well conditioned, by pivoted QR of its transpose.

    Returns the positions of the variables in the order of ``named_parameters``.

    Raises
    ------
    InvalidInputError
        If the rank of the Jacobian is below K.
    """
    matrix = jacobian.dense().cpu().numpy()
    if jacobian.rank() < jacobian.shape[1]:
        raise InvalidInputError(
            f"the Jacobian has rank {jacobian.rank()}, below {jacobian.shape[1]}: no choice of variables has a density"
        )
    matrix = matrix / np.abs(matrix).max()
    _, _, order = scipy.linalg.qr(matrix.T, mode="economic", pivoting=True)
    return sorted(int(row) for row in order[: jacobian.shape[1]])


@dataclass(frozen=True, eq=False)
class RestrictedMap:
    """Restricted map ``(x, t) -> dq_S`` to a set S of K trainable variables; continuous targets are coordinates.

    Parameters
    ----------
    phi
        The duality map.
    variables
        Positions of the K variables in the order of ``named_parameters``.
    t
        Target: held fixed if it is a class; otherwise only its shape is used.

    Raises
    ------
    InvalidInputError
        If they are not K different positions.
    """

    phi: DualityMap
    variables: Sequence[int]
    t: Tensor

    def __post_init__(self) -> None:
        """Raise if the number of variables does not make the Jacobian square."""
        x = samples_of_one_tensor(self.phi.system, [0])[0][0]
        shape = self.phi.jacobian(x, self.t).shape
        allowed = set(range(shape[0]))
        if len(self.variables) != shape[1] or len(set(self.variables) & allowed) != shape[1]:
            raise InvalidInputError(
                f"a density needs {shape[1]} different trainable variables, each from 0 to {shape[0] - 1}; "
                f"got {list(self.variables)}"
            )

    def _split(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of boundary points (sample, K)."""
        like = samples_of_one_tensor(self.phi.system, [0])[0][0]
        inputs = like.numel()
        x = points[:, :inputs].reshape(-1, *like.shape)
        if points.shape[1] == inputs:
            return x, self.t.expand(len(points), *self.t.shape)
        return x, points[:, inputs:].reshape(-1, *self.t.shape)

    def point(self, x: Tensor, t: Tensor) -> Tensor:
        """Convert a boundary state to a point, shape (K,)."""
        flat = x.reshape(-1).double()
        return flat if len(self.variables) == len(flat) else torch.cat([flat, t.reshape(-1).double()])

    def __call__(self, points: Tensor) -> Tensor:
        """Changes of the chosen variables in double precision, shape (sample, K) -> (sample, K)."""
        changes = self.phi.in_double()(*self._split(points.double()))
        flat = torch.cat([change.reshape(len(points), -1) for change in changes.values()], dim=1)
        return flat[:, list(self.variables)]

    def jacobian(self, point: Tensor) -> Tensor:
        """Square block of the Jacobian at one point, shape (K, K)."""
        x, t = self._split(point[None])
        return self.phi.jacobian(x[0], t[0]).dense()[list(self.variables)]

    def log_volume(self, point: Tensor) -> tuple[float, float]:
        """Sign of the determinant and ``ln|det J_S|`` at one point."""
        sign, log_size = torch.linalg.slogdet(self.jacobian(point))
        return float(sign), float(log_size)

    def preimages(self, value: Tensor, starts: Tensor, *, tolerance: float = 1e-10) -> Tensor:
        """Find the points with the change ``value`` by Newton's method from many starts, shape (preimage, K).

        Parameters
        ----------
        value
            Changes of the chosen variables, shape (K,).
        starts
            Points to start from, shape (start, K).
        tolerance
            Largest deviation, relative to the size of the value.
        """
        value, waiting = value.double(), [*starts.double()]
        found: list[tuple[Tensor, Tensor]] = []
        while waiting:
            point = self._newton(value, waiting.pop(0), tolerance)
            if point is None:
                continue
            matrix = self.jacobian(point)
            # Two points are the same if the linearised map gives the same value: no length scale has to be chosen.
            same = 8 * tolerance * float(value.norm())
            if all(float((matrix @ (point - other)).norm()) > same for other, _ in found):
                found.append((point, matrix))
                waiting += self._across(point, matrix)
        return torch.stack([point for point, _ in found]) if found else starts[:0].double()

    def _across(self, point: Tensor, matrix: Tensor) -> list[Tensor]:
        """Guess of the second preimage near a fold: mirrored beyond the fold, along the lost direction.

        Two preimages within one cell of a grid have only one start in common.
        """
        lost = torch.linalg.svd(matrix).Vh[-1]
        sign, log_size = torch.linalg.slogdet(matrix)
        step = _STEP * max(float(point.norm()), 1e-3)
        for _ in range(_STEPS):
            other_sign, other_log = torch.linalg.slogdet(self.jacobian(point + step * lost))
            # Relative change of the determinant over the step; it vanishes at the fold, at -step / change.
            change = float(other_sign * sign * (other_log - log_size).exp()) - 1
            if not math.isfinite(change) or change == 0:
                return []
            if abs(change) < 0.5:
                return [point - 2 * step / change * lost]
            step /= 8
        return []

    def _newton(self, value: Tensor, point: Tensor, tolerance: float) -> Tensor | None:
        """One run of Newton's method, in which steps that do not reduce the gap are halved."""
        size = float(value.norm())
        gap = self(point[None])[0] - value
        for _ in range(25):
            if float(gap.norm()) <= tolerance * size:
                return point
            step = torch.linalg.lstsq(self.jacobian(point), gap[:, None]).solution[:, 0]
            for _ in range(8):
                new_gap = self((point - step)[None])[0] - value
                if float(new_gap.norm()) < float(gap.norm()):
                    break
                step = step / 2
            else:
                return None
            point, gap = point - step, new_gap
        return None

    def grid(self, lower: float, upper: float, steps: int) -> "GridStarts":
        """Evaluate the changes on a regular grid of boundary points, to choose starts for preimages."""
        axis = torch.linspace(lower, upper, steps, dtype=torch.float64)
        points = torch.cartesian_prod(*[axis] * len(self.variables)).reshape(-1, len(self.variables))
        return GridStarts(points, self(points), steps)

    def log_density(self, value: Tensor, starts: Tensor, log_boundary: object) -> float:
        """Density ``ln p(dq_S) = ln sum over preimages of p(boundary) / |det J_S|``; ``-inf`` if none was found.

        Parameters
        ----------
        value, starts
            As for `preimages`.
        log_boundary
            Function from a point (K,) to the logarithm of the boundary density there.

        Notes
        -----
        Source: theory, duality map.
        """
        if not callable(log_boundary):
            raise InvalidInputError("log_boundary must be a function of a boundary point")
        terms = [float(log_boundary(point)) - self.log_volume(point)[1] for point in self.preimages(value, starts)]
        return float(np.logaddexp.reduce(terms)) if terms else -math.inf


@dataclass(frozen=True, eq=False)
class GridStarts:
    """Boundary points on a regular grid with their changes.

    Parameters
    ----------
    points, changes
        Shape (point, K), the last coordinate running fastest.
    steps
        Points along each coordinate.
    """

    points: Tensor
    changes: Tensor
    steps: int

    def starts(self, value: Tensor, *, most: int | None = None) -> Tensor:
        """Grid points near preimages of a value: local minima of the distance to it, the nearest first.

        A minimum is kept if its distance is at most twice the variation of the changes around it; the nearest few are
        always kept.

        Parameters
        ----------
        value
            Changes of the chosen variables, shape (K,).
        most
            Largest number of points; None for all.
        """
        distance = (self.changes - value).norm(dim=1)
        shape = [self.steps] * self.points.shape[1]
        lowest = scipy.ndimage.minimum_filter(distance.reshape(shape).numpy(), size=3, mode="nearest").reshape(-1)
        minima = torch.from_numpy(lowest >= distance.numpy()).nonzero()[:, 0]
        minima = minima[distance[minima].argsort()]
        near = distance[minima] <= 2 * self._variation()[minima]
        near[:_ALWAYS] = True
        return self.points[minima[near][:most]]

    def _variation(self) -> Tensor:
        """Variation of the changes over a point and its neighbours, shape (point,)."""
        shape = [self.steps] * self.points.shape[1]
        spans = []
        for column in self.changes.T:
            values = column.reshape(shape).numpy()
            high = scipy.ndimage.maximum_filter(values, size=3, mode="nearest")
            low = scipy.ndimage.minimum_filter(values, size=3, mode="nearest")
            spans.append(torch.from_numpy((high - low).reshape(-1)))
        return torch.stack(spans).norm(dim=0)
