"""What a declaration of quantities refuses, and names that quantities of one network cannot share."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from critlearn import NeuralSystem, measure
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Quantities

_GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(10, 3, generator=_GENERATOR, dtype=torch.float64)
T = torch.randn(10, 2, generator=_GENERATOR, dtype=torch.float64)


def _system() -> NeuralSystem:
    torch.manual_seed(0)
    return NeuralSystem(nn.Sequential(nn.Linear(3, 2)).double(), nn.MSELoss(), TensorDataset(X, T))


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"units": "0.weight"}, r"tuple of names, as .*; got '0.weight'"),
        ({"samples": 7}, r"tuple of their numbers, as \(7,\); got 7"),
        ({"samples": (1.5,)}, r"got \(1.5,\)"),
        ({"samples": (7, 2, 7)}, "7 is named twice"),
        ({"samples": (-1,)}, "counted from 0; got -1"),
        ({"series": 2.5}, "by their number, or by a mapping .*; got 2.5"),
        ({"series": "0.bias"}, "got '0.bias'"),
        ({"series": {"0.bias": 3}}, r'series of "0.bias" are given by a tuple of flat indices, as \(0, 3\); got 3'),
        ({"series": {"0.bias": (1.5,)}}, r"got \(1.5,\)"),
        ({"mini_batch": 1.5}, "mini_batch must be an integer; got 1.5"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_what_is_no_declaration_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Quantities(**options)  # type: ignore[arg-type]


class Scaled(nn.Module):
    """A parameter that has the name of the pool."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.last = nn.Parameter(torch.ones(3, dtype=torch.float64)), nn.Linear(3, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.all * x)


@pytest.mark.filterwarnings("ignore:Scaled has no layer rule")
def test_a_name_that_is_that_of_the_pool_is_refused() -> None:
    layer = nn.Sequential()
    layer.add_module("all", nn.Linear(3, 2).double())
    for model, what in ((Scaled(), "variable"), (layer, "layer")):
        with pytest.raises(InvalidInputError, match=f'a {what} named "all".*rename it'):
            measure(NeuralSystem(model, nn.MSELoss(), TensorDataset(X, T)))
    # Inside of another layer it is another name.
    inside = measure(NeuralSystem(nn.Sequential(layer), nn.MSELoss(), TensorDataset(X, T)))
    assert inside["0.all"].count == inside["all"].count == 80


class Once(IterableDataset):  # type: ignore[type-arg]
    """Samples that are given once."""

    def __init__(self) -> None:
        self.samples = iter([*zip(X, T, strict=True)])

    def __iter__(self) -> object:
        return self.samples


def test_a_loader_that_gives_its_samples_once_has_no_drift_removed() -> None:
    with pytest.raises(InvalidInputError, match="starts anew each time"):
        measure(_system(), loader=DataLoader(Once(), batch_size=4), quantities=Quantities(without_drift=True))


def test_a_sample_that_a_loader_has_not_had_is_told_of() -> None:
    with pytest.warns(UserWarning, match=r"gave samples 0..9: sample 50 was not counted"):
        found = measure(_system(), loader=DataLoader(Once(), batch_size=4), quantities=Quantities(samples=(3, 50)))
    assert found["all[sample 3]"].count == 8
