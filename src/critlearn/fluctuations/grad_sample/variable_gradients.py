"""Gradients of one variable for the samples of a batch."""

from dataclasses import dataclass

from torch import Tensor

from critlearn.fluctuations.grad_sample.protocol import Contribution


@dataclass(frozen=True, eq=False)
class VariableGradients:
    """Gradients ``exp(log_scale) * contribution`` of one trainable variable for the samples of a batch.

    Parameters
    ----------
    name
        Name of the variable.
    contribution
        The gradients in units of each sample's scale.
    log_scale
        Logarithms of the units, shape (sample,).
    start
        Position of the first sample in the batch: written-out gradients come in pieces.
    """

    name: str
    contribution: Contribution
    log_scale: Tensor
    start: int = 0
