"""Weight decay in the drift against closed forms, plain training loops, and the optimisers' own recursions."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.equilibrium import Status, certify
from critlearn.equilibrium.decay import decay_of
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from reference.networks import Pairs

LOSS = Composition("sigmoid", "bce")


def overlapping(samples: int = 500) -> Pairs:
    generator = np.random.default_rng(3)
    t = generator.choice([-1.0, 1.0], samples)
    return Pairs(torch.from_numpy((0.7 * t + generator.normal(size=samples))[:, None]), torch.from_numpy(t))


def one_weight(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(model.weight, value)
    return model


def mean_change(weight: float, data: Pairs) -> float:
    """Mean of ``t x / (1 + exp(t x w))``, minus the gradient of logistic regression, in plain NumPy."""
    z = (data.x[:, 0] * data.t).numpy()
    return float((z / (1 + np.exp(z * weight))).mean())


@pytest.mark.parametrize("strength", [0.03, 0.3])
def test_l2_decay_balances_the_loss_where_both_are_least(strength: float) -> None:
    data = overlapping()
    weight = brentq(lambda w: mean_change(w, data) - strength * w, 0, 10, xtol=1e-14)
    system = NeuralSystem(one_weight(weight), LOSS, data)
    told, untold = certify(system, weight_decay=strength), certify(system)
    assert told.decayed is not None
    assert told.decayed.pulls[0].ratio < 1e-9
    assert told.drift == untold.drift
    z = (data.x[:, 0] * data.t).numpy()
    changes = z / (1 + np.exp(z * weight))
    assert told.drift.pulls[0].ratio == pytest.approx(changes.mean() / changes.std(), rel=1e-9)
    assert told.status is Status.HELD_BY_DECAY
    assert untold.status is Status.DRIFTING
    # Twice the strength that holds it pulls inwards as much as the loss outwards.
    double = certify(system, weight_decay=2 * strength)
    assert double.status is Status.DRIFTING
    assert double.decayed is not None
    assert double.decayed.pulls[0].ratio == pytest.approx(told.drift.pulls[0].ratio, rel=1e-9)


def test_decay_too_weak_to_matter_leaves_an_equilibrium_of_the_loss() -> None:
    data = overlapping()
    weight = brentq(lambda w: mean_change(w, data), 0, 10, xtol=1e-14)
    certificate = certify(NeuralSystem(one_weight(weight), LOSS, data), weight_decay=1e-3)
    assert certificate.status is Status.EQUILIBRIUM


def test_a_full_batch_under_adamw_ends_where_its_decay_is_one_over_the_weight() -> None:
    """There gradient / sqrt(v) = 1 exactly, so that the weight is 1 / decay, whatever the loss: told, it is held."""
    data, decay = overlapping(), 2.0
    model = one_weight(0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=decay, betas=(0.9, 0.9))
    for _ in range(1000):
        optimizer.zero_grad()
        nn.functional.softplus(-data.t * model(data.x)[:, 0]).mean().backward()
        optimizer.step()
    assert model.weight.item() == pytest.approx(1 / decay, rel=1e-4)
    system = NeuralSystem(model, LOSS, data)
    told = certify(system, optimizer=optimizer)
    assert told.decayed is not None
    assert told.decayed.pulls[0].ratio < 1e-4
    assert told.status is Status.HELD_BY_DECAY
    # As L2 of the same number it would be something else.
    assert certify(system, weight_decay=decay).status is Status.DRIFTING


def stepped(
    kind: type[torch.optim.Optimizer], steps: int, **settings: object
) -> tuple[NeuralSystem, torch.optim.Optimizer, np.ndarray]:
    """A network after some steps of given gradients, its optimiser, and these gradients."""
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    optimizer = kind(model.parameters(), **settings)  # type: ignore[call-arg]
    gradients = np.random.default_rng(5).normal(size=(steps, 1, 3)) * [1.0, 1e-3, 10.0]
    for gradient in gradients:
        model.weight.grad = torch.from_numpy(gradient)
        optimizer.step()
    x = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return NeuralSystem(model, LOSS, TensorDataset(x, x[:, 0].sign())), optimizer, gradients


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_decoupled_decay_acts_by_the_running_squares(kind: type[torch.optim.Optimizer], amsgrad: bool) -> None:
    decoupled = {"decoupled_weight_decay": True} if kind is torch.optim.Adam else {}
    settings = {"lr": 1e-3, "weight_decay": 0.2, "betas": (0.8, 0.95), "eps": 1e-4, "amsgrad": amsgrad, **decoupled}
    system, optimizer, gradients = stepped(kind, 7, **settings)
    squares, largest = np.zeros((1, 3)), np.zeros((1, 3))
    for gradient in gradients:
        squares = 0.95 * squares + 0.05 * gradient**2
        largest = np.maximum(largest, squares)
    used = largest if amsgrad else squares
    expected = 0.2 * (np.sqrt(used / (1 - 0.95**7)) + 1e-4)
    strength = decay_of(system, 0.0, optimizer)
    np.testing.assert_allclose(strength.strength["weight"], expected, rtol=1e-12)
    weight = system.parameters["weight"].detach().numpy()
    np.testing.assert_allclose(strength.pull(system)["weight"], -expected * weight, rtol=1e-12)
    np.testing.assert_allclose(strength.scaled(3.0).strength["weight"], 3 * expected, rtol=1e-12)
    assert strength.decoupled
    assert strength.scaled(3.0).decoupled


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad])
def test_coupled_decay_is_l2_whatever_the_optimiser_makes_of_it(kind: type[torch.optim.Optimizer]) -> None:
    system, optimizer, _ = stepped(kind, 2, lr=1e-3, weight_decay=0.2)
    assert decay_of(system, 0.0, optimizer).strength["weight"].tolist() == [[0.2] * 3]
    assert not decay_of(system, 0.0, optimizer).decoupled
    # No step is needed to know it.
    fresh = kind(system.model.parameters(), lr=1e-3, weight_decay=0.2)  # type: ignore[call-arg]
    assert decay_of(system, 0.0, fresh).strength["weight"].tolist() == [[0.2] * 3]


def test_every_group_has_its_own_decay() -> None:
    model = nn.Linear(2, 1, dtype=torch.float64)
    groups = [{"params": [model.weight], "weight_decay": 0.5}, {"params": [model.bias]}]
    x = torch.randn(40, 2, dtype=torch.float64)
    system = NeuralSystem(model, LOSS, TensorDataset(x, x[:, 0].sign()))
    decay = decay_of(system, 0.0, torch.optim.SGD(groups, lr=0.1))
    assert decay.strength["weight"].tolist() == [[0.5, 0.5]]
    assert decay.strength["bias"].tolist() == [0.0]
    assert not decay.none
    assert decay_of(system, 0.0, torch.optim.SGD(model.parameters(), lr=0.1)).none


class Unheard(torch.optim.SGD):
    """An optimiser that is not known."""


def test_what_is_not_known_is_refused() -> None:
    system, optimizer, _ = stepped(torch.optim.AdamW, 1, weight_decay=0.1)
    with pytest.raises(InvalidInputError, match=r"weight_decay=0\.3 and AdamW"):
        certify(system, weight_decay=0.3, optimizer=optimizer)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="non-negative and finite"):
            certify(system, weight_decay=wrong)
    parameters = list(system.model.parameters())
    with pytest.raises(InvalidInputError, match='has made no step for "weight"'):
        certify(system, optimizer=torch.optim.AdamW(parameters, weight_decay=0.1))
    other = nn.Linear(2, 1)
    with pytest.raises(InvalidInputError, match='does not train "weight"'):
        certify(system, optimizer=torch.optim.SGD(other.parameters(), lr=0.1))
    with pytest.raises(InvalidInputError, match="Unheard's weight decay"):
        certify(system, optimizer=Unheard(parameters, lr=0.1, weight_decay=0.1))
    decoupled = torch.optim.NAdam(parameters, weight_decay=0.1, decoupled_weight_decay=True)
    with pytest.raises(InvalidInputError, match="NAdam's weight decay"):
        certify(system, optimizer=decoupled)
    # Without decay any optimiser will do.
    assert decay_of(system, 0.0, Unheard(parameters, lr=0.1)).none
