"""Caustics: boundary states at which the duality map folds, so that the density of fluctuations diverges."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from critlearn.duality.criteria import HIGHEST_ORDER, LOST_DIRECTION, POLYNOMIAL_ERROR, POLYNOMIAL_MISFIT
from critlearn.duality.density.preimages import SquareMap
from critlearn.numerics.caustic_order import CausticOrder
from critlearn.results import Result

_DEGREE: Final = HIGHEST_ORDER - 1
"""Degree of the polynomial fitted to the slope along the lost direction, one below the highest order."""

_SHRINKINGS: Final = 20
"""Number of times that the neighbourhood shrinks by four: from 0.1 to 1e-13, where slopes are rounding errors."""

_NEIGHBOURHOOD: Final = 1e-2
"""Distance, in units of one plus the point's length, in which a row has its size: a row ``s^6`` is 1e-12 of it there.

That is far above rounding, and the highest order that is looked for.
"""


@dataclass(frozen=True, eq=False, repr=False)
class CausticPoint(CausticOrder, Result):
    """Boundary point at which the square Jacobian of a square map is singular.

    The density of changes diverges across it as ``p ~ |delta - delta_c|^-exponent``, as at the caustics of predictions.

    Parameters
    ----------
    point
        The boundary state, shape (K,).
    value
        Changes of the chosen variables there.
    order
        Power n of ``delta - delta_c ~ s^n`` along the lost direction: 2 for a fold, 3 for a cusp; None where more than
        one direction is lost, or no order is found.
    lost
        The lost direction of the boundary space, of length 1.
    normal
        Direction across the caustic in the space of changes, of length 1.
    """

    derived_values = ("kind", "exponent")

    point: Tensor
    value: Tensor
    order: int | None
    lost: Tensor
    normal: Tensor

    def summary(self) -> str:
        """One line, e.g. ``cusp at (0.5, -2): density ~ |delta - delta_c|^-0.667``."""
        place = ", ".join(f"{entry:.3g}" for entry in self.point.tolist())
        law = "" if self.exponent is None else f": density ~ |delta - delta_c|^-{self.exponent:.3g}"
        return f"{self.kind} at ({place}){law}"


def classified(square: SquareMap, point: Tensor) -> CausticPoint:
    """Classify a caustic by the order of the map along the curve on which only the lost coordinate changes.

    With all other coordinates of the change fixed, the last one is ``delta_c + c s^n`` along the lost direction
    (Lyapunov-Schmidt reduction): n = 2 at a fold, 3 at a cusp. Source: theory, caustics; Arnold's classification of
    generic maps between spaces of equal dimension.
    """
    matrix = square.jacobians(point[None])[0]
    size = row_sizes(square, point[None])[0]
    left, values, right = torch.linalg.svd(matrix / size)
    lost = right[-1]
    normal = left[:, -1] / size[:, 0]
    order = None
    if len(values) == 1 or float(values[-2]) > LOST_DIRECTION * float(values[0]):
        order = _order(_Curve(square, point, left / size, right))
    return CausticPoint(point, square(point[None])[0], order, lost, normal / normal.norm())


def row_sizes(square: SquareMap, points: Tensor) -> Tensor:
    """Sizes (point, K, 1) by which rows of Jacobians are divided: their greatest lengths next to each point.

    Changes of different variables may differ in size by many orders. The length at the point alone would not do: a row
    that vanishes there, as at some cusps, would be a rounding error of length 1.
    """
    dimensions = points.shape[1]
    axes = torch.eye(dimensions, dtype=points.dtype, device=points.device)
    reach = _NEIGHBOURHOOD * (1 + points.norm(dim=1))[:, None, None]
    around = torch.cat([points[:, None], points[:, None] + reach * axes, points[:, None] - reach * axes], dim=1)
    lengths = square.jacobians(around.reshape(-1, dimensions)).norm(dim=2).reshape(*around.shape)
    sizes = lengths.nan_to_num(0.0, 0.0).amax(dim=1)[:, :, None]
    return torch.where(sizes == 0, 1.0, sizes)


@dataclass(frozen=True, eq=False)
class _Curve:
    """Curve through a caustic on which all coordinates of the change but the lost one are constant.

    Parameters
    ----------
    square, point
        The map and the caustic.
    left, right
        Coordinates of changes (columns) and of boundary states (rows), the lost ones last.
    """

    square: SquareMap
    point: Tensor
    left: Tensor
    right: Tensor

    def slopes(self, shares: Tensor) -> Tensor:
        """Derivatives of the lost coordinate of the change along the curve, at many parameters, shape (share,)."""
        at, others = self.point + shares[:, None] * self.right[-1], self.right[:-1]
        level = self.left[:, :-1].T @ self.square(self.point[None])[0]
        # Newton's method back to the curve: it starts close, and converges quadratically.
        for _ in range(4 if len(others) else 0):
            matrices = self.left.T @ self.square.jacobians(at)
            gaps = self.square(at) @ self.left[:, :-1] - level
            at = at - torch.linalg.solve(matrices[:, :-1] @ others.T, gaps[:, :, None])[:, :, 0] @ others
        blocks = self.left.T @ self.square.jacobians(at) @ self.right.T
        if not len(others):
            return blocks[:, 0, 0]
        # Schur complement: the derivative with the other coordinates of the change eliminated.
        eliminated = torch.linalg.solve(blocks[:, :-1, :-1], blocks[:, :-1, -1:])
        return blocks[:, -1, -1] - (blocks[:, -1:, :-1] @ eliminated)[:, 0, 0]


def _order(curve: _Curve) -> int | None:
    """Order n of the lost coordinate, from a polynomial fit of its derivative in a small enough neighbourhood."""
    # Chebyshev nodes, on which a polynomial fit does not oscillate between the nodes.
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 3) + 0.5) / (_DEGREE + 3))
    half_width = 0.1 * (1 + float(curve.point.norm()))

    def polynomial(width: float) -> tuple[np.ndarray, float]:
        try:
            slopes = curve.slopes(torch.from_numpy(width * nodes).to(curve.point)).cpu().numpy()
        except RuntimeError:
            # The curve has left the region in which the other coordinates determine it.
            return np.zeros(_DEGREE + 1), np.inf
        largest = float(np.abs(slopes).max())
        if not (np.isfinite(largest) and largest > 0):
            return np.zeros(_DEGREE + 1), np.inf
        found = np.polynomial.polynomial.polyfit(nodes, slopes / largest, _DEGREE)
        return found, float(np.abs(np.polynomial.polynomial.polyval(nodes, found) - slopes / largest).max())

    for _ in range(_SHRINKINGS):
        if polynomial(half_width)[1] < POLYNOMIAL_MISFIT:
            # On an eighth of the width, what the polynomial leaves out is 8^7 times smaller.
            return _multiplicity(polynomial(half_width / 8)[0]) + 1
        half_width /= 4
    return None


def _multiplicity(coefficients: np.ndarray) -> int:
    """Number of roots at zero of a polynomial with errors: those that a change of the size of the errors can unite.

    Such a change spreads m equal roots over ``r = (error / |c_m|)^(1/m)``, so that ``|c_j|`` is at most
    ``binomial(m, j) |c_m| r^(m - j)``. The leading power would be too coarse: of two folds close to each other, each
    has the other's root next to its own. The error is that of the point too, where the polynomial is not quite zero.
    """
    sizes = np.abs(coefficients)
    error = max(POLYNOMIAL_ERROR, float(sizes[0]))
    for roots in range(_DEGREE, 1, -1):
        if sizes[roots] <= error:
            continue
        spread = (error / sizes[roots]) ** (1 / roots)
        allowed = [math.comb(roots, lower) * sizes[roots] * spread ** (roots - lower) for lower in range(roots)]
        if (sizes[1:roots] <= allowed[1:]).all():
            return roots
    return 1
