"""Sides of samples: margins, and the share on the right side, where outputs and targets have sides."""

import torch
from torch import Tensor

from critlearn.analysis.batches import batch_size
from critlearn.compositions import SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.compositions.output_loss import OutputLoss
from critlearn.network import NeuralSystem


def margins_of(loss: OutputLoss, y: Tensor, target: Tensor) -> Tensor | None:
    """Margin of each sample of a batch; None where there is none.

    For softmax, output of the true class minus the logarithm of the summed exponentials of the others; for a single
    output with targets -1 and +1, output times target.
    """
    if isinstance(loss, SoftmaxCrossEntropy):
        return loss.margins(y, target)
    if not loss.class_targets and y.shape[1] == 1 and bool((target.abs() == 1).all()):
        return (y * target).flatten()
    return None


@torch.no_grad()
def accuracy(system: NeuralSystem) -> float | None:
    """Share of the samples on the right side: of the largest output, or of the sign; None where there are no sides."""
    right, counted = 0, 0
    for x, t in system.boundary(batch_size(system)):
        y, target = system.forward(x, t)
        if isinstance(system.loss, TokenCrossEntropy):
            return None
        if system.loss.class_targets and target.dim() == 1:
            right += int((y.argmax(dim=1) == target).sum())
        else:
            margins = margins_of(system.loss, y, target)
            if margins is None:
                return None
            right += int((margins > 0).sum())
        counted += len(y)
    return right / counted
