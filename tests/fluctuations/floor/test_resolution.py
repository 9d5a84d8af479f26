"""The resolution floor, and the gradients at 60 digits that it is found with."""

import math
from collections.abc import Callable
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition, OutputLoss
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.fluctuations.floor.high_precision import PreciseNetwork, precise_network
from critlearn.fluctuations.floor.resolution import Resolution, measured_resolution
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.result import ALL_EXACT, DOUBLE, HIGH_PRECISION, NOT_RECORDED, SINGLE
from critlearn.network import ActivationModule, NeuralSystem
from reference.deep_tanh_oracle import log_gradients
from reference.networks import classes, loop_of_autograd, seeded, tanh_squared


class Bump(nn.Module):
    """``sech^2``, as a difference: 0 from y = 19 on in double precision."""

    def forward(self, y: Tensor) -> Tensor:
        return 1 - torch.tanh(y) ** 2


class _CancellingTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, y: Tensor) -> Tensor:
        f = torch.tanh(y)
        ctx.save_for_backward(f)  # type: ignore[attr-defined]
        return f

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        (f,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * (1 - f**2)


class CancellingTanh(nn.Module):
    """Tanh with the slope ``1 - tanh^2`` formed by subtraction, out of `tail_exact`'s reach."""

    def forward(self, y: Tensor) -> Tensor:
        return _CancellingTanh.apply(y)


class _PassedThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, y: Tensor) -> Tensor:
        return torch.sign(y)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class StraightThrough(nn.Module):
    """A sign whose slope is 1 by decree."""

    def forward(self, y: Tensor) -> Tensor:
        return _PassedThrough.apply(y)


def _system(*layers: nn.Module, loss: OutputLoss | None = None, gain: float = 1.0) -> NeuralSystem:
    """Layers between two dense ones of 3 inputs and 40 units, the first with weights made larger."""
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 40), *layers, nn.Linear(40, 1)))
    with torch.no_grad():
        model[0].weight.mul_(gain)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    t = torch.randint(2, (8,), generator=generator).double()
    return NeuralSystem(model, loss or Composition("sigmoid", "bce"), TensorDataset(x, t))


def _precise(system: NeuralSystem, most: int) -> PreciseNetwork | None:
    return precise_network(system, PerSampleGradients(system, precision=torch.float64).layers, most)


def test_reference_is_plain_back_propagation_through_six_layers() -> None:
    generator = torch.Generator().manual_seed(1)
    layers: list[nn.Module] = []
    for depth in range(6):
        linear = nn.Linear(5, 1 if depth == 5 else 5)
        with torch.no_grad():
            linear.weight.copy_(6 * torch.randn(linear.weight.shape, generator=generator))
            linear.bias.copy_(torch.randn(linear.bias.shape, generator=generator))
        layers += [linear, ActivationModule("tanh") if depth % 2 else nn.Tanh()]
    x, t = torch.randn(3, 5, generator=generator), torch.tensor([1.0, -1.0, 1.0])
    system = NeuralSystem(nn.Sequential(*layers[:-1]), Composition("tanh", "mse"), TensorDataset(x, t))
    network = _precise(system, 3)
    assert network is not None
    assert network.samples == 3
    every = {name: np.arange(value.numel()) for name, value in system.parameters.items()}
    found = network.log_gradients(x, t, every)
    weights = [layer.weight.detach().numpy() for layer in layers if isinstance(layer, nn.Linear)]
    biases = [layer.bias.detach().numpy() for layer in layers if isinstance(layer, nn.Linear)]
    deepest = 0.0
    for sample in range(3):
        expected = log_gradients(weights, biases, x[sample].numpy(), float(t[sample]), 250)
        for depth, pair in enumerate(expected):
            for name, value in zip(("weight", "bias"), pair, strict=True):
                ours = found[f"{2 * depth}.{name}"][sample]
                assert np.abs(ours - value.ravel()).max() < 1e-9
                deepest = min(deepest, float(value.min()))
    assert deepest < -150


def _value(form: Callable[[mp.mpf], mp.mpf], weights: list[mp.mpf], x: list[float]) -> list[mp.mpf]:
    """Outputs of a network 2-2-2 without biases, from plain definitions."""
    hidden = [form(weights[2 * i] * x[0] + weights[2 * i + 1] * x[1]) for i in range(2)]
    return [weights[4 + 2 * i] * hidden[0] + weights[5 + 2 * i] * hidden[1] for i in range(2)]


def _checked_by_differences(
    layer: nn.Module,
    form: Callable[[mp.mpf], mp.mpf],
    loss: OutputLoss | nn.Module,
    value: Callable[[list[mp.mpf]], mp.mpf],
    t: Tensor,
) -> None:
    """The reference's gradients are difference quotients of the loss, at 100 digits."""
    x = torch.tensor([[0.7, -1.9]], dtype=torch.float64)
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), layer, nn.Linear(2, 2, bias=False)))
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    numbers = torch.cat([part.detach().flatten() for part in model.parameters()]).tolist()
    network = _precise(system, 1)
    assert network is not None
    found = network.log_gradients(x, t, {"1.weight": np.arange(4), "3.weight": np.arange(4)})
    ours = np.concatenate([found["1.weight"][0], found["3.weight"][0]])
    with mp.workdps(100):
        weights = [mp.mpf(number) for number in numbers]
        for place in range(8):
            step = mp.mpf(10) ** -40

            def shifted(by: mp.mpf, place: int = place) -> mp.mpf:
                moved = [*weights[:place], weights[place] + by, *weights[place + 1 :]]
                return value(_value(form, moved, x[0].tolist()))

            slope = (shifted(step) - shifted(-step)) / (2 * step)
            assert ours[place] == pytest.approx(float(mp.log(abs(slope))), abs=1e-10)


def _softmax_entropy(weights: list[float]) -> Callable[[list[mp.mpf]], mp.mpf]:
    return lambda y: mp.fsum(-t * (n - mp.log(mp.fsum(mp.exp(m) for m in y))) for t, n in zip(weights, y, strict=True))


def _single(*targets: float) -> Tensor:
    return torch.tensor([targets], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "value", "t"),
    [
        (nn.CrossEntropyLoss(), _softmax_entropy([0, 1]), torch.tensor([1])),
        (nn.CrossEntropyLoss(), _softmax_entropy([0.25, 0.75]), _single(0.25, 0.75)),
        (nn.CrossEntropyLoss(), _softmax_entropy([1, 0]), _single(1, 0)),
        (
            nn.BCEWithLogitsLoss(),
            lambda y: (mp.log(1 + mp.exp(-y[0])) + mp.log(1 + mp.exp(y[1]))) / 2,
            _single(1, 0),
        ),
        (Composition("sigmoid", "bce"), lambda y: mp.log(1 + mp.exp(-y[0])) + mp.log(1 + mp.exp(y[1])), _single(1, -1)),
        (nn.MSELoss(), lambda y: ((y[0] - mp.mpf(0.3)) ** 2 + (y[1] + 2) ** 2) / 2, _single(0.3, -2)),
        (Composition("tanh", "mse"), lambda y: (mp.tanh(y[0]) + 1) ** 2 + (mp.tanh(y[1]) - 1) ** 2, _single(-1, 1)),
        (nn.HuberLoss(reduction="sum"), lambda y: abs(y[0] - 9) - mp.mpf(0.5) + (y[1]) ** 2 / 2, _single(9, 0)),
    ],
)
def test_reference_knows_the_losses(
    loss: OutputLoss | nn.Module, value: Callable[[list[mp.mpf]], mp.mpf], t: Tensor
) -> None:
    _checked_by_differences(nn.Tanh(), mp.tanh, loss, value, t)


@pytest.mark.parametrize(
    ("layer", "form"),
    [
        (nn.Sigmoid(), lambda y: 1 / (1 + mp.exp(-y))),
        (nn.Softsign(), lambda y: y / (1 + abs(y))),
        (ActivationModule("arctan"), lambda y: 2 * mp.atan(y) / mp.pi),
        (nn.LeakyReLU(0.3), lambda y: y if y > 0 else mp.mpf(0.3) * y),
        (nn.ELU(0.7), lambda y: y if y > 0 else mp.mpf(0.7) * (mp.exp(y) - 1)),
        (nn.SiLU(), lambda y: y / (1 + mp.exp(-y))),
        (nn.LogSigmoid(), lambda y: -mp.log(1 + mp.exp(-y))),
        (nn.GELU(), lambda y: y * mp.ncdf(y)),
        (
            nn.GELU(approximate="tanh"),
            lambda y: y / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (y + mp.mpf(0.044715) * y**3))),
        ),
        (Bump(), lambda y: 1 / mp.cosh(y) ** 2),
        (CancellingTanh(), mp.tanh),
    ],
)
def test_reference_knows_the_activations(layer: nn.Module, form: Callable[[mp.mpf], mp.mpf]) -> None:
    _checked_by_differences(
        layer, form, nn.MSELoss(reduction="sum"), lambda y: (y[0] - 3) ** 2 + (y[1] + 2) ** 2, _single(3, -2)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cancelling_activation_gets_a_floor_and_an_exact_one_none(dtype: torch.dtype) -> None:
    def saturated(layer: nn.Module) -> NeuralSystem:
        model = seeded(lambda: nn.Sequential(nn.Linear(1, 400), layer, nn.Linear(400, 1)))
        with torch.no_grad():
            model[0].weight.copy_(torch.linspace(0.1, 40, 400)[:, None])
            model[0].bias.zero_()
            model[2].weight.fill_(0.01)
            model[2].bias.zero_()
        x = torch.ones(4, 1, dtype=torch.float64)
        return NeuralSystem(model.to(dtype), Composition("identity", "mse"), TensorDataset(x, torch.zeros(4)))

    exact = measure(saturated(nn.Tanh()))
    assert (exact.log_floor, exact.floor_reference) == (None, ALL_EXACT)
    measured = measure(saturated(CancellingTanh()))
    assert measured.floor_reference == HIGH_PRECISION
    # 2 y * 0.01 / cosh(w)^2 for the biases of the first layer, y = 0.01 sum tanh(w).
    weight = saturated(nn.Tanh()).model[0].weight.detach().double().numpy()[:, 0]  # type: ignore[index]
    gain = float(torch.tensor(0.01, dtype=dtype))
    y = gain * np.tanh(weight).sum()
    true = math.log(2 * y * gain) - 2 * (weight + np.log1p(np.exp(-2 * weight)) - math.log(2))
    with np.errstate(divide="ignore"):
        formed = math.log(2 * y * gain) + np.log(1 - np.tanh(weight) ** 2)
    first_wrong = true[~(np.abs(formed - true) < 0.01)].max()
    assert measured.log_floor == pytest.approx(first_wrong, abs=1.5 * math.log(10))
    assert ((true > measured.log_floor) & ~(np.abs(formed - true) < 0.01)).sum() == 0


def test_value_that_cancels_gets_a_floor() -> None:
    # The slope of the bump is exact, but its value, with which the weights behind it fluctuate, is a difference.
    resolution = measured_resolution(PerSampleGradients(_system(Bump(), gain=30.0)))
    assert resolution.reference == HIGH_PRECISION
    # Rounding of 1e-16 makes gradients wrong by 1% that are a hundred times as large.
    assert resolution.log_floor == pytest.approx(math.log(1e-14), abs=1.5 * math.log(10))


def test_exact_pass_holds_against_high_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critlearn.fluctuations.floor.resolution.is_exact", lambda model: False)
    for layer in (nn.Tanh(), nn.Sigmoid(), ActivationModule("softsign"), nn.ReLU()):
        gradients = PerSampleGradients(_system(layer, gain=60.0))
        assert measured_resolution(gradients) == Resolution(None, HIGH_PRECISION)
        # In single precision what is below the range of its numbers is lost at most.
        single = measured_resolution(gradients.in_precision(torch.float32))
        assert single.reference == HIGH_PRECISION
        assert single.log_floor is None or single.log_floor < math.log(torch.finfo(torch.float32).tiny)


def test_reference_is_double_precision_where_there_is_no_formula() -> None:
    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(0.5))

        def forward(self, y: Tensor) -> Tensor:
            return self.gain * torch.tanh(y)

    class Mine(OutputLoss):
        name, class_targets = "mine", False
        single = Composition("sigmoid", "bce")

        def value(self, y: Tensor, t: Tensor) -> Tensor:
            return self.single.value(y, t)

        def log_output_error(self, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return self.single.log_output_error(y, t)

        def output_error(self, y: Tensor, t: Tensor) -> Tensor:
            return self.single.output_error(y, t)

    for layers in ((StraightThrough(),), (nn.Softplus(beta=3),), (nn.LayerNorm(40),), (nn.SiLU(), Gain())):
        with pytest.warns() if isinstance(layers[-1], Gain) else _nothing():
            gradients = PerSampleGradients(_system(*layers))
        assert measured_resolution(gradients) == Resolution(None, DOUBLE)
    assert measured_resolution(PerSampleGradients(_system(nn.SiLU(), loss=Mine()))).reference == DOUBLE
    assert _precise(_system(nn.SiLU()), 4) is not None


class Whole(nn.Module):
    """A network that is passed whole, as it is no chain."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 0 * x.sum(dim=1, keepdim=True)


def _whole(system: NeuralSystem) -> NeuralSystem:
    return NeuralSystem(Whole(system.model), system.loss, system.dataset)


def _own_resolution(system: NeuralSystem) -> Resolution:
    return measured_resolution(PerSampleGradients(_whole(system), quiet=True))


def test_underflow_of_single_precision_is_no_rounding() -> None:
    # Exact slopes down to exp(-600), which single precision has not: an exact sequence of the same layers is the truth.
    exact = _system(nn.Tanh(), gain=80.0)
    found, true = measure(_whole(exact), exact=True), measure(exact, exact=True)
    assert true["all"].log_range is not None
    assert found["all"].zeros == true["all"].zeros
    assert np.abs(found["all"].counts.cumsum() - true["all"].counts.cumsum()).max() <= 2
    lowest = true["all"].log_range[0]
    assert lowest < math.log(torch.finfo(torch.float32).tiny)
    assert found.floor_reference == DOUBLE
    assert found.log_floor is None or found.log_floor < lowest


def test_rounding_and_underflow_of_double_precision_are_seen_without_a_formula() -> None:
    cancelling = _system(CancellingTanh(), gain=60.0)
    reference = measured_resolution(PerSampleGradients(cancelling)).log_floor
    assert reference is not None
    assert _own_resolution(cancelling).log_floor == pytest.approx(reference, abs=3 * math.log(10))
    # Slopes down to exp(-4000).
    floor = _own_resolution(_system(nn.Softplus(), gain=2000.0)).log_floor
    assert floor is not None
    # Below 1e-308 of a sample's own error, and the errors of saturated outputs are small.
    assert -1100 < floor < -300


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_with_tensors_of_their_own_are_measured_in_their_precision(dtype: torch.dtype) -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 1)
            self.mix = torch.linspace(-1, 1, 16, dtype=dtype).reshape(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)) @ self.mix)

    model, data = seeded(Mixing).to(dtype), classes((7, 3))
    x, t = data.x.to(dtype), data.t.to(dtype)
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    single = dtype == torch.float32
    with pytest.warns(UserWarning, match="single precision") if single else _nothing():
        measured = measure(system, exact=True, groups=1)
    assert measured.floor_reference == (SINGLE if single else DOUBLE)
    for name, gradients in loop_of_autograd(model, tanh_squared, x, t).items():
        logs = np.sort(gradients.double().abs().log().numpy().ravel())
        edges = np.repeat(measured[name].edges[:-1], measured[name].counts)
        assert np.abs(edges - logs).max() < 0.02
    if single:
        with pytest.raises(InvalidInputError, match="cannot be passed in float64"):
            measure(system, precision=torch.float64)


class _nothing:  # noqa: N801 - a context that does nothing, in the place of `pytest.warns`
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_cost_bounds_the_samples_and_the_size() -> None:
    def samples(units: int, layer: nn.Module) -> int | None:
        model = nn.Sequential(nn.Linear(100, units), layer, nn.Linear(units, 1))
        system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(torch.zeros(9, 100), torch.ones(9)))
        network = _precise(system, 4)
        return None if network is None else network.samples

    assert [samples(units, nn.Tanh()) for units in (10, 400, 900, 2000)] == [4, 2, 1, None]
    # Formulas take longer than the catalogue's logarithms, and error functions longer still.
    assert [samples(units, nn.SiLU()) for units in (10, 400, 900, 2000)] == [4, 1, None, None]
    assert [samples(units, nn.GELU()) for units in (10, 400, 900, 2000)] == [4, None, None, None]


def test_shared_weights_and_sequences_have_no_reference() -> None:
    layer = nn.Linear(3, 3)
    x, t = torch.ones(4, 3), torch.ones(4)
    shared = NeuralSystem(
        nn.Sequential(layer, nn.SiLU(), layer, nn.Linear(3, 1)), Composition("sigmoid", "bce"), TensorDataset(x, t)
    )
    assert _precise(shared, 4) is None
    sequence = nn.Sequential(nn.Linear(3, 2), nn.SiLU(), nn.Flatten(), nn.Linear(4, 1))
    places = NeuralSystem(sequence, Composition("sigmoid", "bce"), TensorDataset(torch.ones(4, 2, 3), t))
    assert _precise(places, 4) is None


def test_merged_floor_has_the_weaker_reference() -> None:
    measured = measure(_system(nn.Tanh()))
    weaker = replace(measured, floor_reference=DOUBLE)
    assert measured.merge(weaker).floor_reference == DOUBLE
    assert weaker.merge(replace(measured, floor_reference=NOT_RECORDED)).floor_reference == NOT_RECORDED
    assert measured.merge(measured).to_dict()["all"]["floor_reference"] == ALL_EXACT
    with pytest.raises(InvalidInputError, match='unknown reference of the floor "60 digit"; did you mean "60 digits"'):
        replace(measured, floor_reference="60 digit")
