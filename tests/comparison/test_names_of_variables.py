"""One name for each variable, in a network's parameters, in predictions, measurements, analyses and the duality map."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn import Composition, DualityMap, NeuralSystem, analyze, measure, predict
from critlearn.network import BulkBoundaryNetwork


class Scaled(nn.Module):
    """A variable of the model's own before a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.layer = nn.Linear(2, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * self.scale)


MODELS = {
    "bare layer": lambda: nn.Linear(2, 1, dtype=torch.float64),
    "bare layer without bias": lambda: nn.Linear(2, 1, bias=False, dtype=torch.float64),
    "sequence": lambda: nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double(),
    "sequence of one": lambda: nn.Sequential(nn.Linear(2, 1, dtype=torch.float64)),
    "own variable": Scaled,
    "graph": lambda: BulkBoundaryNetwork(4, torch.tensor([[0, 1, 2], [2, 2, 3]]), inputs=[0, 1], outputs=[3]),
}


@pytest.mark.filterwarnings("ignore:.*has no layer rule")
@pytest.mark.parametrize("kind", MODELS)
def test_every_part_of_the_road_uses_the_names_of_torch(kind: str) -> None:
    torch.manual_seed(0)
    model = MODELS[kind]()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    t = torch.sign(x[:, :1] + torch.randn(300, 1, generator=generator))
    names = {name for name, _ in model.named_parameters()}
    loss, data = Composition("tanh", "mse"), TensorDataset(x, t)
    system = NeuralSystem(model, loss, data)
    analysis = analyze(model, loss, data)
    measured = set(measure(system))
    assert set(system.parameters) == set(DualityMap(system)(x[:1], t[:1])) == names
    assert names <= measured
    assert set(predict(system)) == measured
    assert names <= set(analysis.fluctuations)
    assert names <= {row["quantity"] for row in analysis.table.to_dict("records")}
    assert not any(name.startswith(".") for name in (*measured, *analysis.fluctuations))
