"""Torch modules of designed losses."""

from critlearn._torch import torch  # noqa: F401  # first, so that a missing PyTorch is reported in one line

# isort: split
from torch import Tensor, nn

from critlearn.compositions import OutputLoss
from critlearn.network.modules import CompositionLoss


class DesignedLoss(nn.Module):
    """Mean of a designed loss over pre-activations, with gradients that are exact in the tail.

    Shapes: ``(batch, outputs)`` with targets of the same shape, or ``(batch, classes)`` with class indices
    ``(batch,)``. It has no parameters, works on any device, and can be pickled.

    Parameters
    ----------
    loss
        The loss.
    formula
        The formula that the module prints.
    """

    def __init__(self, loss: OutputLoss, formula: str) -> None:
        super().__init__()
        self.exact = CompositionLoss(loss)
        self.formula = formula

    @property
    def loss(self) -> OutputLoss:
        """The loss, for a `NeuralSystem`."""
        return self.exact.composition

    def forward(self, pre_activation: Tensor, target: Tensor) -> Tensor:
        """Mean loss."""
        return self.exact(pre_activation, target)

    def extra_repr(self) -> str:
        """The formula."""
        return self.formula
