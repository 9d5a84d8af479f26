"""Lanczos against dense eigenvalues, Hessian products against automatic differentiation, and saddles that are known."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.equilibrium.certification import certify
from critlearn.equilibrium.criteria import DESCENT_STEPS, LANCZOS_STEPS, LARGE_GAIN, SADDLE_GAIN
from critlearn.equilibrium.curvature import curvature, lanczos
from critlearn.equilibrium.decay import Decay, decay_of
from critlearn.equilibrium.descent import descent
from critlearn.network import NeuralSystem
from critlearn.network.checks.finiteness import UndefinedOutputError
from reference.networks import Pairs


def _symmetric(size: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.normal(size=(size, size)))
    values = np.sort(generator.normal(size=size))
    # Apart from the others, as at a saddle.
    values[0] -= 2
    return (basis * values) @ basis.T


@pytest.mark.parametrize("size", [1, 2, 7, LANCZOS_STEPS, 60, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_lanczos_finds_the_ends_of_the_spectrum(size: int, seed: int) -> None:
    matrix = _symmetric(size, seed)
    operator = torch.from_numpy(matrix)
    values, vector, residual = lanczos(lambda v: operator @ v, operator[0], seed=seed)
    exact, vectors = np.linalg.eigh(matrix)
    assert float(vector.norm()) == pytest.approx(1, rel=1e-9)
    # The residual is what it is said to be, and bounds the distance to an eigenvalue.
    image = matrix @ vector.numpy()
    assert np.linalg.norm(image - values[0] * vector.numpy()) == pytest.approx(residual, rel=1e-6, abs=1e-12)
    assert np.abs(exact - values[0]).min() <= residual + 1e-12
    assert exact[0] - 1e-12 <= values[0] <= values[-1] <= exact[-1] + 1e-12
    if size <= LANCZOS_STEPS:
        np.testing.assert_allclose(values, exact, atol=1e-10)
        assert residual < 1e-9
    else:
        assert values[0] == pytest.approx(exact[0], abs=1e-3)
        assert abs(vector.numpy() @ vectors[:, 0]) > 0.99


def test_lanczos_stops_where_the_first_vector_spans_no_more() -> None:
    """Three different eigenvalues: three products are enough, and more would divide by rounding."""
    diagonal = torch.tensor([-1.0] + [2.0] * 30 + [5.0] * 30, dtype=torch.float64)
    products = 0

    def product(vector: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return diagonal * vector

    values, vector, residual = lanczos(product, diagonal, seed=0)
    assert products == 3
    np.testing.assert_allclose(values, [-1, 2, 5], rtol=1e-10)
    assert abs(float(vector[0])) == pytest.approx(1, rel=1e-10)
    assert residual < 1e-8
    zero = lanczos(torch.zeros_like, torch.empty(5, dtype=torch.float64), seed=0)
    assert zero[0].tolist() == [0.0]
    assert zero[2] == 0.0


class Square(nn.Module):
    """Output ``x . q^2 / 2``, whose Hessian is known: of the loss -y, minus the mean input on the diagonal."""

    def __init__(self, place: Tensor) -> None:
        super().__init__()
        self.q = nn.Parameter(place)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.q**2 / 2


def _dense(system: NeuralSystem, loss: nn.Module, x: Tensor, t: Tensor, strength: float) -> np.ndarray:
    """Hessian of the mean loss, with L2 decay, by automatic differentiation twice."""
    names, shapes = list(system.parameters), [value.shape for value in system.parameters.values()]

    def mean_loss(flat: Tensor) -> Tensor:
        parts = flat.split([math.prod(shape) for shape in shapes])
        values = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        y = functional_call(system.model, values, x)
        return loss(y if y.shape == t.shape or t.dtype == torch.long else y[:, 0], t) + strength * (flat**2).sum() / 2

    flat = torch.cat([value.detach().flatten() for value in system.parameters.values()])
    return torch.autograd.functional.hessian(mean_loss, flat).numpy()


def _tanh() -> tuple[nn.Module, nn.Module]:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), nn.SoftMarginLoss()


def _relu() -> tuple[nn.Module, nn.Module]:
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)), nn.SoftMarginLoss()


def _softmax() -> tuple[nn.Module, nn.Module]:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 3)), nn.CrossEntropyLoss()


@pytest.mark.parametrize("strength", [0.0, 0.3])
@pytest.mark.parametrize("case", [_tanh, _relu, _softmax])
def test_the_lowest_eigenvalue_is_that_of_the_dense_hessian(case, strength: float) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(2)
    model, loss = case()
    model, x = model.double(), torch.randn(200, 3, dtype=torch.float64)
    t = torch.randint(3, (200,)) if isinstance(loss, nn.CrossEntropyLoss) else torch.randn(200).sign().double()
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    found = curvature(system, decay_of(system, strength, None))
    exact = np.linalg.eigvalsh(_dense(system, loss, x, t, strength))
    assert len(exact) <= LANCZOS_STEPS + 2
    # A step of 1e-4 of all variables moves some samples across the kink of a ReLU.
    tolerance = 1e-2 if case is _relu else 1e-6
    assert found.lowest == pytest.approx(exact[0], abs=tolerance * exact[-1] + found.residual)
    assert found.highest == pytest.approx(exact[-1], abs=tolerance * exact[-1])
    assert found.samples == 200


def test_every_variable_has_its_own_decay() -> None:
    torch.manual_seed(2)
    model, loss = _tanh()
    model, x = model.double(), torch.randn(100, 3, dtype=torch.float64)
    t = torch.randn(100).sign().double()
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    generator = torch.Generator().manual_seed(3)
    strength = {
        name: torch.rand(value.shape, generator=generator, dtype=torch.float64)
        for name, value in system.parameters.items()
    }
    flat = torch.cat([part.flatten() for part in strength.values()]).numpy()
    exact = np.linalg.eigvalsh(_dense(system, loss, x, t, 0.0) + np.diag(flat))
    found = curvature(system, Decay(strength))
    assert found.lowest == pytest.approx(exact[0], abs=1e-6 + found.residual)


def saddle(place: Tensor, **arguments: float) -> NeuralSystem:
    """Squared error of ``x . q^2 / 2`` and targets that only positive outputs fit: q = 0 is a saddle or a maximum."""
    x = torch.rand(400, len(place), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.full((400,), 1.0, dtype=torch.float64)
    t += torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return NeuralSystem(Square(place), Composition("identity", "mse"), TensorDataset(x, t))


def test_a_saddle_without_any_gradient_is_found() -> None:
    """At q = 0 the loss is ``mean (t - x q^2 / 2)^2``: the Hessian is ``-2 mean(t x)`` on the diagonal."""
    system = saddle(torch.zeros(4, dtype=torch.float64))
    found = curvature(system, decay_of(system, 0.0, None))
    x, t = system.dataset[:]
    exact = np.sort(-2 * (x * t[:, None]).mean(dim=0).numpy())
    assert found.lowest == pytest.approx(exact[0], rel=1e-6)
    assert found.highest == pytest.approx(exact[-1], rel=1e-6)
    # The direction is one of the axes, and the descent stays on it: below lies regression on that input alone.
    first = x[:, int((x * t[:, None]).mean(dim=0).argmax())].numpy()
    rest = t.numpy() - first * (first @ t.numpy()) / (first @ first)
    assert found.gain == pytest.approx(1 - (rest**2).mean() / float((t**2).mean()), rel=1e-3)
    assert found.saddle
    # Decay stronger than the curvature makes the same place a minimum.
    held = curvature(system, decay_of(system, 1.1 * abs(exact[0]), None))
    assert held.lowest == pytest.approx(0.1 * abs(exact[0]), rel=1e-6)
    assert held.gain == 0.0
    assert not held.saddle


def test_at_the_minimum_there_is_no_way_down() -> None:
    system = saddle(torch.zeros(4, dtype=torch.float64))
    x, t = system.dataset[:]
    weights, *_ = np.linalg.lstsq(x.numpy() / 2, t.numpy())
    bottom = NeuralSystem(Square(torch.from_numpy(np.sqrt(weights))), system.loss, system.dataset)
    found = curvature(bottom, decay_of(bottom, 0.0, None))
    # The Hessian of least squares: 2 mean(x q x' q).
    scaled = x.numpy() * np.sqrt(weights)
    assert found.lowest == pytest.approx(np.linalg.eigvalsh(2 * scaled.T @ scaled / 400)[0], rel=1e-5)
    assert found.gain < 1e-6
    assert not found.saddle


def xor(samples: int) -> Pairs:
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 1.0], (samples, 2))
    x = signs + 0.15 * generator.normal(size=signs.shape)
    return Pairs(torch.from_numpy(x), torch.from_numpy(signs[:, 0] * signs[:, 1]))


@pytest.mark.parametrize(("samples", "dtype"), [(600, torch.float64), (4100, torch.float64), (600, torch.float32)])
def test_the_symmetric_saddle_of_xor_is_found(samples: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for value in model.parameters():
            value *= 0.03
    system = NeuralSystem(model.to(dtype), Composition("sigmoid", "bce"), xor(samples))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = curvature(system, decay_of(system, 0.0, None))
    assert found.saddle
    assert found.gain > 0.4
    assert found.lowest < 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    again = curvature(system, decay_of(system, 0.0, None))
    assert again == found


def test_a_network_that_stays_in_single_precision() -> None:
    """It holds a tensor of its own, which is not converted with it."""

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.shift = nn.Linear(2, 1), torch.ones(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x + self.shift, self.layer.weight.float(), self.layer.bias.float())

    torch.manual_seed(1)
    x, t = torch.randn(200, 2), torch.randn(200).sign()
    system = NeuralSystem(Shifted(), Composition("sigmoid", "bce"), TensorDataset(x, t))
    found = curvature(system, decay_of(system, 0.0, None))
    same = nn.Linear(2, 1).double()
    same.load_state_dict({name.removeprefix("layer."): value for name, value in system.model.state_dict().items()})
    double = NeuralSystem(same, Composition("sigmoid", "bce"), TensorDataset(x.double() + 1, t.double()))
    expected = curvature(double, decay_of(double, 0.0, None))
    assert found.lowest == pytest.approx(expected.lowest, rel=1e-3, abs=1e-4)
    assert found.highest == pytest.approx(expected.highest, rel=1e-3)


def test_a_descent_that_leaves_the_numbers_counts_as_far_as_it_came() -> None:
    """The exponential of the output overflows within the descent: no error, and no gain that is no number."""

    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x[:, 0] * torch.exp(800 * self.q**2)

    x = torch.linspace(1, 2, 100, dtype=torch.float64)[:, None]
    system = NeuralSystem(Steep(), Composition("sigmoid", "bce"), TensorDataset(x, torch.ones(100).double()))
    found = curvature(system, decay_of(system, 0.0, None))
    assert math.isfinite(found.gain)
    assert found.lowest < 0
    assert found.gain > SADDLE_GAIN


def test_a_large_network_is_looked_at_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the saddle of XOR as in double precision; away from it 100 samples say as little as they are."""
    monkeypatch.setattr("critlearn.equilibrium.curvature.CURVATURE_PRODUCTS", 2000)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for value in model.parameters():
            value *= 0.03
    single = NeuralSystem(model, Composition("sigmoid", "bce"), xor(4000))
    double = NeuralSystem(copy.deepcopy(model).double(), Composition("sigmoid", "bce"), xor(4000))
    found, expected = (curvature(system, decay_of(system, 0.0, None)) for system in (single, double))
    assert found.samples == expected.samples == 100
    assert found.saddle
    assert found.lowest == pytest.approx(expected.lowest, rel=1e-2)
    assert found.highest == pytest.approx(expected.highest, rel=1e-2)


def test_a_descent_that_only_fits_its_own_samples_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that have nothing to do with the inputs: 100 samples can be fitted, but no others."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 300), nn.ReLU(), nn.Linear(300, 1))
    x, t = torch.randn(3000, 40), torch.randn(3000, 1).sign()
    system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, t))
    monkeypatch.setattr("critlearn.equilibrium.curvature.CURVATURE_PRODUCTS", 0)
    taken = []

    def counted(*arguments: object, **named: object) -> Iterator[tuple[float, Tensor]]:
        for step in descent(*arguments, **named):  # type: ignore[arg-type]
            taken.append(step[0])
            yield step

    monkeypatch.setattr("critlearn.equilibrium.curvature.descent", counted)
    found = curvature(system, decay_of(system, 0.0, None))
    assert not found.way_down
    assert len(taken) < DESCENT_STEPS
    assert taken[-1] < 1 - LARGE_GAIN <= taken[-2]


class Edge(nn.Module):
    """Output ``q x`` up to a largest q, beyond which there is none, as where a pass has no fixed point."""

    def __init__(self, room: float) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.room = room

    def forward(self, x: Tensor) -> Tensor:
        if float(self.q.detach()) > self.room:
            raise UndefinedOutputError("there is no output")
        return self.q * x


@pytest.mark.parametrize("room", [5e-6, 1e-3, 0.3])
def test_places_without_an_output_have_an_infinite_loss(room: float) -> None:
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(100, 1)
    t = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64).repeat(50)[:, None]
    system = NeuralSystem(Edge(room), Composition("sigmoid", "bce"), TensorDataset(x, t))
    found = curvature(system, decay_of(system, 0.0, None))
    # x^2 s (1 - s) with s = 1/2, the same in units of torch's loss ln(1 + exp(-t y)).
    assert found.lowest == pytest.approx(0.25, rel=1e-4)
    assert not found.way_down


def test_no_curvature_where_the_network_has_no_output_a_step_away() -> None:
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(100, 1)
    t = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64).repeat(50)[:, None]
    found = certify(NeuralSystem(Edge(0.0), Composition("sigmoid", "bce"), TensorDataset(x, t)))
    assert found.curvature is None
    assert "curvature" in found.left_out
    assert "not looked at: curvature" in found.reason
