"""Softmax + cross-entropy against plain definitions at high precision, and its place in a neural system."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch

from critlearn.compositions import Composition, OutputLoss, SoftmaxCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.network import CompositionLoss

OUTPUTS = np.array([[0.3, -1.2, 2.0], [700.0, 0.0, -5.0], [0.0, 40.0, 20.0], [-700.0, 3.0, 3.0]])
TARGETS = np.array([0, 0, 1, 0])


def _errors(row: np.ndarray, t: int) -> list[mp.mpf]:
    weights = [mp.exp(mp.mpf(float(value))) for value in row]
    return [weight / mp.fsum(weights) - (i == t) for i, weight in enumerate(weights)]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_output_errors_match_the_definition_in_logarithms(library: str) -> None:
    given = (OUTPUTS, TARGETS) if library == "numpy" else (torch.from_numpy(OUTPUTS), torch.from_numpy(TARGETS))
    sign, log_size = (np.asarray(part) for part in SoftmaxCrossEntropy().log_output_error(*given))
    with mp.workdps(700):
        for i, (row, t) in enumerate(zip(OUTPUTS, TARGETS, strict=True)):
            for j, true in enumerate(_errors(row, t)):
                assert sign[i, j] == mp.sign(true)
                assert abs(log_size[i, j] - float(mp.log(abs(true)))) < 1e-9


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_value_matches_the_definition(library: str) -> None:
    given = (OUTPUTS, TARGETS) if library == "numpy" else (torch.from_numpy(OUTPUTS), torch.from_numpy(TARGETS))
    value = np.asarray(SoftmaxCrossEntropy().value(*given))
    with mp.workdps(700):
        for i, (row, t) in enumerate(zip(OUTPUTS, TARGETS, strict=True)):
            weights = [mp.exp(mp.mpf(float(entry))) for entry in row]
            true = float(-mp.log(weights[t] / mp.fsum(weights)))
            # 1 + exp(-700) is 1 in double precision: the value itself may be 0, its error signal may not.
            assert value[i] == pytest.approx(true, rel=1e-12, abs=1e-16)


def test_training_loss_and_its_gradient_agree_with_torch_where_torch_is_exact() -> None:
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(7, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    t = torch.randint(4, (7,), generator=generator)
    ours = CompositionLoss(SoftmaxCrossEntropy())(y, t)
    (gradient,) = torch.autograd.grad(ours, y)
    theirs = torch.nn.functional.cross_entropy(y, t)
    (reference,) = torch.autograd.grad(theirs, y)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-15)


def test_single_precision_outputs_keep_the_error_of_the_true_class() -> None:
    error = SoftmaxCrossEntropy().output_error(torch.tensor([[50.0, 0.0]]), torch.tensor([0]))
    assert error.dtype == torch.float32
    np.testing.assert_allclose(error.numpy(), [[-math.exp(-50), math.exp(-50)]], rtol=1e-6)


def test_both_kinds_of_loss_satisfy_the_protocol() -> None:
    assert isinstance(Composition("tanh", "mse"), OutputLoss)
    assert isinstance(SoftmaxCrossEntropy(), OutputLoss)


@pytest.mark.parametrize(
    ("y", "t", "message"),
    [
        (np.zeros((2, 3)), np.array([0, 3]), "class indices 0..2"),
        (np.zeros((2, 3)), np.array([0, -1]), "class indices 0..2"),
        (np.zeros((2, 3)), np.zeros((2, 3)), "class indices"),
        (np.zeros((2, 1)), np.array([0, 0]), "two classes or more"),
    ],
)
def test_bad_targets_are_refused(y: np.ndarray, t: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        SoftmaxCrossEntropy().log_output_error(y, t)
