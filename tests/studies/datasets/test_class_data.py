"""Data of classes as a value: what a loss takes of them, and what is refused."""

import pytest
import torch

from critlearn.compositions import Composition, SoftmaxCrossEntropy
from critlearn.errors import DataError, InvalidInputError
from critlearn.studies import ClassData

X = torch.arange(12.0).double().reshape(6, 2)
NAMES = ("no", "yes")


def test_a_loss_of_one_output_takes_signs_and_one_of_classes_takes_numbers() -> None:
    data = ClassData(X, torch.tensor([0, 1, 1, 0, 1, 0]), "mine", NAMES, "here")
    for loss, expected in (
        (Composition("sigmoid", "bce"), [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0]),
        (SoftmaxCrossEntropy(), [0, 1, 1, 0, 1, 0]),
    ):
        x, t = data.boundary(loss).tensors
        assert torch.equal(x, X)
        assert t.tolist() == expected
        assert t.dtype is (torch.float64 if loss.class_targets is False else torch.int64)


def test_more_than_two_classes_need_an_output_for_each() -> None:
    data = ClassData(X, torch.tensor([0, 1, 2, 0, 1, 2]), "mine", ("a", "b", "c"), "here")
    assert data.boundary(SoftmaxCrossEntropy()).tensors[1].tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(InvalidInputError, match=r'"mine" has 3 classes.*`critlearn run classes`.*digits:3v8'):
        data.boundary(Composition("sigmoid", "bce"))


@pytest.mark.parametrize(
    ("x", "labels", "names", "message"),
    [
        (torch.ones(4), [0, 0, 1, 1], NAMES, "needs x"),
        (torch.ones(4, 0), [0, 0, 1, 1], NAMES, "needs x"),
        (torch.ones(3, 2), [0, 0, 1, 1], NAMES, "needs x"),
        (torch.tensor([[1.0], [2.0], [torch.nan], [3.0]]), [0, 0, 1, 1], NAMES, "not finite"),
        (torch.ones(4, 1), [0, 0, 1, 2], NAMES, "whole numbers from 0 to 1"),
        (torch.ones(4, 1), [0, 0, 1, -1], NAMES, "whole numbers from 0 to 1"),
        (torch.ones(4, 1), [0.0, 0.0, 1.0, 1.0], NAMES, "whole numbers from 0 to 1"),
        (torch.ones(4, 1), [0, 0, 0, 0], ("no",), r"has 1 class \(no\); two are needed"),
        (torch.ones(4, 1), [1, 1, 1, 0], NAMES, 'fewer than 2 samples of class "no"$'),
        (torch.ones(4, 1), [1, 1, 1, 1], NAMES, 'fewer than 2 samples of class "no"$'),
    ],
)
def test_tensors_that_are_no_classes_are_refused(
    x: torch.Tensor, labels: list[float], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ClassData(x, torch.tensor(labels), "mine", names, "here")
