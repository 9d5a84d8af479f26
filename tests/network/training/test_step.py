"""A step gives the mean loss and the mean gradient of plain formulas and of the exact learning pass."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from critlearn.compositions import ACTIVATIONS, Averaged, Composition, OutputLoss
from critlearn.network import ActivationModule, NeuralSystem, feed_forward
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.training.step import TrainingStep

SAMPLES = 24


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    # A dead pixel: pre-activations of exactly 0 in a layer without biases.
    x[0] = 0.0
    return x.to(dtype)


def signs(outputs: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (SAMPLES, outputs), generator=generator).double() * 2 - 1


def step_of(model: nn.Module, loss: OutputLoss | nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Mean loss and gradients of one step."""
    system = NeuralSystem(model, loss, TensorDataset(x, t))
    system.model.zero_grad()
    value = TrainingStep(system)(*(system.tensors() or ()))
    assert not value.requires_grad
    return value, gradients(model)


def gradients(model: nn.Module) -> list[Tensor]:
    return [value.grad.clone() for value in model.parameters() if value.grad is not None]


def plain(model: nn.Module, loss: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Mean of a plain formula, and its gradient by autograd."""
    model.zero_grad()
    value = loss(model(x)).mean()
    value.backward()
    return value.detach(), gradients(model)


def exact(model: nn.Module, loss: OutputLoss, x: Tensor, t: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The exact learning pass: activations with exact derivatives, output errors by logarithms."""
    model.zero_grad()
    y = model(x)
    y.backward(loss.output_error(y.detach(), t) / t.numel())
    return loss.value(y.detach(), t).mean(), gradients(model)


def assert_same(found: tuple[Tensor, list[Tensor]], expected: tuple[Tensor, list[Tensor]], to: float = 1e-10) -> None:
    torch.testing.assert_close(found[0].double(), expected[0].double(), rtol=to, atol=0)
    assert len(found[1]) == len(expected[1]) > 0
    for one, other in zip(found[1], expected[1], strict=True):
        assert float((one - other).norm()) <= to * float(other.norm())


FORMULAS: list[tuple[OutputLoss | nn.Module, Callable[[Tensor, Tensor], Tensor]]] = [
    (Composition("sigmoid", "bce"), lambda y, t: functional.softplus(-t * y)),
    (Composition("tanh", "bce"), lambda y, t: functional.softplus(-2 * t * y)),
    (Composition("sigmoid", "mse"), lambda y, t: (torch.sigmoid(y) - (t + 1) / 2) ** 2),
    (Composition("tanh", "mse"), lambda y, t: (torch.tanh(y) - t) ** 2),
    (Composition("softsign", "mae"), lambda y, t: (y / (1 + y.abs()) - t).abs()),
    (Composition("arctan", "bce"), lambda y, t: -torch.log((1 + t * torch.atan(y) * 2 / torch.pi) / 2)),
    (Composition("identity", "mse"), lambda y, t: (y - t) ** 2),
    (Composition("erf", "cauchy"), lambda y, t: torch.log1p((torch.erf(y) - t) ** 2) / 2),
    (Averaged(Composition("tanh", "mse")), lambda y, t: (torch.tanh(y) - t) ** 2 / y.shape[1]),
    (nn.HuberLoss(delta=0.5), lambda y, t: functional.huber_loss(y, t, delta=0.5, reduction="none") / y.shape[1]),
]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("loss", "formula"), FORMULAS, ids=lambda one: getattr(one, "name", ""))
def test_mean_and_gradient_are_those_of_the_plain_formula(
    loss: OutputLoss | nn.Module, formula: Callable[[Tensor, Tensor], Tensor], outputs: int
) -> None:
    model, x, t = feed_forward(4, (5, 5), "tanh", seed=0, outputs=outputs), inputs(), signs(outputs)
    assert_same(step_of(model, loss, x, t), plain(model, lambda y: formula(y, t), x))


def test_classes_and_probabilities_are_those_of_the_plain_formulas() -> None:
    model, x = feed_forward(4, (5,), "sigmoid", seed=0, outputs=3), inputs()
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 3, (SAMPLES,), generator=generator)
    found = step_of(model, nn.CrossEntropyLoss(), x, labels)
    assert_same(found, plain(model, lambda y: functional.cross_entropy(y, labels), x))
    soft = torch.rand(SAMPLES, 3, generator=generator, dtype=torch.float64)
    found = step_of(model, nn.CrossEntropyLoss(), x, soft)
    assert_same(found, plain(model, lambda y: -soft * y.log_softmax(dim=1), x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "relu"])
def test_mean_and_gradient_are_those_of_the_exact_pass(activation: str, dtype: torch.dtype) -> None:
    model = feed_forward(4, (5, 5), activation, seed=1, dtype=dtype)
    with torch.no_grad():
        model[0].bias.zero_()
    x, t = inputs(dtype), signs(1).to(dtype)
    for loss in (Composition("sigmoid", "bce"), Composition("isru", "focal")):
        found = step_of(model, loss, x, t)
        assert all(gradient.dtype == dtype for gradient in found[1])
        assert_same(found, exact(model, loss, x, t), 1e-10 if dtype == torch.float64 else 1e-4)


def test_gradients_are_added_and_the_network_is_as_before() -> None:
    model, x, t = feed_forward(4, (5,), "tanh", seed=0), inputs(), signs(1)
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    model.zero_grad()
    step = TrainingStep(system)
    step(x, t)
    once = gradients(model)
    step(x, t)
    for one, both in zip(once, gradients(model), strict=True):
        torch.testing.assert_close(2 * one, both)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes


class _Unusual(nn.Module):
    """A layer used twice, activations of several kinds, with hooks and checkpointing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tied, self.last = (nn.Linear(4, 4).double() for _ in range(3))
        self.tanh, self.symlog = ActivationModule("tanh"), ActivationModule("symlog")
        self.tanh.register_forward_hook(lambda _, __, output: output * 1.5)
        self.last.weight = self.tied.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.tanh(self.tied(self.tanh(self.first(x))))
        x = checkpoint(lambda value: self.symlog(self.tanh(value)), x, use_reentrant=False)
        return self.last(self.tied(x))[:, :1]


def test_tied_hooked_and_checkpointed_modules_have_the_gradients_of_the_exact_pass() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _Unusual()
    x, t, loss = inputs(), signs(1), Composition("softsign", "mse")
    assert_same(step_of(model, loss, x, t), exact(model, loss, x, t))


def test_numbers_that_are_not_finite_are_named_as_in_the_exact_pass() -> None:
    model, x, t = feed_forward(4, (5,), "tanh", seed=0), inputs(), signs(1)
    system = NeuralSystem(model, Composition("tanh", "mse"), TensorDataset(x, t))
    broken = x.clone()
    broken[3, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r'the input of layer "hidden1".* at sample 3'):
        TrainingStep(system)(broken, t)
    with pytest.raises(NonFiniteError, match="the target is not finite at sample 0"):
        TrainingStep(system)(x, torch.full_like(t, torch.nan))
