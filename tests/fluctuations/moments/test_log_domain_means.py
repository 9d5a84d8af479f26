"""Means of mini-batches and gradients without their mean keep the deep tail, and sums that cancel are zeros."""

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations import Fluctuations, Quantities, measure
from critlearn.network import NeuralSystem
from reference.networks import seeded

SAMPLES = 8
SMALLEST = np.log(np.finfo(np.float64).tiny)


def _saturated() -> tuple[nn.Module, Tensor, Tensor]:
    """Tanh network whose fluctuations reach from below 1e-400 to 1."""

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for width, following in ((5, 6), (6, 6), (6, 6), (6, 3)):
            layers += [nn.Linear(width, following), nn.Tanh()]
        return nn.Sequential(*layers[:-1])

    model = seeded(make)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(60 * torch.randn(value.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(SAMPLES, 5, generator=generator, dtype=torch.float64)
    return model, x, torch.randint(3, (SAMPLES,), generator=generator)


def _measured(x: Tensor, t: Tensor, model: nn.Module, **settings: int | bool) -> Fluctuations:
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    return measure(system, exact=True, groups=1, quantities=Quantities(series=10_000, **settings))


def test_pairs_of_equal_samples_have_the_tail_of_one() -> None:
    model, x, t = _saturated()
    plain = _measured(x, t, model)
    pairs = _measured(x.repeat_interleave(2, dim=0), t.repeat_interleave(2), model, mini_batch=2)
    lowest = min(values[np.isfinite(values)].min() for values in plain.series.log_size.values())
    assert lowest < 1.3 * SMALLEST
    for name, sizes in plain.series.log_size.items():
        assert np.allclose(pairs.series.log_size[name], sizes, rtol=1e-13, atol=1e-10)
        assert np.array_equal(pairs.series.negative[name], plain.series.negative[name])


@pytest.mark.parametrize("mini_batch", [1, 2])
def test_gradients_without_their_mean_are_those_of_many_digits(mini_batch: int) -> None:
    model, x, t = _saturated()
    # The same input with different targets: where the gradient of one is small, so is that of the others.
    samples = 4 * mini_batch
    x, t = x[:1].repeat(samples, 1), torch.arange(samples) % 3
    plain = _measured(x, t, model)
    found = _measured(x, t, model, mini_batch=mini_batch, without_drift=True)
    deep = 0
    with mp.workdps(1500):
        for name, sizes in plain.series.log_size.items():
            for entry in range(sizes.shape[1]):
                signs = np.where(plain.series.negative[name][:, entry], -1, 1)
                single = [int(s) * mp.exp(mp.mpf(size)) for s, size in zip(signs, sizes[:, entry], strict=True)]
                means = [mp.fsum(single[at : at + mini_batch]) / mini_batch for at in range(0, samples, mini_batch)]
                drift = mp.fsum(single) / samples
                largest = max(abs(value) for value in single)
                for at, mean in enumerate(means):
                    ours = found.series.log_size[name][at, entry]
                    if abs(mean - drift) < 1e-12 * largest:
                        assert ours < float(mp.log(largest)) - 25
                        continue
                    assert ours == pytest.approx(float(mp.log(abs(mean - drift))), rel=1e-12, abs=1e-3)
                    deep += ours < SMALLEST
    assert deep > 10


@pytest.mark.parametrize("without_drift", [False, True])
def test_what_cancels_to_within_rounding_is_zero(without_drift: bool) -> None:
    generator = torch.Generator().manual_seed(6)
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 1, bias=False)))
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    error = torch.randn(20, 1, generator=generator, dtype=torch.float64)
    if without_drift:
        # The same sample again and again.
        x, t = x[:1].repeat(20, 1), error[:1].repeat(20, 1)
    else:
        x = x.repeat_interleave(2, dim=0)
        t = model(x).detach() + torch.stack([error, -error], dim=1).reshape(40, 1)
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t))
    quantities = Quantities(without_drift=True) if without_drift else Quantities(mini_batch=2)
    found = measure(system, quantities=quantities)
    assert found["all"].zeros == found["all"].count == 60
