"""Output errors of softmax with cross-entropy in single precision, where none of them is near the ends of its range.

Language models have thousands of classes at every position: logarithms of all of them in double precision would take as
long as the forward pass.
"""

import torch
from torch import Tensor

from critlearn.compositions import OutputLoss, SoftmaxCrossEntropy, TokenCrossEntropy
from critlearn.network.backward.single_precision import SMALLEST, size_range
from critlearn.numerics.log_sketch import BIN_WIDTH


def softmax_errors_in_single(loss: OutputLoss, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor] | None:
    """Output errors in units of each sample's largest, and the logarithms of these units, which are whole bins.

    No error is formed by subtraction: that of the true class is minus the sum of the others.

    Parameters
    ----------
    loss
        Loss of the outputs.
    y
        Finite outputs, shape (sample, output).
    t
        Targets, in the form that the loss takes.

    Returns
    -------
    tuple or None
        None if the loss is another one, if outputs are not in single precision, if an error other than 0 is below
        `SMALLEST`, or if a target is no class.
    """
    if isinstance(loss, TokenCrossEntropy):
        if not loss.classes_last or not isinstance(loss.single, SoftmaxCrossEntropy):
            return None
        counted = t != loss.ignored
    elif isinstance(loss, SoftmaxCrossEntropy):
        t = t[:, None]
        counted = torch.ones_like(t, dtype=torch.bool)
    else:
        return None
    classes = y.shape[1] // max(1, t.shape[1])
    place = torch.where(counted, t, 0)
    if y.dtype != torch.float32 or classes < 2 or not bool(((place >= 0) & (place < classes)).all()):
        return None
    rows, place = y.reshape(-1, classes), place.reshape(-1, 1).long()
    terms = (rows - rows.amax(dim=1, keepdim=True)).exp_()
    own = terms.gather(1, place)
    others = terms.scatter_(1, place, 0.0).sum(dim=1, keepdim=True)
    largest = torch.maximum(terms.amax(dim=1, keepdim=True), others)
    terms.scatter_(1, place, -others)
    weight = counted.double()
    if isinstance(loss, TokenCrossEntropy) and loss.mean:
        weight /= weight.sum(dim=1, keepdim=True).clamp(min=1.0)
    weight /= (own + others).double().reshape(weight.shape)
    unit = (largest.double().reshape(weight.shape) * weight).amax(dim=1)
    log_scale = (unit.log() / BIN_WIDTH).ceil() * BIN_WIDTH
    weight *= torch.where(unit > 0, -log_scale, 0.0).exp()[:, None]
    values = terms.mul_(weight.reshape(-1, 1).float()).reshape(y.shape)
    return None if size_range(values)[0] < SMALLEST or _underflown(values, counted, classes) else (values, log_scale)


def _underflown(values: Tensor, counted: Tensor, classes: int) -> bool:
    """Whether an error of a counted position is 0, which none is."""
    return int(values.count_nonzero()) < int(counted.count_nonzero()) * classes
