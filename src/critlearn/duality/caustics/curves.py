"""Curves of caustics: continuation along the surface where the smallest singular value of the Jacobian vanishes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from critlearn.duality.caustics.caustic import CausticPoint, classified, row_sizes
from critlearn.duality.criteria import SAME_CURVE, SPANNED
from critlearn.duality.density.preimages import SquareMap
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import check_count, check_number
from critlearn.results import Result, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIFFERENCE: Final = 1e-5
"""Step of central differences of the determinant, in units of the region's width: their error is about 1e-10."""

_CLOSE: Final = 1e-7
"""Newton step, in units of the region's width, after which a point counts as on the caustic: the next is its square."""

_STEPS: Final = 12
"""Newton steps at most: far more than the few that a start next to a curve takes."""

_LONGEST: Final = 2e-2
"""Longest step along a curve, in units of the region's width: curves are drawn with at least fifty points across it."""

_SHORTEST: Final = 1e-6
"""Shortest step, in the same units; a curve that turns faster ends there."""

_CROSSING: Final = 1e-4
"""Step at which a determinant of turned sign is a crossing of two curves, in the same units; longer ones are halved.

Next to each other, two curves have determinants of opposite slopes: a step that turned the sign may have gone across.
"""

_HALVINGS: Final = 20
"""Halvings of an edge of the grid, which leave a millionth of it: Newton's method then stays on the curve."""

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
        Cusps: the lost direction is that of the caustic itself, so that the image turns back.
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
        Grid points along each coordinate, at least 2.

    Raises
    ------
    InvalidInputError
        If the map is not one of the plane, the region is empty or not finite, or the grid has one point.
    """
    check_count("steps", steps)
    if steps < 2:
        raise InvalidInputError(f"curves start between neighbours on a grid: steps must be at least 2; got {steps}")
    for name, end in (("lower", lower), ("upper", upper)):
        check_number(name, end)
    if not -math.inf < lower < upper < math.inf:
        raise InvalidInputError(f"a region needs lower < upper, both finite; got {lower} and {upper}")
    axis = torch.linspace(lower, upper, steps, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    matrices = square.jacobians(points)
    if matrices.shape[1:] != (2, 2):
        raise InvalidInputError(f"curves are traced for maps of the plane; got Jacobians {tuple(matrices.shape[1:])}")
    signs = torch.sign(torch.linalg.det(matrices / _rows(matrices))).reshape(steps, steps)
    width, found = upper - lower, []
    tracer = _Tracer(square, torch.eye(2, dtype=torch.float64), width, torch.tensor([[lower, upper]] * 2).double())
    waiting = tracer.bisected(*_edges(points.reshape(steps, steps, 2), signs))
    while len(waiting):
        zero, waiting = waiting[0], waiting[1:]
        start = tracer.corrected(zero)
        # A start that the correction takes far away belongs to another edge.
        if start is None or float((start - zero).norm()) > 0.5 * width / (steps - 1):
            continue
        found.append(tracer.curve(start))
        waiting = waiting[~tracer.on_curve(waiting, found[-1])]
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
        Two directions, shape (2, K), which are made orthonormal: the curve is that of the caustic surface in the plane
        through the point. May be None for K = 2.
    half_width
        Half the width of the region around the point.

    Raises
    ------
    InvalidInputError
        If the plane does not fit or is none, the width is not positive, or there is no caustic near the point.
    """
    point = point.double()
    if plane is None and len(point) == 2:
        plane = torch.eye(2, dtype=torch.float64)
    if plane is None or plane.shape != (2, len(point)):
        raise InvalidInputError(
            f"the caustic of a boundary of {len(point)} dimensions is traced in a plane: two directions of shape "
            f"(2, {len(point)}); got {None if plane is None else tuple(plane.shape)}"
        )
    plane = plane.double()
    # By the largest entry first: squares of tiny ones would underflow.
    directions = plane / plane.abs().amax(dim=1, keepdim=True)
    directions = directions / directions.norm(dim=1, keepdim=True)
    # Directions closer than this, zeros and NaN span no plane: their common part would be all but rounding.
    if not bool(torch.linalg.svdvals(directions.nan_to_num(posinf=0.0, neginf=0.0))[-1] > SPANNED):
        raise InvalidInputError(
            f"a plane is spanned by two finite directions, neither zero nor parallel; got {plane.tolist()}"
        )
    check_number("half_width", half_width)
    if not 0 < half_width < math.inf:
        raise InvalidInputError(f"half_width must be positive and finite; got {half_width}")
    plane = torch.linalg.qr(directions.T).Q.T
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


def _edges(places: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Both ends of all edges of a grid along which a sign turns; of two edges if it is zero between them."""
    found = []
    for place, sign in ((places, signs), (places.transpose(0, 1), signs.T)):
        turned = sign[1:] * sign[:-1] < 0
        through = (sign[2:] * sign[:-2] < 0) & (sign[1:-1] == 0)
        found += [(place[:-1][turned], place[1:][turned]), (place[:-2][through], place[2:][through])]
    ones, others = zip(*found, strict=True)
    return torch.cat(ones), torch.cat(others)


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

    def _determinants(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Determinants at points (point, K), and their derivatives (point, 2) along the plane's directions."""
        step = _DIFFERENCE * self.width
        shifts = torch.cat([torch.zeros_like(self.plane[:1]), step * self.plane, -step * self.plane])
        matrices = self.square.jacobians((points[:, None] + shifts).reshape(-1, points.shape[1]))
        # The same units for all of a point, or the derivative of the units would count too.
        rows = torch.repeat_interleave(_rows(matrices[:: len(shifts)]), len(shifts), dim=0)
        values = torch.linalg.det(matrices / rows).reshape(len(points), len(shifts))
        return values[:, 0], (values[:, 1:3] - values[:, 3:]) / (2 * _DIFFERENCE)

    def _newton_step(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points after a step, its lengths in units of the width, and directions of the curves there, of length 1."""
        values, slopes = self._determinants(points)
        sizes = slopes.norm(dim=1, keepdim=True)
        across = slopes / sizes
        steps = values[:, None] / sizes * (across @ self.plane)
        lengths = steps.norm(dim=1)
        # A longer step would leave the neighbourhood to another curve.
        points = points - self.width * steps * (0.05 / lengths).clamp(max=1.0)[:, None]
        return points, lengths, torch.stack([-across[:, 1], across[:, 0]], dim=1) @ self.plane

    def bisected(self, ones: Tensor, others: Tensor) -> Tensor:
        """Zeros of the determinant between pairs of points (pair, K) at which it has opposite signs."""
        if not len(ones):
            return ones
        before = torch.sign(torch.linalg.det(self._scaled(ones)))
        for _ in range(_HALVINGS):
            middle = (ones + others) / 2
            same = (torch.sign(torch.linalg.det(self._scaled(middle))) == before)[:, None]
            ones, others = torch.where(same, middle, ones), torch.where(same, others, middle)
        return (ones + others) / 2

    def _scaled(self, points: Tensor) -> Tensor:
        matrices = self.square.jacobians(points)
        return matrices / _rows(matrices)

    def on_curve(self, points: Tensor, curve: CausticCurve) -> Tensor:
        """Whether points (point, K) of the caustic lie on a curve: next to one of its segments, and not beside it."""
        every = torch.cat([curve.points, curve.points[:1]]) if curve.closed else curve.points
        if not len(points) or len(every) == 1:
            return torch.zeros(len(points), dtype=torch.bool)
        ones, gaps = every[:-1], every[1:] - every[:-1]
        shares = ((points[:, None] - ones) * gaps).sum(dim=2) / gaps.square().sum(dim=1)
        feet = ones + shares.clamp(0.0, 1.0)[:, :, None] * gaps
        nearest = (points[:, None] - feet).norm(dim=2).argmin(dim=1)
        feet = feet[torch.arange(len(points)), nearest]
        offsets, length = points - feet, gaps[nearest].norm(dim=1)
        # A segment turns by 0.1 at most, so that the curve leaves it by an eightieth of its length.
        close = offsets.norm(dim=1) <= _TURN * length
        for _ in range(_STEPS):
            feet, _, tangents = self._newton_step(feet)
        offsets = points - feet
        beside = offsets - (offsets * tangents).sum(dim=1, keepdim=True) * tangents
        return close & (offsets.norm(dim=1) <= length) & (beside.norm(dim=1) <= SAME_CURVE * self.width)

    def corrected(self, point: Tensor) -> Tensor | None:
        """Point of the caustic in the plane, by Newton's method along the gradient; None if it is not reached."""
        found = self._with_tangent(point)
        return None if found is None else found[0]

    def _with_tangent(self, point: Tensor) -> tuple[Tensor, Tensor] | None:
        """Point of the caustic near another one, and the direction of the curve there, of length 1."""
        for _ in range(_STEPS):
            points, lengths, tangents = self._newton_step(point[None])
            point = points[0]
            # Where the determinant does not change at all, there is no step.
            if not bool(lengths.isfinite()):
                return None
            if float(lengths) <= _CLOSE:
                return point, tangents[0]
        return None

    def _folds(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of the determinant along the lost directions, zero at a cusp, and these directions, per point."""
        # Where a row vanishes, as at some cusps, its own length would be a rounding error.
        rows = row_sizes(self.square, points)
        lost = torch.linalg.svd(self.square.jacobians(points) / rows).Vh[:, -1]
        step = _DIFFERENCE * self.width
        ahead, behind = (
            torch.linalg.det(self.square.jacobians(points + sign * step * lost) / rows) for sign in (1.0, -1.0)
        )
        return (ahead - behind) / (2 * _DIFFERENCE), lost

    def curve(self, start: Tensor) -> CausticCurve:
        """Curve through a point of the caustic."""
        tangent = self._with_tangent(start)
        forward, closed = ([start], False) if tangent is None else self._walk(start, tangent[1], 1.0)
        points = forward
        if tangent is not None and not closed:
            backward, _ = self._walk(start, -tangent[1], -1.0)
            points = backward[:0:-1] + forward
        stacked = torch.stack(points)
        return CausticCurve(stacked, self.square(stacked), tuple(self._cusps(stacked, closed)), closed)

    def _walk(self, start: Tensor, tangent: Tensor, sense: float) -> tuple[list[Tensor], bool]:
        """Points from a start in the direction of a tangent, and whether the curve closes.

        The sense tells on which side the determinant is positive: 1 if that of the tangent at the start is its own.
        """
        points, step, first = [start], _LONGEST / 4, tangent
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
            if float(turned @ tangent) * sense < 0:
                # The gradient of the determinant changes its sign where two curves cross.
                if step > _CROSSING:
                    step /= 2
                    continue
                sense = -sense
            turned = sense * turned
            gone += length
            # One that comes back next to its start in the opposite direction is not closed.
            near = float((after - start).norm()) < length and float(turned @ first) > 0
            if gone > 3 * length and near and len(points) > 3:
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
        return [cusp for cusp in found if cusp.kind == "cusp"]

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
