"""Duality map restricted to as many variables as the boundary has dimensions, so that its Jacobian is square."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from critlearn.duality.density.grid_starts import GridStarts
from critlearn.duality.density.preimages import find_preimages
from critlearn.duality.jacobian.jacobian import Jacobian
from critlearn.duality.map import DualityMap
from critlearn.duality.one_tensor import samples_of_one_tensor
from critlearn.errors import InvalidInputError

_DEVIATION: Final = 1e-10
"""Largest deviation of a preimage's change from the wanted one, relative to its size."""


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
        if not len(points):
            return points.double()
        changes = self.phi.in_double()(*self._split(points.double()))
        flat = torch.cat([change.reshape(len(points), -1) for change in changes.values()], dim=1)
        return flat[:, list(self.variables)]

    def jacobian(self, point: Tensor) -> Tensor:
        """Square block of the Jacobian at one point, shape (K, K)."""
        return self.jacobians(point[None])[0]

    def jacobians(self, points: Tensor) -> Tensor:
        """Square blocks of the Jacobians at many points, shape (sample, K) -> (sample, K, K)."""
        points = points.double()
        if not len(points):
            return points.new_zeros(0, *points.shape[1:], points.shape[1])
        return self.phi.jacobian_rows(*self._split(points), self.variables)

    def log_volume(self, point: Tensor) -> tuple[float, float]:
        """Sign of the determinant and ``ln|det J_S|`` at one point."""
        sign, log_size = torch.linalg.slogdet(self.jacobian(point))
        return float(sign), float(log_size)

    def preimages(self, value: Tensor, starts: Tensor, *, tolerance: float = _DEVIATION) -> Tensor:
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
        of = torch.zeros(len(starts), dtype=torch.long)
        return find_preimages(self, value.double()[None], starts.double(), of, tolerance).points

    def grid(self, lower: float, upper: float, steps: int) -> GridStarts:
        """Evaluate the changes on a regular grid of boundary points, to choose starts for preimages."""
        axis = torch.linspace(lower, upper, steps, dtype=torch.float64)
        points = torch.cartesian_prod(*[axis] * len(self.variables)).reshape(-1, len(self.variables))
        return GridStarts(points, self(points), steps)

    def log_density(self, values: Tensor, starts: Tensor | GridStarts, log_boundary: object) -> Tensor:
        """Density ``ln p(dq_S) = ln sum over preimages of p(boundary) / |det J_S|``; ``-inf`` if none was found.

        Parameters
        ----------
        values
            Changes of the chosen variables, shape (K,), or (value, K) for many, which are searched for side by side.
        starts
            Points to start from, shape (start, K), or a grid, which chooses them for each value.
        log_boundary
            Function from a point (K,) to the logarithm of the boundary density there.

        Returns
        -------
        Tensor
            Shape (), or (value,).

        Notes
        -----
        Source: theory, duality map.
        """
        if not callable(log_boundary):
            raise InvalidInputError("log_boundary must be a function of a boundary point")
        each = values.double().reshape(-1, len(self.variables))
        chosen = [starts.starts(value) if isinstance(starts, GridStarts) else starts for value in each]
        of = torch.repeat_interleave(torch.arange(len(each)), torch.tensor([len(part) for part in chosen]))
        found = find_preimages(self, each, torch.cat(chosen).double(), of, _DEVIATION)
        inside = each.new_tensor([float(log_boundary(point)) for point in found.points])
        terms = inside - torch.linalg.slogdet(found.jacobians).logabsdet
        logs = torch.stack([terms[found.value == at].logsumexp(dim=0) for at in range(len(each))])
        return logs.reshape(values.shape[:-1])
