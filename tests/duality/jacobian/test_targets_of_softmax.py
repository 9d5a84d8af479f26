"""Jacobians and inverses for smoothed and weighted targets, against torch's own gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import DualityMap, NeuralSystem
from critlearn.duality import InverseStatus
from critlearn.errors import InvalidInputError

WEIGHTS = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"), "probabilities"),
    "weighted": (nn.CrossEntropyLoss(weight=WEIGHTS, reduction="sum"), "probabilities"),
    "both": (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.2, reduction="sum"), "probabilities"),
    "divergence": (nn.KLDivLoss(reduction="sum"), "probabilities"),
    "divergence of logarithms": (nn.KLDivLoss(reduction="sum", log_target=True), "logarithms"),
    "smoothed classes": (nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"), "classes"),
    "weighted classes": (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.2, reduction="sum"), "classes"),
}


def case(name: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(0)
    layers = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), *([nn.LogSoftmax(dim=1)] if "divergence" in name else [])]
    x = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    probabilities = (torch.randn(30, 3, generator=generator, dtype=torch.float64)).softmax(dim=1)
    kind = LOSSES[name][1]
    t = {
        "classes": probabilities.argmax(dim=1),
        "logarithms": probabilities.log(),
    }.get(kind, probabilities)
    return nn.Sequential(*layers).double(), x, t


def gradient(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    parts = torch.autograd.grad(loss(model(x[None]), t[None]), list(model.parameters()))
    return -torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("name", LOSSES)
def test_jacobians_are_central_differences(name: str) -> None:
    model, x, t = case(name)
    loss, kind = LOSSES[name]
    phi = DualityMap(NeuralSystem(model, loss, TensorDataset(x, t)))
    step, columns = 1e-6, []
    for j in range(2):
        moved = torch.zeros(2, dtype=torch.float64)
        moved[j] = step
        columns.append(
            (gradient(model, loss, x[0] + moved, t[0]) - gradient(model, loss, x[0] - moved, t[0])) / (2 * step)
        )
    with_targets = kind in ("probabilities", "logarithms")
    for j in range(3 if with_targets else 0):
        moved = torch.zeros(3, dtype=torch.float64)
        moved[j] = step
        columns.append(
            (gradient(model, loss, x[0], t[0] + moved) - gradient(model, loss, x[0], t[0] - moved)) / (2 * step)
        )
    expected = torch.stack(columns, dim=1)
    jacobian = phi.jacobian(x[0], t[0])
    torch.testing.assert_close(jacobian.dense(), expected, rtol=0, atol=1e-8 * float(expected.abs().max()))
    singular = torch.linalg.svdvals(expected)
    torch.testing.assert_close(
        jacobian.singular_values()[: len(singular)], singular, rtol=0, atol=1e-8 * float(singular[0])
    )


def changes(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Changes by torch's own learning pass, in units of the learning rate."""
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    parts = torch.autograd.grad(loss(model(x[None]), t[None]), list(trained.values()))
    return dict(zip(trained, (-part for part in parts), strict=True))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("at", [3, 4])
def test_samples_come_back_from_torchs_own_changes(name: str, at: int) -> None:
    model, x, t = case(name)
    loss = LOSSES[name][0]
    found = DualityMap(NeuralSystem(model, loss, TensorDataset(x, t))).invert(changes(model, loss, x[at], t[at]))
    assert found.status is InverseStatus.FOUND
    assert found.unique
    torch.testing.assert_close(found.x, x[at], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.t, t[at], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["both", "divergence of logarithms"])
def test_targets_that_a_frozen_layer_hides_have_the_same_changes(name: str) -> None:
    _, x, t = case(name)
    loss, last = LOSSES[name][0], [nn.LogSoftmax(dim=1)] if "divergence" in name else []
    model = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 3), *last).double()
    model[2].requires_grad_(False)
    change = changes(model, loss, x[3], t[3])
    found = DualityMap(NeuralSystem(model, loss, TensorDataset(x, t))).invert(change)
    assert found.status is InverseStatus.FOUND
    assert not found.unique
    torch.testing.assert_close(found.x, x[3], rtol=1e-9, atol=1e-12)
    for key, value in changes(model, loss, found.x, found.t).items():
        torch.testing.assert_close(value, change[key], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=1.0), nn.CrossEntropyLoss(weight=0 * WEIGHTS)])
def test_targets_that_change_no_error_have_no_inverse(loss: nn.Module) -> None:
    model, x, t = case("smoothed")
    change = {key: torch.ones_like(value) for key, value in model.named_parameters()}
    with pytest.raises(InvalidInputError, match="no inverse of"):
        DualityMap(NeuralSystem(model, loss, TensorDataset(x, t))).invert(change)
