"""Networks of several inputs: names, modes and gradients are those of the user's network."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network.batches.adapted_model import AdaptedModel

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Towers(nn.Module):
    """Two inputs, a parameter of its own, and an activation that is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 1)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, query: Tensor, document: Tensor, scale: float = 1.0) -> Tensor:
        return self.out(scale * torch.tanh(self.left(query) * self.right(document) + self.shift))


SAMPLES = 9
GENERATOR = torch.Generator().manual_seed(0)
QUERY = torch.randn(SAMPLES, 3, dtype=torch.float64, generator=GENERATOR)
DOCUMENT = torch.randn(SAMPLES, 2, dtype=torch.float64, generator=GENERATOR)
T = torch.randint(2, (SAMPLES, 1), generator=GENERATOR).double()


def towers() -> Towers:
    torch.manual_seed(0)
    return Towers().double()


def by_name(raw: Any) -> tuple[dict[str, Any], Tensor]:
    return {"query": raw["q"], "document": raw["d"], "scale": 1.0}, raw["t"]


RECORDS = [{"q": q, "d": d, "t": t} for q, d, t in zip(QUERY, DOCUMENT, T, strict=True)]


@pytest.mark.parametrize(
    ("data", "batch"),
    [
        (TensorDataset(QUERY, DOCUMENT, T), None),
        ([((q, d), t) for q, d, t in zip(QUERY, DOCUMENT, T, strict=True)], None),
        ([({"document": d, "query": q}, t) for q, d, t in zip(QUERY, DOCUMENT, T, strict=True)], None),
        ([{"query": q, "document": d, "label": t} for q, d, t in zip(QUERY, DOCUMENT, T, strict=True)], None),
        (RECORDS, by_name),
        (RECORDS, lambda raw: ((raw["q"], raw["d"]), raw["t"])),
        (DataLoader(RECORDS, 4), by_name),  # type: ignore[arg-type]
    ],
    ids=[
        "tuple of three",
        "pair with a tuple",
        "pair with a dictionary",
        "dictionary",
        "by name",
        "in order",
        "loader",
    ],
)
def test_gradients_are_those_of_the_network_called_by_hand(data: Any, batch: Any) -> None:
    model = towers()
    system = NeuralSystem(model, nn.BCEWithLogitsLoss(), data, batch=batch)
    assert list(system.parameters) == [name for name, _ in model.named_parameters()]
    x, t = next(system.boundary(SAMPLES))
    found = {item.name: item for item in PerSampleGradients(system).batch(x, t)}
    for sample in range(SAMPLES):
        one = slice(sample, sample + 1)
        model.zero_grad()
        nn.BCEWithLogitsLoss()(model(QUERY[one], DOCUMENT[one]), T[one]).backward()
        for name, value in model.named_parameters():
            item = found[name]
            ours = item.grad_sample.dense()[sample] * item.log_scale[sample].exp()
            assert value.grad is not None
            torch.testing.assert_close(ours, value.grad.flatten(), rtol=1e-9, atol=1e-14)


def test_a_saturated_function_keeps_its_tail() -> None:
    model = towers()
    with torch.no_grad():
        model.shift.fill_(40.0)
    system = NeuralSystem(model, nn.BCEWithLogitsLoss(), TensorDataset(QUERY, DOCUMENT, T))
    # Slope of tanh at 40: 4 exp(-80) = 7e-35, where 1 - tanh^2 is 0.
    assert measure(system)["shift"].zeros == 0


def test_single_precision_and_a_single_input_under_any_name() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    samples = [{"pixels": q.float(), "label": t.float()} for q, t in zip(QUERY, T, strict=True)]
    found = NeuralSystem(model, nn.BCEWithLogitsLoss(), samples)
    assert found.model is model
    assert dict(measure(found)) == dict(measure(NeuralSystem(model, nn.BCEWithLogitsLoss(), TensorDataset(QUERY, T))))
    single = NeuralSystem(towers().float(), nn.BCEWithLogitsLoss(), TensorDataset(QUERY, DOCUMENT, T))
    double = NeuralSystem(towers(), nn.BCEWithLogitsLoss(), TensorDataset(QUERY, DOCUMENT, T))
    ends = [measure(system)["left.weight"].log_range for system in (single, double)]
    assert ends[0] == pytest.approx(ends[1], abs=0.02)


def test_mode_values_and_copies_are_shared_with_the_network() -> None:
    model = towers()
    adapted = NeuralSystem(model, nn.BCEWithLogitsLoss(), TensorDataset(QUERY, DOCUMENT, T)).model
    assert isinstance(adapted, AdaptedModel)
    adapted.eval()
    assert not model.training
    assert adapted.state_dict().keys() == model.state_dict().keys()
    assert all(one is other for one, other in zip(adapted.parameters(), model.parameters(), strict=True))
    for other in (copy.deepcopy(adapted), pickle.loads(pickle.dumps(adapted))):
        x = NeuralSystem(model, nn.BCEWithLogitsLoss(), TensorDataset(QUERY, DOCUMENT, T)).spread(3)
        before = other(x)
        with torch.no_grad():
            other.shift.add_(1.0)
        assert not torch.equal(other(x), before)
        assert not torch.equal(other.shift, model.shift)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("data", "batch", "told"),
    [
        (RECORDS, lambda raw: raw["q"], r"batch= must return a pair \(arguments, targets\); got Tensor"),
        (RECORDS, 3, "batch= must be a function of a batch"),
        (RECORDS, lambda raw: ({"query": raw["q"], "doc": raw["d"]}, raw["t"]), '"doc", which the forward of Towers'),
        (RECORDS, lambda raw: ((raw["q"], raw["d"][:2]), raw["t"]), "samples in its first dimension"),
        (RECORDS, lambda raw: ((raw["q"], raw["d"]), raw["t"][:2]), "a batch has 8 inputs and 2 targets"),
        (iter(RECORDS), by_name, "start anew each time"),
        (3, None, "map-style, .* or give batches"),
    ],
)
def test_refusals_name_the_way_out(data: Any, batch: Any, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(towers(), nn.BCEWithLogitsLoss(), data, batch=batch)
