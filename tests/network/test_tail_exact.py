"""Exact copies of users' networks: same outputs, same names, derivatives that do not cancel; refusals of systems."""

import copy
import math
import pickle
from pathlib import Path

import mpmath as mp
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.network import ActivationModule, NeuralSystem, tail_exact


def _network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4), nn.GELU()),
        nn.Linear(4, 4), nn.Sigmoid(), nn.BatchNorm1d(4), nn.Softsign(),
    ).double()  # fmt: skip


def test_outputs_names_and_modes_are_kept() -> None:
    model = _network().eval()
    exact = tail_exact(model)
    x = 10 * torch.randn(50, 3, dtype=torch.float64)
    torch.testing.assert_close(exact(x), model(x), rtol=1e-13, atol=1e-15)
    assert exact.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in exact.state_dict().items())
    assert not any(module.training for module in exact.modules())
    assert isinstance(model[1], nn.Tanh)
    assert model[2][1].inplace
    exact.load_state_dict(model.state_dict())


def test_transformer_layers_are_made_exact_too() -> None:
    torch.manual_seed(2)
    model = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True).double().eval()
    exact = tail_exact(model)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(exact(x), model(x), rtol=1e-12, atol=1e-14)
    assert exact.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("module", "slope"),
    [
        (nn.Tanh(), lambda y: 1 / mp.cosh(y) ** 2),
        (nn.Sigmoid(), lambda y: mp.exp(-y) / (1 + mp.exp(-y)) ** 2),
        (nn.Softsign(), lambda y: 1 / (1 + abs(y)) ** 2),
        (nn.GELU(), lambda y: mp.ncdf(y) + y * mp.npdf(y)),
        (nn.SiLU(), lambda y: mp.diff(lambda z: z / (1 + mp.exp(-z)), y)),
        (nn.ELU(), lambda y: mp.exp(y) if y < 0 else mp.mpf(1)),
    ],
)
def test_derivatives_in_the_tail(module: nn.Module, slope: object) -> None:
    for value in (-30.0, -12.0, -3.0, 0.4, 5.0, 25.0):
        y = torch.tensor([value], dtype=torch.float64, requires_grad=True)
        tail_exact(nn.Sequential(module))(y).backward()
        with mp.workdps(60):
            true = float(slope(mp.mpf(value)))  # type: ignore[operator]
        assert y.grad is not None
        assert math.isclose(y.grad.item(), true, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), r'"1" \(BatchNorm1d\) couples the samples'),
        (
            nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval(),
            r'"1" \(BatchNorm1d\) has no running statistics',
        ),
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), r'"1" \(Dropout\) is random in train mode'),
        (nn.Sequential(nn.TransformerEncoderLayer(3, 1, 4, dropout=0.1)), "is random in train mode"),
        (nn.Sequential(nn.Linear(4, 3)), r"cannot take inputs of shape \(2, 3\) and type torch.float32"),
        (nn.Embedding(3, 3), "type torch.float32"),
    ],
)
def test_systems_that_have_no_learning_pass_are_refused(model: nn.Module, message: str) -> None:
    data = TensorDataset(torch.randn(5, 3), torch.randint(3, (5,)))
    with pytest.raises(InvalidInputError, match=message):
        NeuralSystem(model, nn.CrossEntropyLoss(), data)


def test_activations_that_fall_somewhere_keep_the_sign_of_their_slope() -> None:
    y = torch.tensor([-2.0, 3.0], dtype=torch.float64, requires_grad=True)
    ActivationModule("square")(y).sum().backward()
    assert y.grad is not None
    torch.testing.assert_close(y.grad, 2 * y.detach(), rtol=1e-12, atol=0.0)
    # The pass that goes back link by link, in logarithms, against torch's own.
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), ActivationModule("square"), nn.Linear(3, 1)).double()
    x, t = torch.randn(6, 2, generator=generator, dtype=torch.float64), torch.ones(6, 1).double()
    measured = measure(NeuralSystem(model, nn.MSELoss(), TensorDataset(x, t)), exact=True)
    rising = 0
    for one, target in zip(x, t, strict=True):
        model.zero_grad()
        ((model(one) - target) ** 2).sum().backward()
        rising += int((model[0].weight.grad < 0).sum())
    assert measured["0.weight"].counts_positive.sum() == rising


def test_an_activation_in_two_places_is_replaced_in_both() -> None:
    shared = nn.Tanh()
    exact = tail_exact(nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared))
    assert [type(exact[at]) for at in (1, 3)] == [ActivationModule, ActivationModule]


class Functional(nn.Module):
    """A network whose activations are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.second(torch.tanh(self.first(x)) + nn.functional.gelu(x).sigmoid())
        return h if float(h.sum()) > 1e9 else h.tanh()


def test_functions_in_a_forward_are_replaced() -> None:
    """Slope of ``tanh(v + sigmoid(gelu(-3)) ...)`` beyond where ``1 - tanh^2`` is 0, against mpmath."""
    model = Functional().double()
    exact = tail_exact(model)
    assert exact.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        for value in exact.parameters():
            value.fill_(30.0)
    x = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(exact(x), x)
    with mp.workdps(80):

        def function(at: mp.mpf) -> mp.mpf:
            gelu = at * mp.ncdf(at)
            return mp.tanh(30 + 30 * (mp.tanh(30 + 30 * at) + 1 / (1 + mp.exp(-gelu))))

        expected = mp.diff(function, mp.mpf(2))
        assert abs(mp.mpf(float(slope)) / expected - 1) < 1e-9
    assert float(slope) < 1e-30


def test_a_model_without_own_functions_stays_of_its_type() -> None:
    assert type(tail_exact(nn.Sequential(Functional()))) is nn.Sequential
    exact = tail_exact(Functional())
    assert isinstance(exact, Functional)
    assert type(exact).forward is Functional.forward


class _Calling(nn.Module):
    """A network of a user's own that calls its activation as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.scale * y)


class _Reduced(_Calling):
    """One that says itself how it is stored."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (), self.__dict__


@pytest.mark.parametrize("kind", [_Calling, _Reduced])
def test_exact_copies_of_own_classes_can_be_stored(tmp_path: Path, kind: type[nn.Module]) -> None:
    model = nn.Sequential(kind())
    with torch.no_grad():
        model[0].scale.fill_(2.0)
    exact = tail_exact(model)
    torch.save(exact, tmp_path / "model.pt")
    for restored in (
        pickle.loads(pickle.dumps(exact)),
        torch.load(tmp_path / "model.pt", weights_only=False),
        copy.deepcopy(exact),
    ):
        assert isinstance(restored[0], kind)
        y = torch.tensor([15.0], dtype=torch.float64, requires_grad=True)
        restored(y).backward()
        # 1 - tanh(30)^2 is 0 in double precision.
        assert y.grad.item() == pytest.approx(float(2 / mp.cosh(30) ** 2), rel=1e-12)
