"""Curves of caustics: continuation along the surface where the smallest singular value of the Jacobian vanishes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from critlearn.duality.caustics.caustic import CausticPoint, classified
from critlearn.duality.density.preimages import SquareMap
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import check_count
from critlearn.results import Result, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIFFERENCE: Final = 1e-5
"""Step of central differences of the determinant, in units of the region's width: their error is about 1e-10."""

_CLOSE: Final = 1e-7
"""Newton step, in units of the region's width, after which a point counts as on the caustic: the next is its square."""

_LONGEST: Final = 2e-2
"""Longest step along a curve, in units of the region's width: curves are drawn with at least fifty points across it."""

_SHORTEST: Final = 1e-6
"""Shortest step, in the same units; a curve that turns faster ends there."""

_TURN: Final = 0.1
"""Largest angle between the tangents at the ends of a step, in radians; below a third of it, steps grow."""

_MOST_POINTS: Final = 5000
"""Points of one curve at most."""


@dataclass(frozen=True, eq=False, repr=False)
class CausticCurve(Result):
    """Curve of boundary states at which the map folds, and its image, on which the density diverges.

    Parameters
    ----------
    points, values
        Boundary states in order and their changes, shape (point, K).
    cusps
        Caustics at which the lost direction is that of the caustic itself, so that the image turns back.
    closed
        Whether the last point is followed by the first one; otherwise the curve leaves the region at both ends, or
        ends where it turns too fast.
    """

    points: Tensor
    values: Tensor
    cusps: tuple[CausticPoint, ...]
    closed: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values: points, their changes, and the cusps."""
        cusps = [cusp.point.tolist() for cusp in self.cusps]
        return plain(
            {"points": self.points.tolist(), "values": self.values.tolist(), "cusps": cusps, "closed": self.closed}
        )

    def summary(self) -> str:
        """One line, e.g. ``closed curve of 412 points, 4 cusps``."""
        kind = "closed curve" if self.closed else "curve"
        return f"{kind} of {len(self.points)} points, {len(self.cusps)} cusps"


@dataclass(frozen=True, eq=False, repr=False)
class CausticCurves(Result):
    """All caustics of a map of the plane in a square region.

    Parameters
    ----------
    curves
        Curves, the longest first.
    lower, upper
        Ends of the region along both coordinates.
    """

    curves: tuple[CausticCurve, ...]
    lower: float
    upper: float

    @property
    def cusps(self) -> tuple[CausticPoint, ...]:
        """Cusps of all curves."""
        return tuple(cusp for curve in self.curves for cusp in curve.cusps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"curves": [curve.to_dict() for curve in self.curves], "lower": self.lower, "upper": self.upper}

    def summary(self) -> str:
        """One line, e.g. ``2 curves, 4 cusps in [-3, 3]^2``."""
        return f"{len(self.curves)} curves, {len(self.cusps)} cusps in [{self.lower:g}, {self.upper:g}]^2"

    def plot(self, log_density: Callable[[Tensor], Tensor] | None = None) -> "Figure":
        """Draw curves and cusps in the boundary plane, and in the plane of changes.

        Parameters
        ----------
        log_density
            Function of changes (value, 2) that gives their log-densities (value,), which are then drawn around the
            caustics, such as ``lambda values: restricted.log_density(values, grid, log_boundary_density)``.
        """
        from critlearn.figures.duality import caustics_figure

        return caustics_figure(self, log_density)


def caustic_curves(square: SquareMap, lower: float, upper: float, *, steps: int = 81) -> CausticCurves:
    """Trace all caustics of a map of the plane in a square region.

    Curves start between neighbours on a grid at which determinants have opposite signs; closed curves that lie between
    its lines are not seen.

    Parameters
    ----------
    square
        Map of the plane, such as a `RestrictedMap` with two coordinates of the boundary.
    lower, upper
        Ends of the region along both coordinates.
    steps
        Grid points along each coordinate.

    Raises
    ------
    InvalidInputError
        If the map is not one of the plane, or the region is empty.
    """
    check_count("steps", steps)
    if not lower < upper:
        raise InvalidInputError(f"a region needs lower < upper; got {lower} and {upper}")
    axis = torch.linspace(lower, upper, steps, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    matrices = square.jacobians(points)
    if matrices.shape[1:] != (2, 2):
        raise InvalidInputError(f"curves are traced for maps of the plane; got Jacobians {tuple(matrices.shape[1:])}")
    signs = torch.sign(torch.linalg.det(matrices / _rows(matrices))).reshape(steps, steps)
    places = points.reshape(steps, steps, 2)
    waiting = torch.cat(
        [
            ((one + other) / 2)[(sign * other_sign) < 0]
            for one, other, sign, other_sign in (
                (places[1:], places[:-1], signs[1:], signs[:-1]),
                (places[:, 1:], places[:, :-1], signs[:, 1:], signs[:, :-1]),
            )
        ]
    )
    width, found = upper - lower, []
    tracer = _Tracer(square, torch.eye(2, dtype=torch.float64), width, torch.tensor([[lower, upper]] * 2).double())
    while len(waiting):
        start, waiting = tracer.corrected(waiting[0]), waiting[1:]
        if start is None or not tracer.inside(start):
            continue
        curve = tracer.curve(start)
        found.append(curve)
        # Starts that lie within a cell of the curve are on it.
        apart = torch.cdist(waiting, _dense(curve)).amin(dim=1) if len(waiting) else torch.zeros(0)
        waiting = waiting[apart > 1.5 * width / (steps - 1)]
    found.sort(key=lambda curve: len(curve.points), reverse=True)
    return CausticCurves(tuple(found), float(lower), float(upper))


def trace_caustic(
    square: SquareMap, point: Tensor, *, plane: Tensor | None = None, half_width: float = 5.0
) -> CausticCurve:
    """Trace the caustic through a point on it, both ways, until it closes or leaves the region.

    Parameters
    ----------
    square
        Map between spaces of the same dimension K, such as `RestrictedMap`.
    point
        Point on a caustic, or close to one, shape (K,).
    plane
        Two orthonormal directions, shape (2, K): the curve is that of the caustic surface in the plane through the
        point. May be None for K = 2.
    half_width
        Half the width of the region around the point.

    Raises
    ------
    InvalidInputError
        If the plane does not fit, or there is no caustic near the point.
    """
    point = point.double()
    if plane is None and len(point) == 2:
        plane = torch.eye(2, dtype=torch.float64)
    if plane is None or plane.shape != (2, len(point)):
        raise InvalidInputError(
            f"the caustic of a boundary of {len(point)} dimensions is traced in a plane: two directions of shape "
            f"(2, {len(point)}); got {None if plane is None else tuple(plane.shape)}"
        )
    plane = torch.linalg.qr(plane.double().T).Q.T
    limits = torch.stack([point - half_width, point + half_width], dim=1)
    tracer = _Tracer(square, plane, 2 * half_width, limits)
    start = tracer.corrected(point)
    if start is None or float((start - point).norm()) > 0.1 * half_width:
        raise InvalidInputError(f"there is no caustic near the point {[round(value, 6) for value in point.tolist()]}")
    return tracer.curve(start)


def _rows(matrices: Tensor) -> Tensor:
    """Lengths of the rows, by which Jacobians are divided, because raw determinants could underflow."""
    sizes = matrices.norm(dim=2, keepdim=True)
    return torch.where(sizes == 0, 1.0, sizes)


def _dense(curve: CausticCurve) -> Tensor:
    """Points of a curve, closed if it is."""
    return torch.cat([curve.points, curve.points[:1]]) if curve.closed else curve.points


@dataclass(frozen=True, eq=False)
class _Tracer:
    """Predictor and corrector along the curves of a caustic in a plane.

    Parameters
    ----------
    square, plane
        The map, and two orthonormal directions (2, K).
    width
        Width of the region.
    limits
        Lower and upper end of the region along each coordinate, shape (K, 2).
    """

    square: SquareMap
    plane: Tensor
    width: float
    limits: Tensor

    def inside(self, point: Tensor) -> bool:
        """Whether a point is in the region."""
        return bool(((point >= self.limits[:, 0]) & (point <= self.limits[:, 1])).all())

    def _determinants(self, point: Tensor, along: Tensor) -> tuple[float, Tensor]:
        """Determinant at a point and its derivatives along directions (direction, K), in units of the width."""
        step = _DIFFERENCE * self.width
        shifts = torch.cat([torch.zeros_like(point)[None], step * along, -step * along])
        matrices = self.square.jacobians(point + shifts)
        # The same units for all, or the derivative of the units would count too.
        values = torch.linalg.det(matrices / _rows(matrices[:1]))
        count = len(along)
        return float(values[0]), (values[1 : 1 + count] - values[1 + count :]) / (2 * _DIFFERENCE)

    def corrected(self, point: Tensor) -> Tensor | None:
        """Point of the caustic in the plane, by Newton's method along the gradient; None if it is not reached."""
        found = self._with_tangent(point)
        return None if found is None else found[0]

    def _with_tangent(self, point: Tensor) -> tuple[Tensor, Tensor] | None:
        """Point of the caustic near another one, and the direction of the curve there, of length 1."""
        for _ in range(12):
            value, slopes = self._determinants(point, self.plane)
            size = float(slopes.square().sum())
            if not (np.isfinite(value) and size > 0):
                return None
            step = value / size * (slopes @ self.plane)
            # A longer step would leave the neighbourhood to another curve.
            length = float(step.norm())
            point = point - self.width * step * min(1.0, 0.05 / max(length, 1e-300))
            if length <= _CLOSE:
                across = slopes / size**0.5
                return point, torch.stack([-across[1], across[0]]) @ self.plane
        return None

    def _folds(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of the determinant along the lost directions, zero at a cusp, and these directions, per point."""
        matrices = self.square.jacobians(points)
        rows = _rows(matrices)
        lost = torch.linalg.svd(matrices / rows).Vh[:, -1]
        step = _DIFFERENCE * self.width
        ahead, behind = (
            torch.linalg.det(self.square.jacobians(points + sign * step * lost) / rows) for sign in (1.0, -1.0)
        )
        return (ahead - behind) / (2 * _DIFFERENCE), lost

    def curve(self, start: Tensor) -> CausticCurve:
        """Curve through a point of the caustic."""
        tangent = self._with_tangent(start)
        forward, closed = ([start], False) if tangent is None else self._walk(start, tangent[1])
        points = forward
        if tangent is not None and not closed:
            backward, _ = self._walk(start, -tangent[1])
            points = backward[:0:-1] + forward
        stacked = torch.stack(points)
        return CausticCurve(stacked, self.square(stacked), tuple(self._cusps(stacked, closed)), closed)

    def _walk(self, start: Tensor, tangent: Tensor) -> tuple[list[Tensor], bool]:
        """Points from a start in the direction of a tangent, and whether the curve closes."""
        points, step = [start], _LONGEST / 4
        gone = 0.0
        while len(points) < _MOST_POINTS:
            length = step * self.width
            found = self._with_tangent(points[-1] + length * tangent)
            fits = (
                found is not None
                and abs(float(found[1] @ tangent)) > np.cos(_TURN)
                and 0.5 * length < float((found[0] - points[-1]).norm()) < 1.5 * length
            )
            if found is None or not fits:
                step /= 2
                if step < _SHORTEST:
                    return points, False
                continue
            after, turned = found
            # The gradient of the determinant changes its sign where two curves cross.
            turned = turned if float(turned @ tangent) > 0 else -turned
            gone += length
            if gone > 3 * length and float((after - start).norm()) < length and len(points) > 3:
                return points, True
            points.append(after)
            if not self.inside(after):
                return points, False
            grows = float(turned @ tangent) > np.cos(_TURN / 3)
            tangent, step = turned, min(_LONGEST, 1.5 * step) if grows else step
        return points, False

    def _cusps(self, points: Tensor, closed: bool) -> list[CausticPoint]:
        """Cusps between neighbouring points: the derivative along the lost direction changes its sign."""
        every = torch.cat([points, points[:1]]) if closed else points
        slopes, lost = self._folds(every)
        # A lost direction has no sign of its own: each gets that of the one before it.
        turns = torch.sign((lost[1:] * lost[:-1]).sum(dim=1)).cumprod(dim=0)
        slopes = slopes * torch.cat([turns.new_ones(1), turns])
        found = []
        for at in (slopes[:-1] * slopes[1:] < 0).nonzero()[:, 0].tolist():
            cusp = self._between(every[at], every[at + 1], lost[at])
            if cusp is not None:
                found.append(classified(self.square, cusp))
        return found

    def _between(self, one: Tensor, other: Tensor, lost: Tensor) -> Tensor | None:
        """Point of the curve between two others at which the lost direction is along the caustic."""

        def slope(share: float) -> float:
            point = self.corrected(torch.lerp(one, other, share))
            if point is None:
                return np.nan
            slopes, turned = self._folds(point[None])
            return float(slopes[0] * torch.sign(turned[0] @ lost))

        if not slope(0.0) * slope(1.0) < 0:
            return None
        return self.corrected(torch.lerp(one, other, float(brentq(slope, 0.0, 1.0, xtol=1e-13))))
