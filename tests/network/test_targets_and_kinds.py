"""What decides on the exact form of a loss, and what is refused as no system at all."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn import NeuralSystem, measure, tail_exact
from critlearn.errors import InvalidInputError

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def classes(first: float) -> TensorDataset:
    """Targets -1 and +1 but for the first, or for one in the middle."""
    t = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0)
    t[0 if first != 1.0 else 20] = 0.5
    return TensorDataset(X, t[:, None])


@pytest.mark.parametrize("first", [0.5, 1.0])
def test_one_target_inside_decides_wherever_it_stands(first: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1), nn.Tanh())
    system = NeuralSystem(model, nn.MSELoss(), classes(first))
    assert len(list(system.model)) == 2
    x, t = classes(first).tensors
    y = model[0](x).double()
    # By hand: d/dy (tanh y - t)^2 = 2 (tanh y - t) (1 - tanh^2 y).
    expected = (2 * (y.tanh() - t) / y.cosh() ** 2).abs().log().detach()
    sketch = measure(system, batch_size=7)["0.bias"]
    assert sketch.zeros == 0
    assert sketch.count == 40
    counted, _ = torch.histogram(expected.flatten(), torch.as_tensor(sketch.edges))
    # A value within rounding of an edge may fall on either side of it.
    assert int((counted - torch.as_tensor(sketch.counts)).abs().sum()) <= 2


def test_all_targets_at_the_ends_put_the_activation_into_the_loss() -> None:
    t = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0)[:, None]
    system = NeuralSystem(nn.Sequential(nn.Linear(3, 1), nn.Tanh()), nn.MSELoss(), TensorDataset(X, t))
    assert len(list(system.model)) == 1


def test_an_ignored_class_is_refused_not_counted() -> None:
    t = torch.tensor([0, 1, 2, 2, 1, 0])
    with pytest.raises(InvalidInputError, match="ignore_index"):
        NeuralSystem(nn.Sequential(nn.Linear(3, 3)), nn.CrossEntropyLoss(ignore_index=2), TensorDataset(X[:6], t))


def test_root_mean_square_norm_stays_the_same_function_in_double_precision() -> None:
    torch.manual_seed(0)
    norm = nn.RMSNorm(4)
    small = 1e-4 * torch.randn(5, 4)
    # By hand: torch takes the epsilon of the input's precision, which is that of single precision here.
    size = small.double().pow(2).mean(dim=1, keepdim=True) + torch.finfo(torch.float32).eps
    found = tail_exact(norm).double()(small.double())
    assert torch.allclose(found, small.double() / size.sqrt(), rtol=1e-12, atol=0)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("model", "loss", "data", "told"),
    [
        ("net", nn.MSELoss(), classes(0.5), "model must be a torch.nn.Module; got str"),
        (nn.Linear(3, 1), "ce", classes(0.5), 'Composition\\(activation, "ce"\\)'),
        (nn.Linear(3, 1), 3, classes(0.5), r"or a function \(y, t\) -> value; got int"),
        (nn.Linear(3, 1), nn.MSELoss(), iter([1, 2]), "start anew each time"),
    ],
)
def test_other_kinds_are_refused(model: object, loss: object, data: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        NeuralSystem(model, loss, data)  # type: ignore[arg-type]


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"loader": [1, 2]}, "DataLoader; got list"),
        ({"batch_size": 2.5}, "batch size must be an integer; got 2.5"),
        ({"groups": 2.5}, "groups must be an integer; got 2.5"),
        ({"groups": "4"}, "groups must be an integer; got '4'"),
        ({"groups": True}, "groups must be an integer; got True"),
        ({"lr": "1"}, "learning rate must be positive and finite; got '1'"),
        ({"quantities": {"units": ()}}, r"quantities must be a Quantities\(...\); got dict"),
        ({"checkpoint": "/no/such/folder/state.npz"}, "folder of the checkpoint .* does not exist"),
        ({"checkpoint": "/"}, "is a folder"),
        ({"precision": torch.int32}, "float32 or torch.float64"),
    ],
)
def test_other_kinds_of_options_are_refused(options: dict[str, object], told: str) -> None:
    system = NeuralSystem(nn.Linear(3, 1), nn.MSELoss(), classes(0.5))
    with pytest.raises(InvalidInputError, match=told):
        measure(system, **options)  # type: ignore[arg-type]


def test_a_network_put_into_train_mode_later_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5)).eval()
    system = NeuralSystem(model, nn.MSELoss(), classes(0.5))
    model.train()
    with pytest.raises(InvalidInputError, match="random in train mode"):
        measure(system)
