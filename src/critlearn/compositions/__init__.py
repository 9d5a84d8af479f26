"""Compositions of an output activation and a loss, as data: SymPy forms of the logarithm of their error signal."""

from critlearn.compositions.activation import Activation
from critlearn.compositions.catalogue.activations import ACTIVATIONS, find_activation
from critlearn.compositions.catalogue.losses import LOSSES, find_loss, power
from critlearn.compositions.composition import Composition
from critlearn.compositions.loss import Loss
from critlearn.compositions.output_loss import OutputLoss
from critlearn.compositions.softmax.cross_entropy import SoftmaxCrossEntropy
from critlearn.compositions.softmax.soft_targets import SoftTargetCrossEntropy
from critlearn.compositions.softmax.tokens import TokenCrossEntropy
from critlearn.compositions.tails.asymptote import Asymptote
from critlearn.compositions.torch_losses.averaged import Averaged, Huber

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "Asymptote",
    "Averaged",
    "Composition",
    "Huber",
    "Loss",
    "OutputLoss",
    "SoftTargetCrossEntropy",
    "SoftmaxCrossEntropy",
    "TokenCrossEntropy",
    "find_activation",
    "find_loss",
    "power",
]
