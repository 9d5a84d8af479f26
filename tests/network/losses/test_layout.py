"""Orders of dimensions in outputs and targets: torch's own loss values, and what torch refuses is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.errors import InvalidInputError

SAMPLES, CLASSES = 6, 4


class Logits(nn.Module):
    """Outputs of a given shape for each sample."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, torch.Size(shape).numel())
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).reshape(len(x), *self.shape)


def parts(*shape: int, target: tuple[int, ...], kind: type = int) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    t = torch.randint(CLASSES, (SAMPLES, *target))
    return Logits(*shape).double(), torch.randn(SAMPLES, 3).double(), t if kind is int else t.double()


# With as many classes as positions both orders fit, and the loss must be torch's own.
@pytest.mark.parametrize("positions", [3, CLASSES, 5])
def test_class_second_is_torch_s_order_whatever_the_numbers(positions: int) -> None:
    model, x, t = parts(CLASSES, positions, target=(positions,))
    for reduction in ("sum", "mean"):
        loss = nn.CrossEntropyLoss(reduction=reduction)
        system = NeuralSystem(model, loss, TensorDataset(x, t))
        values = system.loss.value(*system.forward(x, t))
        expected = torch.stack([loss(model(x[[at]]), t[[at]]) for at in range(SAMPLES)])
        torch.testing.assert_close(values, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "kind", "told"),
    [
        (nn.CrossEntropyLoss(), (5, CLASSES), (), int, r"one class index per sample; got outputs of shape \(5, 4\)"),
        (nn.NLLLoss(), (CLASSES, 2, 2), (), int, "one class index per sample"),
        (nn.MSELoss(), (2, 3), (3, 2), float, "in another order"),
    ],
)
def test_what_torch_refuses_is_refused(loss: Any, outputs: Any, target: Any, kind: type, told: str) -> None:
    model, x, t = parts(*outputs, target=target, kind=kind)
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(model, loss, TensorDataset(x, t))


@pytest.mark.parametrize(("outputs", "target"), [((CLASSES, 1, 1), ()), ((1, CLASSES), ()), ((CLASSES,), (1,))])
def test_dimensions_of_length_one_do_not_count(outputs: Any, target: Any) -> None:
    model, x, t = parts(*outputs, target=target)
    measure(NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t)))


class ByLength(nn.Module):
    """Classes in the last dimension, for sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(9, 3), nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x))


class Stream:
    """Ready batches, given anew each time."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


def test_an_order_that_later_batches_contradict_is_refused() -> None:
    torch.manual_seed(0)
    batches = [(torch.randint(9, (20, n)), torch.randint(CLASSES, (20, n))) for n in (CLASSES, 3)]
    with pytest.raises(InvalidInputError, match=r"are read as \(class, token\), torch's order,"):
        measure(NeuralSystem(ByLength().double(), nn.CrossEntropyLoss(), Stream(batches)))
