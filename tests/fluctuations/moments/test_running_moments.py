"""Moments of entries and along directions, from the layers' inputs and errors, against written-out gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample import outer_products, protocol
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import RunningMoments, running_moments
from critlearn.network import NeuralSystem
from reference.plain_gradients import plain_gradients

SAMPLES = 15


def _dense() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), torch.randn(SAMPLES, 6, dtype=torch.float64)


def _convolution() -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(nn.Conv1d(2, 4, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    return model, torch.randn(SAMPLES, 2, 3, dtype=torch.float64)


def _table() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)), torch.randint(9, (SAMPLES, 2))


@pytest.mark.parametrize("case", [_dense, _convolution, _table])
@pytest.mark.parametrize("written_out", [True, False])
def test_moments(case, written_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    if not written_out:
        for module in (outer_products, protocol):
            monkeypatch.setattr(module, "WRITTEN_OUT", 0)
    torch.manual_seed(1)
    model, x = case()
    model = model.double()
    t = torch.randint(3, (SAMPLES,))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    generator = torch.Generator().manual_seed(2)
    directions = {
        name: torch.randn(value.numel(), generator=generator, dtype=torch.float64)
        for name, value in system.parameters.items()
        if value.dim() >= 2
    }
    gathered = running_moments(PerSampleGradients(system), system.boundary(4), directions)
    assert gathered.along.keys() == directions.keys()
    for name, values in plain_gradients(model, nn.CrossEntropyLoss(), x, t).items():
        # Sums of one sign over products that are not written out are in single precision.
        assert_moments(gathered.entries[name], -values, 1e-7 if written_out else 2e-6)
        if name in directions:
            assert_moments(gathered.along[name], -values @ directions[name].numpy()[:, None], 1e-9)


def assert_moments(found: RunningMoments, changes: np.ndarray, rounding: float) -> None:
    """Moments are those of changes that are written out (sample, entry)."""
    unit = np.exp(found.log_unit)
    np.testing.assert_allclose(found.drift * unit, changes.mean(axis=0), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.fluctuation * unit, changes.std(axis=0), rtol=rounding, atol=1e-15)
    np.testing.assert_allclose(found.size * unit, np.abs(changes).mean(axis=0), rtol=rounding, atol=0)
    assert np.array_equal(found.moments.movers, (changes != 0).sum(axis=0))


@pytest.mark.parametrize("written_out", [True, False])
def test_squares_do_not_underflow(written_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not written_out:
        for module in (outer_products, protocol):
            monkeypatch.setattr(module, "WRITTEN_OUT", 0)
    errors = torch.tensor([[1.0, 1e-200], [2.0, 3e-200]], dtype=torch.float64)[:, None, None]
    inputs = torch.tensor([[1.0], [1.0]], dtype=torch.float64)[:, None, None]
    sums = OuterProducts(errors, inputs).moments(torch.ones(2, dtype=torch.float64))
    deviation = (sums.squares / 2).sqrt() * sums.peak
    np.testing.assert_allclose(deviation, [0.5, 1e-200], rtol=1e-12 if written_out else 1e-6)


@pytest.mark.parametrize("written_out", [True, False])
def test_a_unit_that_only_samples_of_small_errors_reach_has_a_spread(
    written_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third sample has the largest error, but the second input is zero for it."""
    if not written_out:
        for module in (outer_products, protocol):
            monkeypatch.setattr(module, "WRITTEN_OUT", 0)
    errors = torch.tensor([1e-30, 3e-30, 1.0], dtype=torch.float64)[:, None, None, None]
    inputs = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)[:, None, None]
    found = OuterProducts(errors, inputs).moments(torch.ones(3, dtype=torch.float64))
    spread = float((found.squares[1] / 3).sqrt() * found.peak[1])
    assert spread == pytest.approx(float(np.std([1e-30, 3e-30, 0.0])), rel=1e-6)
    assert float(found.size[1] * found.peak[1]) == pytest.approx(4e-30 / 3, rel=1e-6)
    assert found.movers.tolist() == [3, 2]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_sums_of_a_network_of_single_precision(activation: type[nn.Module]) -> None:
    """Passed in single precision, against written-out gradients in double precision of the same network."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5), activation(), nn.Linear(5, 3))
    x, t = torch.randn(200, 6).relu(), torch.randint(3, (200,))
    gradients = PerSampleGradients(NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t)), for_sums=True)
    assert gradients.mixed
    directions = {
        name: value.detach().double().flatten() for name, value in model.named_parameters() if value.dim() >= 2
    }
    found = running_moments(gradients, gradients.system.boundary(64), directions)
    for name, values in plain_gradients(model.double(), nn.CrossEntropyLoss(), x.double(), t).items():
        changes = [(found.entries[name], -values)]
        if name in directions:
            changes.append((found.along[name], -values @ directions[name].numpy()[:, None]))
        for moments, exact in changes:
            unit, spread = np.exp(moments.log_unit), exact.std(axis=0)
            # A mean may cancel: its error is measured in units of the fluctuation.
            assert (np.abs(moments.drift.numpy() * unit - exact.mean(axis=0)) <= 2e-6 * spread).all()
            np.testing.assert_allclose(moments.fluctuation * unit, spread, rtol=1e-5)
            np.testing.assert_allclose(moments.size * unit, np.abs(exact).mean(axis=0), rtol=1e-5)
        assert np.array_equal(found.entries[name].moments.movers, (values != 0).sum(axis=0))


@pytest.mark.parametrize("unit", [1e-10, 1.0, 3000.0, 1e20])
def test_single_precision_sums_have_the_units_of_the_inputs(unit: float) -> None:
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(50, 1, 1, 4, generator=generator)
    inputs = torch.randn(50, 1, 1, 3, generator=generator) * unit
    found = OuterProducts(errors, inputs).moments(torch.ones(50, dtype=torch.float64))
    exact = (errors.double().transpose(2, 3) * inputs.double()).reshape(50, 12).numpy()
    np.testing.assert_allclose(found.mean * found.peak, exact.mean(axis=0), atol=1e-6 * unit)
    np.testing.assert_allclose((found.squares / 50).sqrt() * found.peak, exact.std(axis=0), rtol=1e-5)


def test_single_precision_gives_way_where_it_does_not_hold_the_squares() -> None:
    """Errors of 1e-19 beside those of 1: their squares are below its smallest normal number."""
    errors = torch.tensor([[1.0, 1e-19], [2.0, 3e-19], [1.0, 0.0]])[:, None, None]
    inputs = torch.tensor([[1.0], [1.0], [2.0]])[:, None, None]
    found = OuterProducts(errors, inputs).moments(torch.ones(3, dtype=torch.float64))
    np.testing.assert_allclose(
        (found.squares / 3).sqrt() * found.peak, [2**0.5 / 3, np.std([1, 3, 0]) * 1e-19], rtol=1e-6
    )
    assert found.movers.tolist() == [3, 2]
