"""Caustics: boundary states at which the duality map folds, so that the density of fluctuations diverges."""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from critlearn.duality.criteria import HIGHEST_ORDER, LOST_DIRECTION, POLYNOMIAL_MISFIT
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import check_count

_DEGREE: Final = HIGHEST_ORDER - 1
"""Degree of the polynomial fitted to the slope along the lost direction, one below the highest order."""

_SHRINKINGS: Final = 20
"""Number of times that the neighbourhood shrinks by four: from 0.1 to 1e-13, where slopes are rounding errors."""


@runtime_checkable
class SquareMap(Protocol):
    """Protocol of a map between two spaces of equal dimension K, such as `RestrictedMap`."""

    def __call__(self, points: Tensor) -> Tensor:
        """Values, shape (sample, K) -> (sample, K)."""
        ...

    def jacobian(self, point: Tensor) -> Tensor:
        """Derivative at one point, shape (K, K)."""
        ...


@dataclass(frozen=True, eq=False)
class Caustic:
    """Boundary point at which the square Jacobian of a restricted map is singular.

    Parameters
    ----------
    point
        The boundary state, shape (K,).
    value
        Changes of the chosen variables there.
    kind
        ``fold`` if the map turns back along the lost direction, ``cusp`` if it is flat to second order there, and
        ``higher`` if it is flat to a higher order or more than one direction is lost.
    order
        Power n of ``delta - delta_c ~ s^n`` along the lost direction: 2 for a fold, 3 for a cusp; None where more than
        one direction is lost.
    exponent
        Exponent ``1 - 1/n`` with which the density diverges, ``p ~ |delta - delta_c|^-exponent``.
    lost
        The lost direction of the boundary space, of length 1.
    normal
        Direction across the caustic in the space of changes, of length 1.
    """

    point: Tensor
    value: Tensor
    kind: str
    order: int | None
    exponent: float | None
    lost: Tensor
    normal: Tensor


def caustics_on_path(restricted: SquareMap, start: Tensor, end: Tensor, *, steps: int = 100) -> list[Caustic]:
    """Find the caustics on the straight path between two boundary points: sign changes of ``det J_S``.

    A determinant that touches zero without changing sign is found only if it is exactly zero at a sampled point.
    Intervals on which it is zero throughout, as where a ReLU is dead, have no density and are left out.

    Parameters
    ----------
    restricted
        Map to K trainable variables.
    start, end
        Points (K,).
    steps
        Number of intervals of the path, at whose ends the determinant is evaluated.

    Raises
    ------
    InvalidInputError
        If the points do not fit, there are no steps, or the map is not finite on the path.
    """
    if start.dim() != 1 or start.shape != end.shape:
        raise InvalidInputError(
            f"a path joins two points of shape (K,); got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    check_count("steps", steps)

    def determinant(share: float) -> float:
        matrix = restricted.jacobian(torch.lerp(start, end, share))
        # Rows are normalised: only the zeros matter, and the raw determinant could underflow.
        return float(torch.linalg.det(matrix / matrix.norm(dim=1, keepdim=True).clamp(min=1e-300)))

    shares = np.linspace(0.0, 1.0, steps + 1)
    values = np.array([determinant(float(share)) for share in shares])
    if not np.isfinite(values).all():
        share = shares[np.flatnonzero(~np.isfinite(values))[0]]
        raise InvalidInputError(f"the map's Jacobian is not finite at {share:.3g} of the path")
    found = []
    for at in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0):
        found.append(float(brentq(determinant, shares[at], shares[at + 1], xtol=1e-15)))
    # Isolated exact zeros: the sign test above sees none of them.
    zero = np.concatenate([[False], values == 0, [False]])
    found += shares[zero[1:-1] & ~zero[:-2] & ~zero[2:]].tolist()
    return [classified(restricted, torch.lerp(start, end, share)) for share in sorted(found)]


def classified(restricted: SquareMap, point: Tensor) -> Caustic:
    """Classify a caustic by the order of the map along the curve on which only the lost coordinate changes.

    With all other coordinates of the change fixed, the last one is ``delta_c + c s^n`` along the lost direction
    (Lyapunov-Schmidt reduction): n = 2 at a fold, 3 at a cusp. Source: theory, caustics; Arnold's classification of
    generic maps between spaces of equal dimension.
    """
    matrix = restricted.jacobian(point)
    # Rows are normalised, because changes of different variables may differ in size by many orders.
    size = matrix.norm(dim=1, keepdim=True)
    size = torch.where(size == 0, 1.0, size)
    left, values, right = torch.linalg.svd(matrix / size)
    lost = right[-1]
    normal = left[:, -1] / size[:, 0]
    kind, order = "higher", None
    if len(values) == 1 or float(values[-2]) > LOST_DIRECTION * float(values[0]):
        order = _order(_Curve(restricted, point, left / size, right))
        kind = {2: "fold", 3: "cusp"}.get(order or 0, "higher")
    exponent = None if order is None else 1 - 1 / order
    return Caustic(point, restricted(point[None])[0], kind, order, exponent, lost, normal / normal.norm())


@dataclass(frozen=True, eq=False)
class _Curve:
    """Curve through a caustic on which all coordinates of the change but the lost one are constant.

    Parameters
    ----------
    restricted, point
        The map and the caustic.
    left, right
        Coordinates of changes (columns) and of boundary states (rows), the lost ones last.
    """

    restricted: SquareMap
    point: Tensor
    left: Tensor
    right: Tensor

    def slope(self, share: float) -> float:
        """Derivative of the lost coordinate of the change along the curve, at the parameter ``share``."""
        at, others = self.point + share * self.right[-1], self.right[:-1]
        level = self.left[:, :-1].T @ self.restricted(self.point[None])[0]
        # Newton's method back to the curve: it starts close, and converges quadratically.
        for _ in range(4 if len(others) else 0):
            matrix = self.left.T @ self.restricted.jacobian(at)
            gap = self.left[:, :-1].T @ self.restricted(at[None])[0] - level
            at = at - torch.linalg.solve(matrix[:-1] @ others.T, gap) @ others
        block = self.left.T @ self.restricted.jacobian(at) @ self.right.T
        if not len(others):
            return float(block)
        # Schur complement: the derivative with the other coordinates of the change eliminated.
        return float(block[-1, -1] - block[-1, :-1] @ torch.linalg.solve(block[:-1, :-1], block[:-1, -1]))


def _order(curve: _Curve) -> int | None:
    """Order n of the lost coordinate, from a polynomial fit of its derivative in a small enough neighbourhood."""
    # Chebyshev nodes, on which a polynomial fit does not oscillate between the nodes.
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 3) + 0.5) / (_DEGREE + 3))
    half_width = 0.1 * (1 + float(curve.point.norm()))

    def polynomial(width: float) -> tuple[np.ndarray, float]:
        slopes = np.array([curve.slope(width * node) for node in nodes])
        largest = float(np.abs(slopes).max())
        if not (np.isfinite(largest) and largest > 0):
            return np.zeros(_DEGREE + 1), np.inf
        found = np.polynomial.polynomial.polyfit(nodes, slopes / largest, _DEGREE)
        return found, float(np.abs(np.polynomial.polynomial.polyval(nodes, found) - slopes / largest).max())

    for _ in range(_SHRINKINGS):
        if polynomial(half_width)[1] < POLYNOMIAL_MISFIT:
            # On an eighth of the width, the leading power dominates all higher ones.
            coefficients, _ = polynomial(half_width / 8)
            return int(np.abs(coefficients[1:]).argmax()) + 2
        half_width /= 4
    return None
