"""Sides of samples: margins, and the share on the right side, where outputs and targets have sides."""

import torch
from torch import Tensor

from critlearn.analysis.batches import batch_size
from critlearn.compositions import SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.compositions.output_loss import OutputLoss
from critlearn.network import NeuralSystem


def _signs(loss: OutputLoss, target: Tensor) -> Tensor | None:
    """Sides -1 and +1 of single targets: themselves, or those of probabilities 0 and 1; None where they are neither."""
    if bool((target.abs() == 1).all()):
        return target
    activation = getattr(loss, "activation", None)
    if getattr(activation, "range", None) == (0.0, 1.0) and bool(((target == 0) | (target == 1)).all()):
        return 2 * target - 1
    return None


def margins_of(loss: OutputLoss, y: Tensor, target: Tensor) -> Tensor | None:
    """Margin of each sample of a batch; None where there is none.

    For softmax, output of the true class minus the logarithm of the summed exponentials of the others; for a single
    output with targets -1 and +1, output times target.
    """
    if isinstance(loss, SoftmaxCrossEntropy):
        return loss.margins(y, target)
    signs = _signs(loss, target) if not loss.class_targets and y.shape == target.shape and y.shape[1] == 1 else None
    return None if signs is None else (y * signs).flatten()


def on_right_side(loss: OutputLoss, y: Tensor, target: Tensor) -> Tensor | None:
    """Whether each sample of a batch is on the right side: that of the largest output, or of the sign.

    None where there are no sides. With more than two classes, a sample may be right although its margin is negative.
    """
    if isinstance(loss, TokenCrossEntropy):
        return None
    if loss.class_targets and target.dim() == 1:
        return y.argmax(dim=1) == target
    margins = margins_of(loss, y, target)
    return None if margins is None else margins > 0


@torch.no_grad()
def accuracy(system: NeuralSystem) -> float | None:
    """Share of the samples on the right side: of the largest output, or of the sign; None where there are no sides."""
    right, counted = 0, 0
    for x, t in system.boundary(batch_size(system)):
        sides = on_right_side(system.loss, *system.forward(x, t))
        if sides is None:
            return None
        right += int(sides.sum())
        counted += len(sides)
    return right / counted
