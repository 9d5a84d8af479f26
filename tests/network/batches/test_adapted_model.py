"""Networks of several inputs: names, modes and gradients are those of the user's network."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from critlearn.network.batches.adapted_model import AdaptedModel
from reference.plain_gradients import assert_same_counts

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


def rows(system: NeuralSystem) -> dict[str, Tensor]:
    x, t = next(system.boundary(SAMPLES))
    return {
        item.name: item.grad_sample.dense() * item.log_scale.exp()[:, None]
        for item in PerSampleGradients(system).batch(x, t)
    }


class InPlace(nn.Module):
    """Shifts its tokens in place, as torch lets it."""

    def __init__(self, *, named: bool) -> None:
        super().__init__()
        self.words, self.head, self.named = nn.Embedding(60, 4), nn.Linear(4, 3), named

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        x[:, 0].clamp_(max=2)
        return self.head(self.words(x).mean(1))


@pytest.mark.parametrize("named", [False, True])
def test_a_network_that_changes_its_inputs_changes_no_data(named: bool) -> None:
    torch.manual_seed(0)
    x, t = torch.randint(0, 3, (SAMPLES, 4)), torch.randint(3, (SAMPLES,))
    kept, model = x.clone(), InPlace(named=named).double()
    data = [{"x": x[at], "labels": t[at]} for at in range(SAMPLES)] if named else TensorDataset(x, t)
    system = NeuralSystem(model, nn.CrossEntropyLoss(), data)
    measure(system)
    found = rows(system)
    assert torch.equal(x, kept)
    for at in range(SAMPLES):
        loss = nn.functional.cross_entropy(model(x[[at]].clone()), t[[at]])
        names, values = zip(*model.named_parameters(), strict=True)
        for name, expected in zip(names, torch.autograd.grad(loss, values), strict=True):
            torch.testing.assert_close(found[name][at], expected.flatten(), rtol=1e-9, atol=1e-14)


class Squeezed(nn.Module):
    """Ends in ``squeeze()``, which takes the dimension of samples from a batch of one as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).squeeze()


@pytest.mark.parametrize("batch_size", [SAMPLES, SAMPLES - 1, 1])
def test_a_network_that_squeezes_is_taken_at_any_size_of_a_batch(batch_size: int) -> None:
    torch.manual_seed(0)
    x, t, model = torch.randn(SAMPLES, 5).double(), torch.randn(SAMPLES).double(), Squeezed().double()
    system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t))
    found = measure(system, batch_size=batch_size, exact=True)
    expected = np.stack([2 * float(model(x[[at]]).detach() - t[at]) * x[at].numpy() for at in range(SAMPLES)])
    assert_same_counts(found["layer.weight"], expected, SAMPLES)
