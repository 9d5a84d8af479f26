"""Cross-entropy of tokens: values and errors of torch where it is exact, right where it is not."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from critlearn.compositions import TokenCrossEntropy

SAMPLES, POSITIONS, CLASSES = 3, 4, 5


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = 3 * torch.randn(SAMPLES, POSITIONS, CLASSES, dtype=torch.float64, generator=generator)
    t = torch.randint(CLASSES, (SAMPLES, POSITIONS), generator=generator)
    t[0, 1], t[2, :3] = -100, -100
    return y, t


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_values_and_errors_are_those_of_torch(reduction: str, last: bool) -> None:
    y, t = _batch()
    loss = TokenCrossEntropy(mean=reduction == "mean", classes_last=last)
    flat = (y if last else y.transpose(1, 2)).reshape(SAMPLES, -1)
    leaf = y.clone().requires_grad_()
    # Torch has the classes in the second dimension; one sample at a time.
    expected = torch.stack(
        [functional.cross_entropy(leaf[at : at + 1].transpose(1, 2), t[at : at + 1], reduction=reduction)
         for at in range(SAMPLES)]
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    torch.testing.assert_close(loss.value(flat, t), expected.detach(), rtol=1e-13, atol=0)
    found = loss.output_error(flat, t).reshape((SAMPLES, POSITIONS, CLASSES) if last else (SAMPLES, CLASSES, POSITIONS))
    torch.testing.assert_close(found if last else found.transpose(1, 2), gradient, rtol=1e-10, atol=1e-15)
    in_numpy = loss.log_output_error(flat.numpy(), t.numpy())
    for one, other in zip(in_numpy, loss.log_output_error(flat, t), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-13, atol=1e-15)


def test_the_error_of_a_certain_token_is_the_sum_of_the_others() -> None:
    y = torch.tensor([[[90.0, 0.0, -2.0], [0.0, 60.0, 1.0]]], dtype=torch.float64)
    t = torch.tensor([[0, 1]])
    sign, log_size = TokenCrossEntropy().log_output_error(y.reshape(1, -1), t)
    with mp.workdps(60):
        expected = []
        for row, true in zip(y[0].tolist(), t[0].tolist(), strict=True):
            total = mp.fsum(mp.exp(value) for value in row)
            errors = [mp.exp(value) / total - (place == true) for place, value in enumerate(row)]
            expected += [float(mp.log(abs(error))) for error in errors]
    assert log_size.flatten().tolist() == pytest.approx(expected, rel=1e-13)
    assert sign.tolist() == [[-1, 1, 1, 1, -1, 1]]
    # Torch's own error of the true class is an exact zero there.
    leaf = y.clone().requires_grad_()
    functional.cross_entropy(leaf[0], t[0], reduction="sum").backward()
    assert float(leaf.grad[0, 0, 0]) == 0  # type: ignore[index]


def test_a_sample_without_counted_positions_has_neither_loss_nor_error() -> None:
    y, t = _batch()
    t[1] = -100
    for mean in (False, True):
        loss = TokenCrossEntropy(mean=mean)
        assert float(loss.value(y.flatten(1), t)[1]) == 0
        assert bool(torch.isneginf(loss.log_output_error(y.flatten(1), t)[1][1]).all())


def test_right_tokens() -> None:
    y = torch.zeros(2, 2, 3)
    y[:, :, 1] = 1.0
    t = torch.tensor([[1, 1], [1, 2]])
    assert TokenCrossEntropy().all_right(y.flatten(1), t).tolist() == [True, False]
    t[1, 1] = -100
    assert TokenCrossEntropy().all_right(y.flatten(1), t).tolist() == [True, True]


def test_a_mean_over_counted_tokens_by_hand() -> None:
    loss = TokenCrossEntropy(mean=True)
    y, t = np.zeros((1, 6)), np.array([[1, -100]])
    assert loss.value(y, t).tolist() == pytest.approx([math.log(3)])
    assert loss.output_error(y, t)[0].tolist() == pytest.approx([1 / 3, -2 / 3, 1 / 3, 0, 0, 0])


def test_segmentation_has_classes_in_the_second_dimension() -> None:
    from torch.utils.data import TensorDataset

    from critlearn import NeuralSystem
    from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).double()
    x, t = torch.randn(4, 2, 5, 6, dtype=torch.float64), torch.randint(3, (4, 5, 6))
    t[1, 2] = -100
    loss = nn.CrossEntropyLoss()
    found = {item.name: item for item in PerSampleGradients(NeuralSystem(model, loss, TensorDataset(x, t))).batch(x, t)}
    for sample in range(4):
        model.zero_grad()
        loss(model(x[sample : sample + 1]), t[sample : sample + 1]).backward()
        for name, value in model.named_parameters():
            item = found[name]
            ours = item.grad_sample.dense()[sample] * item.log_scale[sample].exp()
            assert value.grad is not None
            torch.testing.assert_close(ours, value.grad.flatten(), rtol=1e-9, atol=1e-15)
