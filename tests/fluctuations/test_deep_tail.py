"""Fluctuations of a deep, saturated network stored in single precision, against back-propagation at high precision."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.fluctuations import Quantities, measure
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem
from critlearn.numerics.log_sketch import BIN_WIDTH
from reference.deep_tanh_oracle import log_gradients

SAMPLES, DEPTH, WIDTH = 20, 6, 5


def _network(gain: float, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for depth in range(DEPTH):
        linear = nn.Linear(WIDTH, 1 if depth == DEPTH - 1 else WIDTH)
        with torch.no_grad():
            linear.weight.copy_(gain * torch.randn(linear.weight.shape, generator=generator))
            linear.bias.copy_(torch.randn(linear.bias.shape, generator=generator))
        layers += [linear, nn.Tanh()]
    # The output activation belongs to the composition.
    return nn.Sequential(*layers[:-1])


def _logs(system: NeuralSystem) -> dict[str, np.ndarray]:
    """``ln|gradient|`` of all samples, from logarithms alone where the engine has them."""
    x, t = next(system.boundary(SAMPLES))
    found = {}
    for item in PerSampleGradients(system).batch(x, t):
        logs, _ = item.grad_sample.entries().logs()
        found[item.name] = (logs + item.log_scale[:, None]).reshape(len(x), *system.parameters[item.name].shape).numpy()
    return found


@pytest.mark.parametrize(
    ("gain", "seed", "samples", "digits", "span"),
    [(3.0, 1, 20, 200, (-60.0, -0.5)), (60.0, 2, 3, 1200, (-400.0, -400.0))],
)
def test_six_layers_agree_with_high_precision(
    gain: float, seed: int, samples: int, digits: int, span: tuple[float, float]
) -> None:
    model = _network(gain, seed)
    assert model[0].weight.dtype == torch.float32
    generator = torch.Generator().manual_seed(seed + 10)
    # Inputs of very different sizes, so that some samples saturate every unit and others none.
    x = torch.randn(SAMPLES, WIDTH, generator=generator) * torch.logspace(-3, 0.7, SAMPLES)[:, None]
    t = torch.where(torch.rand(SAMPLES, generator=generator) < 0.5, -1.0, 1.0)
    ours = _logs(NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t)))
    layers = [module for module in model if isinstance(module, nn.Linear)]
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    seen = []
    for sample in range(SAMPLES - samples, SAMPLES):
        reference = log_gradients(weights, biases, x[sample].numpy(), float(t[sample]), digits)
        for depth, (weight, bias) in enumerate(reference):
            for name, expected in ((f"{2 * depth}.weight", weight), (f"{2 * depth}.bias", bias)):
                # A difference of logarithms is a relative difference: also where the value is no float.
                assert np.abs(ours[name][sample] - expected).max() < 1e-5
                seen.append(expected.ravel())
    logs = np.concatenate(seen) / math.log(10)
    assert logs.min() < span[0]
    assert logs.max() > span[1]


def test_units_far_apart_are_kept_through_sparse_weights() -> None:
    """Unit 1 of the middle layer feeds only a unit whose error is 1e-500 of the other's: no float holds both."""
    model = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        for layer in (model[0], model[2], model[4]):
            layer.bias.zero_()
        model[0].weight.copy_(torch.tensor([[0.3], [0.4]], dtype=torch.float64))
        model[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2000.0]]))
        model[4].weight.copy_(torch.tensor([[1.0, 1.0]]))
    x, t = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    (item,) = [item for item in PerSampleGradients(system).batch(x, t) if item.name == "0.bias"]
    logs = item.grad_sample.log_size[0] + item.log_scale[0]
    hidden = 2000 * math.tanh(0.4)
    log_slope = math.log(4) - 2 * hidden
    output = math.tanh(0.3)
    y = math.tanh(output) + 1.0
    error = math.log(2 * (1 - math.tanh(y)) * (1 - math.tanh(y) ** 2))
    expected = error + log_slope + math.log(2000) + math.log(1 - math.tanh(0.4) ** 2)
    assert logs[1].item() == pytest.approx(expected, abs=1e-9)
    assert logs[1].item() < -1400
    quantities = Quantities(units=("0.bias", "0.weight"), series={"0.bias": (0, 1), "0.weight": (1,), "2.weight": (3,)})
    measured = measure(system, quantities=quantities, exact=True)
    series = measured.series
    assert series.log_size["0.bias"][0, 1] == pytest.approx(expected, abs=1e-9)
    # The input is 1, and that of the middle layer's unit 1 is tanh(0.4).
    assert series.log_size["0.weight"][0, 0] == pytest.approx(expected, abs=1e-9)
    assert series.log_size["2.weight"][0, 0] == pytest.approx(error + log_slope + math.log(math.tanh(0.4)), abs=1e-9)
    # All weights are positive and the output is too small: every change is an increase.
    assert not any(signs.any() for signs in series.negative.values())
    for name in ("0.bias[1]", "0.weight[1]"):
        low, high = measured[name].log_range
        assert low <= expected < high <= low + 2 * BIN_WIDTH


def test_series_of_six_layers_agree_with_high_precision() -> None:
    """Some changes of one layer and sample are 1e-400 of the largest: no common unit holds both."""
    model = _network(400.0, 2)
    x = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(12))
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, torch.tensor([-1.0])))
    every = {name: tuple(range(value.numel())) for name, value in system.parameters.items()}
    series = measure(system, quantities=Quantities(series=every)).series
    layers = [module for module in model if isinstance(module, nn.Linear)]
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    spans = []
    for depth, (weight, bias) in enumerate(log_gradients(weights, biases, x[0].numpy(), -1.0, 4000)):
        for name, expected in ((f"{2 * depth}.weight", weight), (f"{2 * depth}.bias", bias)):
            assert np.abs(series.log_size[name][0] - expected.ravel()).max() < 1e-5
            spans.append(np.ptp(expected))
    assert max(spans) > 400 * math.log(10)
