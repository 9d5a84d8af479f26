"""Sides of samples, by the definitions: largest output, or sign."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.analysis.sides import accuracy, margins_of, on_right_side


def test_a_sample_of_three_classes_may_be_right_with_a_negative_margin() -> None:
    loss = critlearn.NeuralSystem(
        nn.Linear(2, 3), nn.CrossEntropyLoss(), TensorDataset(torch.randn(4, 2), torch.tensor([0, 1, 2, 0]))
    ).loss
    y = torch.tensor([[0.1, 0.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 5.0]])
    target = torch.tensor([0, 1, 2])
    right = on_right_side(loss, y, target)
    assert right is not None
    assert right.tolist() == [True, False, True]
    margins = margins_of(loss, y, target)
    assert margins is not None
    # y_t - ln of the summed exponentials of the others.
    assert margins[0].item() == pytest.approx(0.1 - np.log(2))


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(), critlearn.Composition("sigmoid", "bce")])
def test_classes_zero_and_one_have_sides(loss: object) -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 2)
    t = (x[:, :1] + 0.3 * torch.randn(300, 1) > 0).float()
    model = nn.Linear(2, 1)
    expected = float(((model(x) > 0) == (t > 0)).double().mean())
    analysis = critlearn.analyze(model, loss, TensorDataset(x, t), progress=False)
    assert analysis.record["accuracy"] == pytest.approx(expected, abs=1e-9)
    table = analysis.samples(300)
    assert table["suspect"].sum() == round((1 - expected) * 300)
    assert analysis.record["composition"]["name"] == "sigmoid+bce"


def test_a_regression_has_no_sides() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 2)
    analysis = critlearn.analyze(nn.Linear(2, 1), nn.MSELoss(), (x, x[:, :1] ** 2), progress=False)
    assert accuracy(analysis.system) is None  # type: ignore[arg-type]
    assert analysis.samples(3)["suspect"].isna().all()
