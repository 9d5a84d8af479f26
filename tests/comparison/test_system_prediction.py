"""Predictions of networks from their own state against their measured fluctuations."""

import pytest
import torch
from torch.utils.data import TensorDataset

from critlearn.comparison import predict
from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.inverse_design import TemperedSoftmax
from critlearn.network import NeuralSystem, feed_forward


def _data(classes: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3000, 5, generator=generator, dtype=torch.float64)
    t = torch.randint(classes, (3000,), generator=generator)
    return TensorDataset(x, t if classes > 2 else 2.0 * t - 1.0)


def test_deep_network_with_one_output() -> None:
    system = NeuralSystem(feed_forward(5, [7, 6], "tanh", seed=0), Composition("sigmoid", "bce"), _data(2))
    prediction = predict(system)
    assert set(prediction.predictions) == set(system.parameters)
    distances = prediction.factorisation(measure(system))
    # Nothing is multiplied for the output bias: only the kernel and the bins come in.
    assert distances["output.bias"].kolmogorov_smirnov < 0.05
    assert all(distance.kolmogorov_smirnov < 0.25 for distance in distances.values())
    assert prediction.to_dict()["assumption"]


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), TemperedSoftmax(1.5)])
def test_many_classes(loss: object) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).double()
    system = NeuralSystem(model, loss, _data(3))  # type: ignore[arg-type]
    prediction = predict(system)
    distances = prediction.factorisation(measure(system))
    assert distances["2.bias"].kolmogorov_smirnov < 0.2


def test_without_dense_layers_nothing_is_predicted() -> None:
    model = torch.nn.Sequential(torch.nn.Conv1d(1, 1, 5), torch.nn.Flatten()).double()
    data = TensorDataset(torch.randn(40, 1, 5, dtype=torch.float64), torch.ones(40))
    with pytest.raises(InvalidInputError, match="dense layers"):
        predict(NeuralSystem(model, Composition("sigmoid", "bce"), data))
