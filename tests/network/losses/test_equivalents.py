"""Torch's losses and their tail-exact equivalents: equal where torch is exact, right where it is not."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Averaged, Composition, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network import NeuralSystem

SAMPLES, OUTPUTS = 6, 3


def _targets(kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if kind == "class":
        return torch.randint(OUTPUTS, (SAMPLES,), generator=generator)
    if kind == "real":
        return 2 * torch.randn(SAMPLES, OUTPUTS, dtype=torch.float64, generator=generator)
    bits = torch.randint(2, (SAMPLES, OUTPUTS), generator=generator).double()
    return bits if kind == "bits" else 2 * bits - 1


def _inputs() -> Tensor:
    return torch.randn(SAMPLES, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


CASES = [
    (nn.CrossEntropyLoss(), None, "class"),
    (nn.BCEWithLogitsLoss(), None, "bits"),
    (nn.BCEWithLogitsLoss(reduction="sum"), None, "bits"),
    (nn.MultiLabelSoftMarginLoss(), None, "bits"),
    (nn.MultiLabelSoftMarginLoss(reduction="sum"), None, "bits"),
    (nn.MultiLabelSoftMarginLoss(reduction="none"), None, "bits"),
    (nn.SoftMarginLoss(), None, "signs"),
    (nn.MSELoss(), None, "real"),
    (nn.MSELoss(reduction="sum"), None, "real"),
    (nn.L1Loss(), None, "real"),
    (nn.HuberLoss(delta=0.7), None, "real"),
    (nn.SmoothL1Loss(beta=0.4), None, "real"),
    (nn.MSELoss(), nn.Tanh(), "signs"),
    (nn.MSELoss(), nn.Sigmoid(), "bits"),
    (nn.MSELoss(), nn.Tanh(), "real"),
    (nn.BCELoss(), nn.Sigmoid(), "bits"),
    (nn.L1Loss(), nn.Softsign(), "signs"),
]


@pytest.mark.parametrize(("loss", "last", "kind"), CASES)
def test_gradients_are_those_of_torch_where_torch_is_exact(loss: nn.Module, last: nn.Module | None, kind: str) -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(4, OUTPUTS), *([] if last is None else [last])).double()
    x, t = _inputs(), _targets(kind)
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    assert list(system.parameters) == ["0.weight", "0.bias"]
    found = {item.name: item for item in PerSampleGradients(system).batch(x, t)}
    for sample in range(SAMPLES):
        model.zero_grad()
        loss(model(x[sample : sample + 1]), t[sample : sample + 1]).sum().backward()
        for name, value in model.named_parameters():
            item = found[name]
            ours = item.grad_sample.dense()[sample] * item.log_scale[sample].exp()
            torch.testing.assert_close(ours, value.grad.flatten(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("loss", "last", "target", "expected"),
    [
        (nn.BCEWithLogitsLoss(), None, 1.0, -math.exp(-50)),
        (nn.BCELoss(), nn.Sigmoid(), 1.0, -math.exp(-50)),
        # 2 (tanh y - 1) sech^2 y = -16 exp(-4 y)
        (nn.MSELoss(), nn.Tanh(), 1.0, -16 * math.exp(-200)),
        (nn.SoftMarginLoss(), None, 1.0, -math.exp(-50)),
    ],
)
def test_errors_in_the_tail_where_torch_gives_zero(
    loss: nn.Module, last: nn.Module | None, target: float, expected: float
) -> None:
    model = nn.Sequential(nn.Linear(1, 1), *([] if last is None else [last]))
    with torch.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.fill_(50.0)
    x, t = torch.ones(2, 1), torch.full((2, 1), target)
    loss(model(x), t).backward()
    assert abs(model[0].bias.grad.item()) < abs(expected) / 2 or last is None
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    (item,) = (item for item in PerSampleGradients(system).batch(x, t) if item.name == "0.bias")
    ours = item.grad_sample.dense()[0, 0] * item.log_scale[0].exp()
    assert ours.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("target", [0.0, 0.5])
def test_a_soft_margin_takes_signs_only(target: float) -> None:
    t = _targets("signs")
    t[4, 1] = target
    with pytest.raises(InvalidInputError, match=f"classes -1 and \\+1; got {target:g}"):
        NeuralSystem(nn.Linear(4, 3).double(), nn.SoftMarginLoss(), TensorDataset(_inputs(), t))


@pytest.mark.parametrize("last", [nn.Tanh(), nn.Softsign()])
@pytest.mark.parametrize("kind", ["bits", "signs"])
def test_cross_entropy_of_what_is_no_probability_is_refused(last: nn.Module, kind: str) -> None:
    model = nn.Sequential(nn.Linear(4, 3), last).double()
    with pytest.raises(InvalidInputError, match="BCELoss behind a last Sigmoid"):
        NeuralSystem(model, nn.BCELoss(), TensorDataset(_inputs(), _targets(kind)))


def test_what_torch_losses_become() -> None:
    data = TensorDataset(_inputs(), _targets("class"))
    assert NeuralSystem(nn.Linear(4, 3).double(), nn.CrossEntropyLoss(), data).loss == SoftmaxCrossEntropy()
    real = TensorDataset(_inputs(), _targets("real"))
    loss = NeuralSystem(nn.Linear(4, 3).double(), nn.MSELoss(), real).loss
    assert loss == Averaged(Composition("identity", "mse"))
