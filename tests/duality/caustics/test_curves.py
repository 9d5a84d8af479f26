"""Curves of caustics against maps whose caustics are known in closed form, and against singular networks."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from critlearn.duality import RestrictedMap, caustic_curves, trace_caustic
from critlearn.errors import InvalidInputError
from reference.push_forward_check import log_normal_density, small_network


class Bent:
    """``A N(B x)`` with a turn B, a matrix A and a normal form N."""

    def __init__(self, normal: object, angle: float, size: int = 2) -> None:
        self.turn = torch.eye(size, dtype=torch.float64)
        cosine, sine = math.cos(angle), math.sin(angle)
        self.turn[:2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
        self.mix = torch.eye(size, dtype=torch.float64) + 0.2
        self.normal = normal

    def __call__(self, points: Tensor) -> Tensor:
        return torch.sinh(self.normal(points @ self.turn.T)) @ self.mix.T

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.func.vmap(torch.func.jacfwd(lambda point: self(point[None])[0]))(points)


def cusp(points: Tensor) -> Tensor:
    x, rest = points[:, :1], points[:, 1:]
    return torch.cat([x**3 + x * rest[:, :1], rest], dim=1)


def lips(points: Tensor) -> Tensor:
    """``x^3 / 3 + x (y^2 - 1/4)``: a closed curve ``x^2 + y^2 = 1/4`` with two cusps at ``x = 0``."""
    x, y = points.T
    return torch.stack([x**3 / 3 + x * (y * y - 0.25), y], dim=1)


@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5])
def test_the_folds_of_a_cusp(angle: float) -> None:
    found = caustic_curves(Bent(cusp, angle), -0.8, 0.8, steps=41)
    (curve,) = found.curves
    assert not curve.closed
    x, y = (curve.points @ Bent(cusp, angle).turn.T).T
    torch.testing.assert_close(y, -3 * x * x, rtol=0, atol=1e-11)
    # Its ends lie outside of the region, and its points are close to each other.
    assert float(curve.points[[0, -1]].abs().amax(dim=1).min()) > 0.8
    assert float((curve.points[1:] - curve.points[:-1]).norm(dim=1).max()) < 0.05
    (point,) = found.cusps
    assert point.kind == "cusp"
    assert float(point.point.norm()) < 1e-9


def test_a_closed_curve_with_two_cusps() -> None:
    found = caustic_curves(Bent(lips, 0.4), -1.0, 1.0, steps=41)
    (curve,) = found.curves
    assert curve.closed
    torch.testing.assert_close(curve.points.norm(dim=1), torch.full((len(curve.points),), 0.5).double())
    angles = torch.atan2(*curve.points.T.flip(0)).sort().values
    assert float(angles.diff().max()) < 0.2
    places = sorted((cusp.point @ Bent(lips, 0.4).turn.T).tolist()[1] for cusp in found.cusps)
    np.testing.assert_allclose(places, [-0.5, 0.5], atol=1e-9)
    torch.testing.assert_close(curve.values, Bent(lips, 0.4)(curve.points))


class Plane(Bent):
    """A map of the plane as it is written."""

    def __init__(self, function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self.function = function

    def __call__(self, points: Tensor) -> Tensor:
        return torch.stack(self.function(*points.T), dim=1)


@pytest.mark.parametrize("distance", [0.06, 0.04, 0.02])
def test_two_curves_within_a_cell_of_the_grid(distance: float) -> None:
    # A line of the grid, whose cells are 0.05 wide, lies between them.
    square = Plane(lambda x, y: (x, y**3 / 3 - (distance / 2) ** 2 * y))
    curves = caustic_curves(square, -2.013, 2.001).curves
    levels = sorted(curve.points[:, 1].mean().item() for curve in curves)
    np.testing.assert_allclose(levels, [-distance / 2, distance / 2], atol=1e-10)
    for curve in curves:
        assert float((curve.points[:, 1] - curve.points[0, 1]).abs().max()) < 1e-10
        assert float(curve.points[:, 0].min()) < -2.0
        assert float(curve.points[:, 0].max()) > 1.99


def test_circles_next_to_each_other_are_told_apart() -> None:
    # The determinant is (r^2 - 1) (r^2 - 1.01^2), where r^2 = x^2 + y^2: a step along one tangent meets the other.
    def circles(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        inner, outer = y**2 - 1, y**2 - 1.01**2
        return x**5 / 5 + (inner + outer) * x**3 / 3 + inner * outer * x, y

    found = caustic_curves(Plane(circles), -1.213, 1.201, steps=101)
    assert all(curve.closed for curve in found.curves)
    radii = [curve.points.norm(dim=1) for curve in found.curves]
    assert sorted(round(float(radius.mean()), 9) for radius in radii) == [1.0, 1.01]
    assert max(float(radius.max() - radius.min()) for radius in radii) < 1e-9


def test_a_caustic_along_a_line_of_the_grid() -> None:
    (curve,) = caustic_curves(Plane(lambda x, y: (x**2 / 2, y)), -2.0, 2.0).curves
    assert float(curve.points[:, 0].abs().max()) < 1e-12


@pytest.mark.parametrize("mixed", [0.0, 0.01])
def test_cusps_at_which_a_row_vanishes(mixed: float) -> None:
    # The determinant is x^2 + y^2 - 1; without the mixed part the first row is zero at both cusps.
    found = caustic_curves(Plane(lambda x, y: (x**3 / 3 + x * y**2 - x + mixed * y, y)), -2.0, 2.0)
    assert [(cusp.kind, cusp.order) for cusp in found.cusps] == [("cusp", 3)] * 2
    places = sorted((cusp.point.tolist() for cusp in found.cusps), key=lambda place: place[1])
    np.testing.assert_allclose(places, [[0, -1], [0, 1]], atol=1e-9)


def test_a_surface_is_cut_by_a_plane() -> None:
    square = Bent(cusp, 0.0, size=3)
    plane = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]], dtype=torch.float64)
    curve = trace_caustic(square, torch.tensor([0.31, -0.3, 0.1], dtype=torch.float64), plane=plane, half_width=0.6)
    x, y, z = curve.points.T
    torch.testing.assert_close(y, -3 * x * x, rtol=0, atol=1e-11)
    # The points stay in the plane through the start.
    torch.testing.assert_close(-0.8 * (y + 0.3) + 0.6 * (z - 0.1), torch.zeros_like(y), rtol=0, atol=1e-11)
    assert len(curve.cusps) == 1


def test_what_cannot_be_traced_is_refused() -> None:
    square = Bent(cusp, 0.0)
    with pytest.raises(InvalidInputError, match="no caustic near"):
        trace_caustic(square, torch.tensor([0.0, 50.0]).double(), half_width=1.0)
    with pytest.raises(InvalidInputError, match=r"two directions of shape \(2, 3\); got None"):
        trace_caustic(Bent(cusp, 0.0, size=3), torch.zeros(3).double())
    with pytest.raises(InvalidInputError, match="lower < upper"):
        caustic_curves(square, 1.0, 1.0)
    with pytest.raises(InvalidInputError, match="both finite"):
        caustic_curves(square, -math.inf, 1.0)
    with pytest.raises(InvalidInputError, match="lower must be a number; got True"):
        caustic_curves(square, True, 2)
    with pytest.raises(InvalidInputError, match="steps must be at least 2; got 1"):
        caustic_curves(square, -1.0, 1.0, steps=1)
    with pytest.raises(InvalidInputError, match="maps of the plane"):
        caustic_curves(Power(), -1.0, 1.0)


@pytest.mark.parametrize(
    "plane",
    [torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([[1.0, 2, 0], [-3, -6, 0]]), torch.full((2, 3), math.nan)],
)
def test_directions_that_span_no_plane_are_refused(plane: Tensor) -> None:
    with pytest.raises(InvalidInputError, match="neither zero nor parallel"):
        trace_caustic(Bent(cusp, 0.0, size=3), torch.tensor([0.31, -0.3, 0.1]).double(), plane=plane)


def test_a_plane_of_any_two_directions_and_a_width_above_zero() -> None:
    square, point = Bent(cusp, 0.0, size=3), torch.tensor([0.31, -0.3, 0.1], dtype=torch.float64)
    plane = torch.tensor([[1e-200, 0.0, 0.0], [3e9, 0.6e9, 0.8e9]], dtype=torch.float64)
    x, y, z = trace_caustic(square, point, plane=plane, half_width=0.6).points.T
    torch.testing.assert_close(y, -3 * x * x, rtol=0, atol=1e-11)
    torch.testing.assert_close(-0.8 * (y + 0.3) + 0.6 * (z - 0.1), torch.zeros_like(y), rtol=0, atol=1e-11)
    with pytest.raises(InvalidInputError, match="half_width must be positive"):
        trace_caustic(square, point, plane=plane, half_width=0.0)


class Power:
    """A map of three dimensions whatever the points are."""

    def __call__(self, points: Tensor) -> Tensor:
        return points

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.eye(3).double().expand(len(points), 3, 3)


def test_caustics_of_a_network_are_drawn_with_the_density_around_them() -> None:
    phi, data = small_network(2)
    # The changes of both hidden biases.
    restricted = RestrictedMap(phi, [4, 5], data.t[0])
    found = caustic_curves(restricted, -4.0, 0.0, steps=21)
    assert found.curves
    for curve in found.curves:
        for point in curve.points[::20]:
            # Independent of the tracer: the singular values of the whole Jacobian's rows.
            values = torch.linalg.svdvals(phi.jacobian(point, data.t[0]).dense()[[4, 5]])
            assert float(values[1]) < 1e-8 * float(values[0])
    grid = restricted.grid(-5, 5, 41)
    figure = found.plot(lambda values: restricted.log_density(values[::60], grid, log_normal_density).repeat(60))
    assert len(figure.axes) == 3
    assert len(figure.axes[0].lines) >= len(found.curves)
    assert found.plot().axes[1].get_xlabel() == "change of the first variable"
