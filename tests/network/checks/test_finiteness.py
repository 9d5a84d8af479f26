"""What is not finite is refused with its place and its sample, and never counted as a zero."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from critlearn import Composition, NeuralSystem, measure
from critlearn.equilibrium import moments
from critlearn.errors import InvalidInputError

_GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(10, 4, generator=_GENERATOR, dtype=torch.float64)
T = torch.randn(10, 3, generator=_GENERATOR, dtype=torch.float64)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.CrossEntropyLoss(), Composition("identity", "mse")]
)
def test_targets_are_refused_by_their_sample(loss: nn.Module | Composition, target: float) -> None:
    t = T.abs()
    t[7, 1] = target
    system = NeuralSystem(_network(), loss, TensorDataset(X, t))
    with pytest.raises(InvalidInputError, match="the target is not finite at sample 7, counted from 0"):
        measure(system, batch_size=3)
    loader = DataLoader(TensorDataset(X, t), batch_size=4)
    with pytest.raises(InvalidInputError, match="the target is not finite at sample 7, counted from 0"):
        measure(NeuralSystem(_network(), loss, TensorDataset(X, T.abs())), loader=loader)


class Between(nn.Module):
    """A function between two layers, the first of which gives its first input, or 0 where that is 0."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(4, 3, bias=False), nn.Linear(3, 3), function
        with torch.no_grad():
            self.first.weight.zero_()[:, 0] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if self.function == "where":
            h = torch.where(h > 0, h.sqrt(), 0 * x[:, :3])
        elif self.function == "sqrt":
            h = h.sqrt()
        return self.last(h)


@pytest.mark.parametrize(
    ("function", "value", "where"),
    [
        # The derivative of sqrt is infinite at 0; multiplied by 0, it is NaN.
        ("sqrt", 0.0, r'the gradient at the output of layer "first" \(Linear\)'),
        ("where", 0.0, r'the gradient at the output of layer "first" \(Linear\)'),
        ("sqrt", -1.0, r'the input of layer "last" \(Linear\)'),
        ("none", math.nan, r'the input of layer "first" \(Linear\)'),
    ],
)
@pytest.mark.parametrize("sample", [1, 8])
def test_layer_and_sample_are_named(function: str, value: float, where: str, sample: int) -> None:
    x = X.abs() + 1
    x[sample, 0] = value
    with pytest.raises(InvalidInputError, match=f"{where} is not finite at sample {sample}, counted from 0"):
        measure(NeuralSystem(Between(function).double(), nn.MSELoss(), TensorDataset(x, T)), batch_size=3)


class Root(nn.Module):
    """Square root of what is above 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x.sqrt(), 0 * x)


def test_a_gradient_lost_in_a_link_is_no_zero_behind_an_activation() -> None:
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Tanh(), Root(), nn.Linear(3, 3)).double()
    with torch.no_grad():
        model[0].weight.zero_()[:, 0] = 1.0
    x = X.abs() + 1
    x[8, 0] = 0
    with pytest.raises(InvalidInputError, match=r'the gradient at the input of layer "2" \(Root\) .* sample 8'):
        measure(NeuralSystem(model, nn.MSELoss(), TensorDataset(x, T)), batch_size=3)


class Power(nn.Module):
    """A parameter of its own under a root."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.gain * x).sqrt()


@pytest.mark.filterwarnings("ignore:Power has no layer rule", "ignore:.*automatic differentiation")
def test_a_gradient_of_a_parameter_that_is_not_finite_is_named() -> None:
    x = X[:, :3].abs() + 1
    x[6] = 0.0
    for model in (Power(), nn.Sequential(Power(), nn.Linear(3, 3).double())):
        system = NeuralSystem(model, nn.MSELoss(), TensorDataset(x, T))
        for measured in (measure, moments):
            with pytest.raises(InvalidInputError, match=r'the gradient of "gain".* is not finite at sample 6'):
                measured(system, batch_size=3)  # type: ignore[operator]


def test_outputs_beyond_what_logarithms_hold_are_refused() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(model.weight)
    x = torch.tensor([[0.0], [700.0], [1e308]], dtype=torch.float64)
    with pytest.raises(InvalidInputError, match="not finite at sample 2"):
        measure(NeuralSystem(model, nn.BCEWithLogitsLoss(), TensorDataset(x, torch.ones(3, 1).double())))
