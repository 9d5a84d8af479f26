"""A neural system refuses what no learning pass can be made on, in words."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.network import NeuralSystem
from reference.networks import Pairs, classes

LOSS = Composition("tanh", "mse")


def test_a_network_without_trainable_variables_is_refused() -> None:
    frozen = nn.Linear(3, 1).double().requires_grad_(False)
    for model in (nn.Flatten(), frozen):
        with pytest.raises(InvalidInputError, match="no trainable parameters"):
            NeuralSystem(model, LOSS, classes((4, 1)))


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        NeuralSystem(nn.Linear(3, 1), LOSS, Pairs(torch.zeros(0, 3), torch.zeros(0)))


def test_batch_normalisation_couples_samples_unless_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    with pytest.raises(InvalidInputError, match=r'"1" \(BatchNorm1d\) couples .*eval'):
        NeuralSystem(model, LOSS, classes((4, 3)))
    NeuralSystem(model.eval(), LOSS, classes((4, 3)))


def test_dropout_is_random_unless_in_evaluation_mode_or_idle() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    with pytest.raises(InvalidInputError, match=r'"1" \(Dropout\) is random .*eval'):
        NeuralSystem(model, LOSS, classes((4, 3)))
    NeuralSystem(model.eval(), LOSS, classes((4, 3)))
    idle = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.0), nn.Linear(4, 1)).double()
    NeuralSystem(idle, LOSS, classes((4, 3)))


def test_outputs_and_targets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 pre-activations per sample and the data set 1 targets"):
        NeuralSystem(nn.Linear(3, 2).double(), LOSS, classes((4, 3)))
    with pytest.raises(InvalidInputError, match="one pre-activation or more per sample"):
        NeuralSystem(
            nn.Sequential(nn.Linear(3, 1).double(), nn.Flatten(0, -1), nn.Unflatten(0, (1, -1))), LOSS, classes((4, 3))
        )


def test_outputs_that_are_not_finite_are_refused_by_sample() -> None:
    x = torch.ones(3, 1, dtype=torch.float64)
    x[1] = torch.inf
    with pytest.raises(InvalidInputError, match="not finite at sample 1"):
        NeuralSystem(nn.Linear(1, 1).double(), LOSS, Pairs(x, torch.ones(3, dtype=torch.float64)))


def test_a_batch_needs_a_sample() -> None:
    system = NeuralSystem(nn.Linear(3, 1).double(), LOSS, classes((4, 3)))
    with pytest.raises(InvalidInputError, match="batch size"):
        next(system.boundary(0))


@pytest.mark.parametrize("kind", [Pairs, TensorDataset])
def test_boundary_states_come_in_order_in_the_precision_of_the_model(kind: type[TensorDataset]) -> None:
    data = classes((7, 3))
    system = NeuralSystem(nn.Linear(3, 1).float(), LOSS, kind(data.x, data.t))
    batches = list(system.boundary(3))
    assert [len(x) for x, _ in batches] == [3, 3, 1]
    x, t = (torch.cat(part) for part in zip(*batches, strict=True))
    assert x.dtype == torch.float32
    assert torch.equal(x, data.x.float())
    assert torch.equal(t, data.t.float())
