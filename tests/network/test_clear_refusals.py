"""What people give by mistake: each is refused in one line that names the way out, or is measured as torch has it."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients

SAMPLES = 8
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, 4, dtype=torch.float64, generator=GENERATOR)
CLASSES = torch.randint(3, (SAMPLES,), generator=GENERATOR)


def network(*last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), *last).double()


class Returns(nn.Module):
    """Returns what a function makes of the output."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.layer, self.form = nn.Linear(4, 3), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.layer(x))


def fails(kind: type[Exception]) -> Any:
    def form(y: Tensor) -> Tensor:
        raise kind("no such thing")

    return form


PAIRS = TensorDataset(X, CLASSES)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("model", "loss", "data", "told"),
    [
        (network(), nn.CrossEntropyLoss, PAIRS, r"give CrossEntropyLoss\(\) in place of"),
        (network(), nn.CrossEntropyLoss(weight=torch.ones(2)), PAIRS, "one number for each of 3 classes; got 2"),
        (network(), nn.NLLLoss(weight=torch.ones(5)), PAIRS, "one number for each of 3 classes; got 5"),
        (network(), nn.CrossEntropyLoss(ignore_index=1), PAIRS, r"left out of the data, or give a function \(y, t\)"),
        (network(), nn.CrossEntropyLoss(), {"x": X, "labels": CLASSES}, r"give TensorDataset\(x, t\), or a list"),
        (network(), nn.CrossEntropyLoss(), [(X[0], CLASSES[0]), (X[1, :3], CLASSES[1])], "whose collate_fn pads them"),
        (Returns(lambda y: {"y": y}).double(), nn.CrossEntropyLoss(), PAIRS, "got dict: wrap it in a module"),
        (Returns(lambda y: (y, y)).double(), nn.MSELoss(), PAIRS, "got tuple: wrap it in a module"),
        (Returns(lambda y: y[None]).double(), nn.HingeEmbeddingLoss(), PAIRS, "first dimension must be that of the sa"),
        *(
            (Returns(fails(kind)).double(), nn.CrossEntropyLoss(), PAIRS, "cannot take inputs of .*no such thing")
            for kind in (KeyError, AttributeError, AssertionError, ZeroDivisionError)
        ),
    ],
)  # fmt: skip
def test_refusals_name_the_way_out(model: nn.Module, loss: Any, data: Any, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(model, loss, data)


def rows(system: NeuralSystem) -> dict[str, Tensor]:
    x, t = next(system.boundary(SAMPLES))
    return {
        item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None]
        for item in PerSampleGradients(system).batch(x, t)
    }


def check(model: nn.Module, loss: Any, t: Tensor, found: dict[str, Tensor], rtol: float = 1e-9) -> None:
    """Gradients are those of torch's loss of each sample alone, relative to the largest of its variable."""
    names = list(found)
    for at in range(SAMPLES):
        value = loss(model(X[[at]]), t[[at]])
        for name, row in zip(names, torch.autograd.grad(value, [model.get_parameter(n) for n in names]), strict=True):
            allowed = rtol * float(row.abs().max()) + 1e-15
            torch.testing.assert_close(found[name][at].double(), row.flatten(), rtol=0, atol=allowed)


@pytest.mark.parametrize("low", [0.1, 0.0])
def test_binary_targets_between_the_classes(low: float) -> None:
    t = torch.linspace(low, 0.9, SAMPLES * 3, dtype=torch.float64).reshape(SAMPLES, 3)
    model, loss = network(), nn.BCEWithLogitsLoss()
    check(model, loss, t, rows(NeuralSystem(model, loss, TensorDataset(X, t))))


class Checkpointed(nn.Module):
    """Keeps nothing of its block, and branches where ``torch.fx`` cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.LayerNorm(6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e30:
            x = 2 * x
        return self.head(checkpoint(self.block, x.reshape(-1, 2, 2), use_reentrant=False).mean(dim=1))


def test_a_checkpointed_network_in_single_precision() -> None:
    torch.manual_seed(0)
    model = Checkpointed()
    found = rows(NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(X.float(), CLASSES)))
    reference = Checkpointed().double()
    reference.load_state_dict(model.state_dict())
    with torch.no_grad():
        X.copy_(X.float())
    check(reference, nn.CrossEntropyLoss(), CLASSES, found, 2e-5)


def test_a_parameter_without_entries_is_left_out() -> None:
    class Empty(Returns):
        def __init__(self) -> None:
            super().__init__(lambda y: y)
            self.none = nn.Parameter(torch.empty(0, 3))

    torch.manual_seed(0)
    model = Empty().double()
    system = NeuralSystem(model, nn.CrossEntropyLoss(), PAIRS)
    measure(system)
    check(model, nn.CrossEntropyLoss(), CLASSES, rows(system))


class Constant(nn.Module):
    """A layer whose output is taken out again: its gradients are 0 in truth, and rounding in any pass."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.head = nn.Linear(4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.head(x) + self.shift(x)).softmax(dim=1).log()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_that_has_rounding_alone_keeps_its_rule(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients = PerSampleGradients(
            NeuralSystem(Constant().to(dtype), nn.NLLLoss(), TensorDataset(X.to(dtype), CLASSES))
        )
        x, t = next(gradients.system.boundary(SAMPLES))
        assert {item.name for item in gradients.batch(x, t)} == set(gradients.sizes)
    assert not gradients.differentiated


class OfSeveral(nn.Module):
    """Two inputs and a parameter of its own: passed by an adapter, which no message names."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.gain * x[:, :4] * functional.embedding_bag(z.long(), torch.eye(4).to(x))


def test_messages_name_the_user_s_own_module_and_torch_s_advice_is_left_out() -> None:
    data = TensorDataset(X, torch.randint(4, (SAMPLES, 2), generator=GENERATOR), CLASSES)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        measure(NeuralSystem(OfSeveral().double(), nn.CrossEntropyLoss(), data))
    messages = [str(one.message) for one in told]
    assert any("OfSeveral has no layer rule" in message for message in messages)
    assert not any("AdaptedModel" in message or "performance drop" in message for message in messages)


class OutOfTorch(nn.Module):
    """Takes its inputs out of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.from_numpy(np.sin(x.numpy())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_may_leave_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = OutOfTorch().to(dtype)
    found = rows(NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(X.to(dtype), CLASSES)))
    check(model.double(), nn.CrossEntropyLoss(), CLASSES, found, 1e-6)
