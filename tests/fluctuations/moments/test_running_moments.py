"""Drift and fluctuation from the layers' inputs and errors, against those of written-out gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample import outer_products, protocol
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.fluctuations.moments.running_moments import running_moments
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
    found = running_moments(PerSampleGradients(system), system.boundary(4))
    for name, values in plain_gradients(model, nn.CrossEntropyLoss(), x, t).items():
        unit = np.exp(found[name].log_unit)
        np.testing.assert_allclose(found[name].drift * unit, -values.mean(axis=0), rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(found[name].fluctuation * unit, values.std(axis=0), rtol=1e-7, atol=1e-15)
        assert np.array_equal(found[name].moments.moved, (values != 0).any(axis=0))


@pytest.mark.parametrize("written_out", [True, False])
def test_squares_do_not_underflow(written_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not written_out:
        for module in (outer_products, protocol):
            monkeypatch.setattr(module, "WRITTEN_OUT", 0)
    errors = torch.tensor([[1.0, 1e-200], [2.0, 3e-200]], dtype=torch.float64)[:, None, None]
    inputs = torch.tensor([[1.0], [1.0]], dtype=torch.float64)[:, None, None]
    sums = OuterProducts(errors, inputs).moments(torch.ones(2, dtype=torch.float64))
    deviation = (sums.squares / 2).sqrt() * sums.peak
    np.testing.assert_allclose(deviation, [0.5, 1e-200], rtol=1e-12)
