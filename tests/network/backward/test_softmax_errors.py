"""Output errors of softmax in single precision against mpmath, and the batches for which double precision is needed."""

import math

import mpmath as mp
import pytest
import torch
from torch import Tensor

from critlearn.compositions import OutputLoss, SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.network.backward.softmax_errors import softmax_errors_in_single
from critlearn.numerics.log_sketch import BIN_WIDTH

CLASSES, POSITIONS, IGNORED = 7, 3, -100


def _outputs(samples: int, width: int, size: float) -> Tensor:
    return size * torch.randn(samples, width, generator=torch.Generator().manual_seed(3))


def _by_definition(row: list[float], target: int) -> list[mp.mpf]:
    """``p_i - [i = t]`` at 60 digits."""
    with mp.workdps(60):
        terms = [mp.exp(mp.mpf(value)) for value in row]
        return [term / mp.fsum(terms) - (place == target) for place, term in enumerate(terms)]


@pytest.mark.parametrize("size", [1.0, 8.0])
@pytest.mark.parametrize("mean", [False, True])
def test_errors_of_tokens_are_those_of_60_digits(size: float, mean: bool) -> None:
    y = _outputs(4, POSITIONS * CLASSES, size)
    t = torch.tensor([[0, 3, 6], [1, IGNORED, 2], [IGNORED, IGNORED, IGNORED], [6, 6, 6]])
    # A true class that is all but certain: its error is the sum of the others', not a difference.
    y[0, 0] = 25.0
    found = softmax_errors_in_single(TokenCrossEntropy(mean=mean), y, t)
    assert found is not None
    values, log_scale = found
    assert log_scale[2] == -math.inf
    assert not values[2].any()
    for sample in (0, 1, 3):
        count = int((t[sample] != IGNORED).sum()) if mean else 1
        unit = float(log_scale[sample]) / BIN_WIDTH
        assert unit == pytest.approx(round(unit), abs=1e-6)
        assert 0.98 < float(values[sample].abs().max()) <= 1 + 1e-6
        for position, target in enumerate(t[sample].tolist()):
            own = values[sample, position * CLASSES : (position + 1) * CLASSES].tolist()
            if target == IGNORED:
                assert own == [0.0] * CLASSES
                continue
            row = y[sample, position * CLASSES : (position + 1) * CLASSES].tolist()
            for value, expected in zip(own, _by_definition(row, target), strict=True):
                assert abs(value * mp.exp(float(log_scale[sample])) / (expected / count) - 1) < 1e-5


def test_errors_of_classes_are_those_of_60_digits() -> None:
    y, t = _outputs(5, CLASSES, 3.0), torch.tensor([0, 1, 2, 6, 6])
    found = softmax_errors_in_single(SoftmaxCrossEntropy(), y, t)
    assert found is not None
    for sample, target in enumerate(t.tolist()):
        for value, expected in zip(found[0][sample].tolist(), _by_definition(y[sample].tolist(), target), strict=True):
            assert abs(value * mp.exp(float(found[1][sample])) / expected - 1) < 1e-5


@pytest.mark.parametrize(
    ("loss", "y", "t"),
    [
        (SoftmaxCrossEntropy(), _outputs(2, CLASSES, 60.0), torch.tensor([0, 1])),
        (SoftmaxCrossEntropy(), _outputs(2, CLASSES, 300.0), torch.tensor([0, 1])),
        (SoftmaxCrossEntropy(), _outputs(2, CLASSES, 1.0).double(), torch.tensor([0, 1])),
        (SoftmaxCrossEntropy(), _outputs(2, CLASSES, 1.0), torch.tensor([0, CLASSES])),
        (TokenCrossEntropy(classes_last=False), _outputs(2, 2 * CLASSES, 1.0), torch.tensor([[0, 1], [1, 2]])),
    ],
    ids=["below 1e-30", "underflown", "double", "no class", "classes before positions"],
)
def test_other_batches_are_left_to_double_precision(loss: OutputLoss, y: Tensor, t: Tensor) -> None:
    assert softmax_errors_in_single(loss, y, t) is None
