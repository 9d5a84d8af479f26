"""A neural system refuses what no learning pass can be made on, in words."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
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


def test_sparse_gradients_are_refused_by_name() -> None:
    data = Pairs(torch.randint(5, (4, 2)), torch.ones(4))
    for layer, width in ((nn.Embedding(5, 3, sparse=True), 6), (nn.EmbeddingBag(5, 3, sparse=True), 3)):
        model = nn.Sequential(layer, nn.Flatten(), nn.Linear(width, 1))
        message = (
            rf'^module "0" \({type(layer).__name__}\) has sparse gradients, of which no pass is made: set its sparse'
        )
        with pytest.raises(InvalidInputError, match=message):
            NeuralSystem(model, LOSS, data)
        layer.weight.requires_grad_(False)
        assert measure(NeuralSystem(model, LOSS, data))["all"].count == 4 * (width + 1)
        layer.weight.requires_grad_(True)
        layer.sparse = False
        assert measure(NeuralSystem(model, LOSS, data))["all"].count == 4 * (15 + width + 1)


def test_parameters_without_values_are_refused_by_name() -> None:
    for first in (nn.Linear(3, 3, device="meta"), nn.Linear(3, 3, device="meta").requires_grad_(False)):
        model = nn.Sequential(first, nn.Linear(3, 1, dtype=torch.float64))
        with pytest.raises(
            InvalidInputError, match=r'^"0\.weight" of the model is on the meta device and has no values'
        ):
            NeuralSystem(model, LOSS, classes((4, 3)))


class _Cut(nn.Module):
    """A dense layer whose output has no gradient."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(3, 3), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "detach":
            return self.layer(x).detach()
        with torch.no_grad() if self.how == "no_grad" else torch.inference_mode():
            return self.layer(x)


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detach"])
def test_passes_without_gradient_are_refused(how: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), _Cut(how)).double()
    with pytest.raises(
        InvalidInputError, match=r"^the model's output has no gradient: its forward runs in torch.no_grad"
    ):
        NeuralSystem(model, LOSS, classes((4, 3), outputs=3))


def test_variables_before_a_pass_without_gradient_are_named() -> None:
    model = nn.Sequential(nn.Linear(3, 3), _Cut("no_grad"), nn.Linear(3, 1)).double()
    with pytest.raises(
        InvalidInputError, match=r'^the trainable variable "0\.weight" gets no gradient: .*torch.no_grad\(\)'
    ):
        measure(NeuralSystem(model, LOSS, classes((4, 3))))


def test_modes_of_the_caller() -> None:
    model, data = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)).double(), classes((4, 3))
    expected = measure(NeuralSystem(model, LOSS, data), exact=True)["all"]
    with torch.no_grad():
        assert measure(NeuralSystem(model, LOSS, data), exact=True)["all"] == expected
    with (
        torch.inference_mode(),
        pytest.raises(InvalidInputError, match=r"^there are no gradients in torch.inference_mode"),
    ):
        NeuralSystem(model, LOSS, data)
    with torch.inference_mode():
        made = nn.Linear(3, 1).double()
    with pytest.raises(InvalidInputError, match=r'^"weight" of the model was made in torch.inference_mode'):
        NeuralSystem(made, LOSS, data)


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
