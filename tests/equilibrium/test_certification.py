"""States whose truth is known, certified; and what a certificate leaves as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.equilibrium import Status, certify
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem

LOSS = Composition("sigmoid", "bce")


def clusters(samples: int) -> tuple[Tensor, Tensor]:
    """Four clusters at (+-1, +-1), of the class of the product."""
    generator = np.random.default_rng(0)
    sign = generator.choice([-1.0, 1.0], (samples, 2))
    x = torch.from_numpy(sign + 0.15 * generator.normal(size=sign.shape))
    return x, torch.from_numpy(sign.prod(axis=1, keepdims=True))


def tiny_network(unit: float) -> nn.Sequential:
    """Sixteen units whose initial weights are tiny, for inputs in some unit."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    with torch.no_grad():
        for value in model.parameters():
            value *= 0.03
        model[0].weight /= unit
        # Where both classes are as frequent the bias of the output has no drift at 0.
        model[2].bias.zero_()
    return model


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_saddle_of_xor_is_found_in_any_unit_of_the_inputs(unit: float) -> None:
    x, t = clusters(2000)
    certificate = certify(NeuralSystem(tiny_network(unit), LOSS, TensorDataset(x * unit, t)))
    assert certificate.status is Status.SADDLE
    assert certificate.curvature is not None
    assert certificate.curvature.gain > 0.5


def test_the_minimum_of_a_convex_loss_is_an_equilibrium() -> None:
    # Each input comes with either class as often: the minimum is at zero.
    x = torch.linspace(-2, 2, 400, dtype=torch.float64)[:, None]
    t = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(200)[:, None]
    model = nn.Linear(1, 1).double()
    for value in model.parameters():
        nn.init.zeros_(value)
    certificate = certify(NeuralSystem(model, LOSS, TensorDataset(torch.cat([x, x]), torch.cat([t, -t]))))
    assert certificate.status is Status.EQUILIBRIUM
    assert certificate.drift.fraction == 1.0
    assert certificate.left_out == ("trend",)


def test_a_rare_feature_of_one_class_is_still_learned() -> None:
    generator = np.random.default_rng(1)
    x = np.zeros((4000, 2))
    x[:, 0] = generator.normal(size=4000)
    t = np.where(generator.random(4000) < 1 / (1 + np.exp(-x[:, 0])), 1.0, -1.0)
    x[:30, 1], t[:30] = 1.0, 1.0
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 4.0]]))
        model.bias.zero_()
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(t[:, None]))
    certificate = certify(NeuralSystem(model, LOSS, data))
    # Its drift is a small part of its fluctuation, over samples most of which do not move it.
    assert certificate.drift.fraction == 1.0
    assert certificate.drift.coherent == pytest.approx(1 / 3)
    assert certificate.status is Status.DRIFTING


def test_nothing_is_changed() -> None:
    x, t = clusters(200)
    model = tiny_network(1.0).train()
    system = NeuralSystem(model, LOSS, TensorDataset(x, t))
    before, state = [value.clone() for value in model.parameters()], torch.get_rng_state()
    certify(system)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(value.grad is None and value.requires_grad for value in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_what_is_left_out_is_told() -> None:
    x, t = clusters(200)
    certificate = certify(
        NeuralSystem(tiny_network(1.0), LOSS, TensorDataset(x, t)), leave_out=["curvature", "directions"]
    )
    assert certificate.left_out == ("curvature", "directions", "trend")
    assert certificate.curvature is None
    assert "not looked at: curvature, directions" in certificate.reason


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"tolerance": -1.0}, "tolerance must be between 0 and 1"),
        ({"exceptions": 2.0}, "share of exceptions must be between 0 and 1"),
        ({"leave_out": ["curvatur"]}, 'did you mean "curvature"'),
        ({"leave_out": "hessian"}, 'unknown evidence "hessian"'),
        ({"weight_decay": -1.0}, "weight decay must be non-negative"),
        ({"losses": [1.0] * 39 + [float("nan")]}, "must be finite"),
    ],
)
def test_arguments_out_of_range_are_refused(setting: dict[str, object], told: str) -> None:
    x, t = clusters(100)
    with pytest.raises(InvalidInputError, match=told):
        certify(NeuralSystem(tiny_network(1.0), LOSS, TensorDataset(x, t)), **setting)  # type: ignore[arg-type]


def test_few_samples_are_told() -> None:
    x, t = clusters(29)
    assert certify(NeuralSystem(tiny_network(1.0), LOSS, TensorDataset(x, t))).status is Status.TOO_FEW
