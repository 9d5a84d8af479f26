"""Networks of unusual kinds: measured as torch differentiates them, or refused in one line."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, tail_exact
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from reference.plain_gradients import plain_gradients

_GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(7, 4, generator=_GENERATOR, dtype=torch.float64)
T = torch.randn(7, 2, generator=_GENERATOR, dtype=torch.float64)


class Tagged(nn.Module):
    """A base that asks its subtypes for an argument."""

    def __init_subclass__(cls, *, tag: str, **others: Any) -> None:
        super().__init_subclass__(**others)


class Own(Tagged, tag="own"):
    """A network of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


class Recomputed(nn.Module):
    """One that computes its middle anew on the way back; twice, or with a skip connection, it is no chain."""

    def __init__(self, *, skip: bool, reentrant: bool = False) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.skip, self.reentrant = skip, reentrant

    def forward(self, x: Tensor) -> Tensor:
        h = checkpoint(lambda z: torch.tanh(self.first(z)), x, use_reentrant=self.reentrant)
        kept = checkpoint(lambda z: torch.sigmoid(self.middle(z)), h, use_reentrant=self.reentrant)
        return self.last(kept + h if self.skip else kept)


def _by_autograd(model: nn.Module) -> dict[str, Tensor]:
    return {name: torch.from_numpy(rows) for name, rows in plain_gradients(model, nn.MSELoss(), X, T).items()}


@pytest.mark.filterwarnings("ignore:.*per-sample gradients by automatic")
@pytest.mark.parametrize(
    "make", [Own, lambda: Recomputed(skip=False), lambda: Recomputed(skip=True), lambda: nn.Sequential(Own())]
)
def test_gradients_are_those_of_torch(make: Any) -> None:
    torch.manual_seed(0)
    model = make().double()
    expected = _by_autograd(model)
    torch.testing.assert_close(_by_autograd(tail_exact(model)), expected, rtol=1e-10, atol=1e-13)
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T))
    for item in PerSampleGradients(system).batch(X, T):
        found = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        torch.testing.assert_close(found, expected[item.name], rtol=1e-10, atol=1e-13)


class InPlace(nn.Module):
    """One that torch cannot differentiate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        y += 1
        return self.last(y)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("before", [False, True])
def test_reentrant_checkpointing_has_the_gradients_of_the_other_kind(before: bool) -> None:
    # By itself torch's reentrant kind takes no gradients of inputs, and gives a first layer none.
    for reentrant in (False, True):
        torch.manual_seed(4)
        inner = Recomputed(skip=True, reentrant=reentrant)
        model = (nn.Sequential(nn.Linear(4, 4), inner) if before else inner).double()
        gradients = PerSampleGradients(NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T)))
        assert gradients.differentiated == set()
        found = {item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None] for item in gradients.batch(X, T)}
        if not reentrant:
            expected = _by_autograd(model)
    assert set(found) == set(expected)
    for name, rows in expected.items():
        torch.testing.assert_close(found[name], rows, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (InPlace, "cannot go back through InPlace: .*inplace"),
    ],
)
def test_what_torch_cannot_differentiate_is_refused(make: Any, told: str) -> None:
    system = NeuralSystem(make().double(), nn.MSELoss(), TensorDataset(X, T))
    with pytest.raises(InvalidInputError, match=told):
        PerSampleGradients(system)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:Complex modules")
def test_what_cannot_be_looked_into_is_refused() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 2), nn.Tanh()))
    traced = torch.jit.trace(nn.Linear(4, 2), X.float())
    for model, told in (
        (scripted, "the model is compiled by torch.jit"),
        (nn.Sequential(nn.Identity(), traced), 'module "1" is compiled by torch.jit'),
        (None, "must be a torch.nn.Module; got NoneType"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            tail_exact(model)  # type: ignore[type-var]
        with pytest.raises(InvalidInputError, match=told):
            NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r'"weight" of the model is complex'):
        NeuralSystem(nn.Linear(4, 2).to(torch.complex64), nn.MSELoss(), TensorDataset(X, T))
