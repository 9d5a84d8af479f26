"""Caustics: boundary states at which the duality map folds, so that the density of fluctuations diverges."""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

_STEP: Final = 1e-3
_FLAT: Final = 1e-4


@runtime_checkable
class SquareMap(Protocol):
    """A map between spaces of one dimension, such as `RestrictedMap`."""

    def __call__(self, points: Tensor) -> Tensor:
        """Values, shape (sample, K) -> (sample, K)."""
        ...

    def jacobian(self, point: Tensor) -> Tensor:
        """Derivative at one point, shape (K, K)."""
        ...


@dataclass(frozen=True, eq=False)
class Caustic:
    """A point where the square Jacobian of a restricted map is singular.

    Parameters
    ----------
    point
        The boundary state, shape (K,).
    value
        Changes of the chosen variables there.
    kind
        ``fold`` where the map turns back along the lost direction, ``cusp`` where it does not to second order, and
        ``higher`` where more than one direction is lost.
    order
        Power n of ``delta - delta_c ~ s^n`` along the lost direction: 2 for a fold, 3 for a cusp; None for others.
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
    """Caustics crossed by the straight path between two boundary points: sign changes of ``det J_S``.

    Determinants of even degeneracy, which touch zero without crossing it, are not seen.

    Parameters
    ----------
    restricted
        Map to K trainable variables.
    start, end
        Points (K,).
    steps
        Places on the path at which the determinant is looked at.
    """

    def determinant(share: float) -> float:
        matrix = restricted.jacobian(torch.lerp(start, end, share))
        # Of rows of length 1: only where it vanishes matters.
        return float(torch.linalg.det(matrix / matrix.norm(dim=1, keepdim=True).clamp(min=1e-300)))

    shares = np.linspace(0.0, 1.0, steps + 1)
    values = np.array([determinant(float(share)) for share in shares])
    found = []
    for at in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0):
        share = float(brentq(determinant, shares[at], shares[at + 1], xtol=1e-15))
        found.append(classified(restricted, torch.lerp(start, end, share)))
    return found


def classified(restricted: SquareMap, point: Tensor) -> Caustic:
    """Kind of a caustic, from how the determinant changes along the lost direction.

    At a fold it changes at first order (``v . grad det != 0`` for the lost direction v); at a cusp at second.
    Source: theory, caustics; Arnold's classification of generic maps between spaces of one dimension.
    """
    matrix = restricted.jacobian(point)
    left, values, right = torch.linalg.svd(matrix)
    lost, normal = right[-1], left[:, -1]
    kind, order = _kind(restricted, point, lost, values)
    exponent = None if order is None else 1 - 1 / order
    return Caustic(point, restricted(point[None])[0], kind, order, exponent, lost, normal)


def _kind(restricted: SquareMap, point: Tensor, lost: Tensor, values: Tensor) -> tuple[str, int | None]:
    """Name and order."""
    if len(values) > 1 and float(values[-2]) <= _FLAT * float(values[0]):
        return "higher", None
    size = _STEP * (1 + float(point.norm()))
    scale = float(values[:-1].prod()) * float(values[0])
    determinants = [float(torch.linalg.det(restricted.jacobian(point + step * size * lost))) for step in (-1, 0, 1)]
    first = (determinants[2] - determinants[0]) / (2 * size)
    second = (determinants[2] - 2 * determinants[1] + determinants[0]) / size**2
    scale = scale if scale > 0 else max(abs(first), abs(second), 1e-300)
    if abs(first) > max(10 * size * abs(second), _FLAT * scale):
        return "fold", 2
    return ("cusp", 3) if abs(second) > _FLAT * scale else ("higher", None)
