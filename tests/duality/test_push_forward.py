"""Densities on the sheet against Monte Carlo, and caustics against closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from critlearn.compositions import Composition
from critlearn.duality import DualityMap, RestrictedMap, caustics_on_path, choose_variables, classified
from critlearn.duality.density.preimages import find_preimages
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from critlearn.prediction import caustics_of
from reference.networks import Pairs
from reference.push_forward_check import chi_squared, log_normal_density, small_network


@pytest.mark.parametrize(("inputs", "half_width"), [(1, 0.01), (2, 0.03), (3, 0.1)])
def test_density_and_histogram_agree(inputs: int, half_width: float) -> None:
    p_value, counts = chi_squared(inputs, 400_000, 4 - inputs, 3 if inputs < 3 else 2, half_width)
    assert p_value > 0.01
    assert counts[0].min() > 30


def single_unit() -> RestrictedMap:
    """``y = 2 x`` with tanh and squared error: the change of the bias is ``-2 (f - 1)(1 - f^2)``."""
    model = nn.Linear(1, 1).double()
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.zero_()
    data = Pairs(torch.zeros(2, 1).double() + 0.1, torch.ones(2).double())
    phi = DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data))
    return RestrictedMap(phi, [1], data.t[0])


def test_the_largest_fluctuation_is_a_fold_with_exponent_one_half() -> None:
    restricted = single_unit()
    (caustic,) = caustics_on_path(restricted, torch.tensor([-2.0]).double(), torch.tensor([2.0]).double())
    # Theory: the largest fluctuation is where f = -1/3, and has the size 2 (4/3)(8/9).
    assert float(caustic.point) == pytest.approx(math.atanh(-1 / 3) / 2, abs=1e-9)
    assert float(caustic.value) == pytest.approx(64 / 27, rel=1e-12)
    assert (caustic.kind, caustic.order, caustic.exponent) == ("fold", 2, 0.5)
    starts = caustic.point + torch.tensor([[-0.3], [-0.05], [0.05], [0.3]]).double()
    gaps = np.array([1e-4, 1e-5, 1e-6])
    logs = [restricted.log_density(caustic.value - gap, starts, log_normal_density) for gap in gaps]
    np.testing.assert_allclose(np.diff(logs) / np.diff(np.log(gaps)), -0.5, atol=0.01)
    assert restricted.log_density(caustic.value + 1e-3, starts, log_normal_density) == -math.inf


def test_density_near_the_fold_in_samples() -> None:
    restricted = single_unit()
    x = torch.randn(1_000_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gaps = 64 / 27 - restricted(x)[:, 0].numpy()
    # With p ~ gap^(-1/2) the shares below two gaps are as their square roots.
    near, far = (gaps < 1e-3).sum(), (gaps < 1e-2).sum()
    share, expected = near / far, math.sqrt(0.1)
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / far) + 0.005


class Polynomial:
    """A polynomial map of the plane with a known singularity at the origin."""

    def __init__(self, first: object, second: object) -> None:
        self.parts = (first, second)

    def __call__(self, points: Tensor) -> Tensor:
        return torch.stack([part(points[:, 0], points[:, 1]) for part in self.parts], dim=1)

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.stack([torch.autograd.functional.jacobian(lambda p: self(p[None])[0], p) for p in points])


@pytest.mark.parametrize(
    ("first", "kind", "exponent"),
    [
        (lambda x, y: x**2, "fold", 0.5),
        (lambda x, y: x**3 + x * y, "cusp", 2 / 3),
        (lambda x, y: 1e6 * (x**2 + 0.1 * x**3), "fold", 0.5),
    ],
)
def test_normal_forms_are_classified(first: object, kind: str, exponent: float) -> None:
    caustic = classified(Polynomial(first, lambda x, y: y), torch.zeros(2).double())
    assert caustic.kind == kind
    assert caustic.exponent == pytest.approx(exponent)
    assert abs(float(caustic.lost[0])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        (lambda x, y: x**4 + x * y, lambda x, y: y, 4),
        # A bent curve: straight along the lost direction the determinant vanishes to third order.
        (lambda x, y: x**3 + 1.5 * x * y, lambda x, y: y + x**2, 3),
        (lambda x, y: x**3 + x * y - y * y, lambda x, y: 1e-3 * (y - x**3), 3),
    ],
)
def test_orders_of_planar_maps(first: object, second: object, order: int) -> None:
    caustic = classified(Polynomial(first, second), torch.zeros(2).double())
    assert caustic.order == order


class Power:
    """``x^n + x^(n + 1) / 5`` on the line."""

    def __init__(self, power: int) -> None:
        self.power = power

    def __call__(self, points: Tensor) -> Tensor:
        return points**self.power + points ** (self.power + 1) / 5

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.stack([torch.autograd.functional.jacobian(lambda p: self(p[None])[0], p) for p in points])


@pytest.mark.parametrize("power", [2, 3, 4, 5, 6])
def test_orders_of_powers(power: int) -> None:
    caustic = classified(Power(power), torch.zeros(1).double())
    assert (caustic.order, caustic.exponent) == (power, pytest.approx(1 - 1 / power))
    assert caustic.kind == {2: "fold", 3: "cusp"}.get(power, f"order {power}")
    if power % 2 == 0:
        # Found between places of the path, and exactly at one of them.
        for end in (1.3, 1.0):
            (found,) = caustics_on_path(Power(power), torch.tensor([-1.0]).double(), torch.tensor([end]).double())
            assert float(found.point) == pytest.approx(0, abs=1e-3)
            assert found.order == power


class Crooked:
    """``N(B(x))`` with a smooth change of coordinates B and a normal form N whose caustics are known."""

    def __init__(self, normal: object, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        angle = float(torch.rand(1, generator=generator)) * 2 * math.pi
        self.turn = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
        )
        self.mix = torch.eye(2).double() + 0.3 * torch.randn(2, 2, generator=generator).double()
        self.normal = normal

    def bent(self, points: Tensor) -> Tensor:
        turned = points @ self.turn.T
        return torch.stack([turned[:, 0], turned[:, 1] + 0.2 * turned[:, 0] ** 2], dim=1)

    def straight(self, bent: Tensor) -> Tensor:
        return torch.stack([bent[:, 0], bent[:, 1] - 0.2 * bent[:, 0] ** 2], dim=1) @ self.turn

    def __call__(self, points: Tensor) -> Tensor:
        return torch.sinh(self.normal(self.bent(points)) @ self.mix.T)

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.stack([torch.autograd.functional.jacobian(lambda p: self(p[None])[0], p) for p in points])


def whitney_cusp(points: Tensor) -> Tensor:
    """``(x^3 + x y, y)``: folds at ``y = -3 x^2``, a cusp at the origin."""
    return torch.stack([points[:, 0] ** 3 + points[:, 0] * points[:, 1], points[:, 1]], dim=1)


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_two_folds_close_to_each_other_are_both_found(distance: float, seed: int) -> None:
    crooked = Crooked(whitney_cusp, seed)
    generator = np.random.default_rng(seed)
    at = generator.uniform(0.2, 0.6) * generator.choice([-1, 1])
    # A chord of the curve of folds between two points on it, prolonged so that they are this far apart on the path.
    on_curve = torch.tensor([[x, -3 * x * x] for x in (at, at + 0.5 * distance)]).double()
    one, other = crooked.straight(on_curve)
    share = generator.uniform(0.2, 0.7)
    start, end = one - share / distance * (other - one), one + (1 - share) / distance * (other - one)
    found = caustics_on_path(crooked, start, end)
    for point in (one, other):
        nearest = min(found, key=lambda caustic: float((caustic.point - point).norm()))
        assert float((nearest.point - point).norm()) < 1e-2 * float((other - one).norm())
        assert nearest.kind == "fold"


@pytest.mark.parametrize("seed", range(12))
def test_a_path_through_a_cusp_finds_it_from_any_direction(seed: int) -> None:
    crooked = Crooked(whitney_cusp, seed)
    cusp = crooked.straight(torch.zeros(1, 2).double())[0]
    # The lost direction itself, along which the determinant only touches zero, and all others.
    angle = 2 * math.pi * seed / 12
    along = torch.tensor([math.cos(angle), math.sin(angle)]).double() @ crooked.turn
    found = caustics_on_path(crooked, cusp - 0.4 * along, cusp + 0.37 * along)
    nearest = min(found, key=lambda caustic: float((caustic.point - cusp).norm()))
    assert nearest.kind == "cusp"
    torch.testing.assert_close(nearest.point, cusp, rtol=0, atol=1e-6)


def test_paths_that_say_nothing_are_refused() -> None:
    ends = torch.tensor([-1.0]).double(), torch.tensor([1.0]).double()
    for resolution in (0, 1.0, -0.1):
        with pytest.raises(InvalidInputError, match="a share of the path, between 0 and 1"):
            caustics_on_path(Power(2), *ends, resolution=resolution)
    with pytest.raises(InvalidInputError, match="two points of shape"):
        caustics_on_path(Power(2), torch.zeros(2).double(), ends[1])
    with pytest.raises(InvalidInputError, match=r"not finite at 0\.0001\d* of the path"):
        caustics_on_path(Power(2), torch.tensor([math.nan]).double(), ends[1])


def test_both_preimages_next_to_a_fold_from_a_coarse_grid() -> None:
    restricted = single_unit()
    grid = restricted.grid(-5, 5, 161)
    for share in (1e-2, 1e-4, 1e-6):
        value = torch.tensor([64 / 27 * (1 - share)]).double()
        found = restricted.preimages(value, grid.starts(value)).flatten()
        # 2 (1 - f)(1 - f^2) = value, by the roots of the polynomial in f.
        roots = np.roots([2, -2, -2, 2 - float(value)])
        expected = np.arctanh(roots[np.abs(roots) < 1].real) / 2
        np.testing.assert_allclose(np.sort(found.numpy()), np.sort(expected), rtol=1e-6)


def test_many_densities_at_once_are_those_of_the_closed_form() -> None:
    restricted = single_unit()
    values = torch.cat([torch.linspace(-1.0, -1e-4, 40), torch.linspace(1e-3, 2.37, 60), torch.tensor([2.4])]).double()
    found = restricted.log_density(values[:, None], restricted.grid(-5, 5, 161), log_normal_density)
    for value, log_density in zip(values.tolist(), found.tolist(), strict=True):
        # 2 (1 - f)(1 - f^2) = value at x = atanh(f) / 2, where dx/df = 1 / (2 (1 - f^2)).
        roots = np.roots([2, -2, -2, 2 - value])
        f = roots[np.isreal(roots) & (np.abs(roots) < 1)].real
        slopes = np.abs(6 * f**2 - 4 * f - 2) * 2 * (1 - f**2)
        x = np.arctanh(f) / 2
        expected = (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) / slopes).sum()
        assert math.exp(log_density) == pytest.approx(expected, rel=1e-6)


class Bells:
    """``exp(-x^2)`` in each coordinate, which takes finite numbers only, as networks do."""

    def __call__(self, points: Tensor) -> Tensor:
        assert bool(points.isfinite().all())
        return torch.exp(-points.square())

    def jacobians(self, points: Tensor) -> Tensor:
        return torch.diag_embed(-2 * points * self(points))


def test_starts_where_the_map_is_constant_to_all_digits_are_left_out() -> None:
    # At 27 the slope is 1e-315: a step of Newton's method is infinite.
    starts = torch.tensor([[27.0, 1.0], [0.6, 0.6], [-0.6, 0.6]], dtype=torch.float64)
    value = torch.exp(-torch.tensor([[0.25, 0.25]], dtype=torch.float64))
    found = find_preimages(Bells(), value, starts, torch.zeros(3, dtype=torch.long), 1e-10)
    torch.testing.assert_close(found.points.abs(), torch.full_like(found.points, 0.5))
    assert {tuple(point) for point in found.points.sign().tolist()} >= {(1.0, 1.0), (-1.0, 1.0)}


def test_inputs_of_any_scale_have_all_their_preimages() -> None:
    model = nn.Linear(1, 1).double()
    with torch.no_grad():
        model.weight.fill_(1e7)
        model.bias.zero_()
    data = Pairs(torch.full((2, 1), 1e-8).double(), torch.ones(2).double())
    restricted = RestrictedMap(DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data)), [1], data.t[0])
    grid = restricted.grid(-5e-7, 5e-7, 161)
    value = restricted(torch.tensor([[3e-8]]).double())[0]
    assert len(restricted.preimages(value, grid.starts(value))) == 2


def test_many_preimages_are_all_started_from() -> None:
    units = 12
    model = nn.Sequential(nn.Linear(1, units), nn.Tanh(), nn.Linear(units, 1)).double()
    with torch.no_grad():
        model[0].weight.fill_(8.0)
        model[0].bias.copy_(-8 * torch.linspace(-4, 4, units))
        model[2].weight.copy_(torch.tensor([[(-1.0) ** unit for unit in range(units)]]))
        model[2].bias.fill_(0.2)
    data = Pairs(torch.full((2, 1), 0.5).double(), torch.ones(2).double())
    restricted = RestrictedMap(
        DualityMap(NeuralSystem(model, Composition("tanh", "mse"), data)), [3 * units], data.t[0]
    )
    value = restricted(torch.tensor([[0.1]]).double())[0]
    line = restricted(torch.linspace(-6, 6, 100_001).double()[:, None])[:, 0] - value
    crossings = int((line[:-1] * line[1:] < 0).sum())
    grid = restricted.grid(-5, 5, 1001)
    assert crossings == 12
    assert len(restricted.preimages(value, grid.starts(value))) == crossings


def test_networks_in_single_precision_have_densities() -> None:
    phi, data = small_network(2)
    chosen = choose_variables(phi.jacobian(data.x[0], data.t[0]))
    logs = []
    for dtype in (torch.float64, torch.float32):
        model = copy.deepcopy(phi.system.model).to(dtype)
        single = DualityMap(NeuralSystem(model, phi.system.loss, Pairs(data.x.to(dtype), data.t.to(dtype))))
        restricted = RestrictedMap(single, chosen, data.t[0].to(dtype))
        value = restricted(data.x[:1].to(dtype))[0]
        logs.append(float(restricted.log_density(value, restricted.grid(-5, 5, 41), log_normal_density)))
    assert logs[1] == pytest.approx(logs[0], abs=1e-4)


def test_two_lost_directions_are_of_higher_kind() -> None:
    umbilic = Polynomial(lambda x, y: x * x - y * y, lambda x, y: x * y)
    assert classified(umbilic, torch.zeros(2).double()).kind == "higher"


def test_chosen_variables_give_a_regular_block() -> None:
    phi, data = small_network(3)
    jacobian = phi.jacobian(data.x[0], data.t[0])
    chosen = choose_variables(jacobian)
    block = RestrictedMap(phi, chosen, data.t[0])
    torch.testing.assert_close(block.jacobian(data.x[0]), jacobian.dense()[chosen])
    sign, log_volume = block.log_volume(data.x[0])
    assert sign * math.exp(log_volume) == pytest.approx(float(torch.linalg.det(jacobian.dense()[chosen])))
    # No K rows span more than all rows together.
    assert log_volume <= jacobian.log_volume()


def test_what_gives_no_square_block_is_refused() -> None:
    phi, data = small_network(2)
    for variables in ([0], [0, 0], [0, 99]):
        with pytest.raises(InvalidInputError, match="2 different trainable variables"):
            RestrictedMap(phi, variables, data.t[0])


def test_predictions_and_maps_give_a_caustic_the_same_exponent() -> None:
    """The fold of tanh with squared error has the size 64/27."""
    (predicted,) = caustics_of(Composition("tanh", "mse"))
    start, end = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    (mapped,) = caustics_on_path(single_unit(), start, end)
    assert (mapped.kind, mapped.order, mapped.exponent) == (predicted.kind, predicted.order, predicted.exponent)
    assert abs(float(mapped.value)) == pytest.approx(64 / 27)
    assert predicted.delta == pytest.approx(64 / 27)
