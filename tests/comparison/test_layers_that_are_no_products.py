"""Weights that something else uses as well are not predicted: their change is no product of error and activity."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import critlearn


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))  # type: ignore[no-any-return]


class Borrowed(nn.Module):
    """A function uses the weight of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.a(x) + functional.linear(x**2, self.a.weight)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [Tied, Borrowed])
@pytest.mark.filterwarnings("ignore")
def test_a_weight_with_two_uses_is_not_predicted(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    x = torch.randn(500, 3)
    system = critlearn.NeuralSystem(
        kind(), critlearn.Composition("sigmoid", "bce"), TensorDataset(x, torch.where(x[:, 0] > 0, 1.0, -1.0))
    )
    found = critlearn.predict(system)
    assert set(found.predictions) == {"out.bias", "out.weight"}
    assert "a.weight" in found.unpredicted


def test_drawn_entries_are_not_held_against_a_prediction_for_all() -> None:
    torch.manual_seed(0)
    x = torch.randn(500, 8) * torch.logspace(-3, 0, 8)
    system = critlearn.NeuralSystem(
        nn.Linear(8, 1), critlearn.Composition("sigmoid", "bce"), TensorDataset(x, torch.where(x[:, 7] > 0, 1.0, -1.0))
    )
    analysis = critlearn.analyze(system, quantities=critlearn.Quantities(variables=2), progress=False)
    rows = analysis.table.set_index("quantity")
    assert "drawn" in rows.not_predicted["weight"]
    assert rows.prediction_distance["bias"] < 0.1
