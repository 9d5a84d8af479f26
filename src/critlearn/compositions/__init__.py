"""Compositions of an output activation and a loss, as data: logarithms from which all else follows."""

from critlearn.compositions.activation import Activation
from critlearn.compositions.activations import ACTIVATIONS, find_activation
from critlearn.compositions.asymptote import Asymptote
from critlearn.compositions.averaged import Averaged, Huber
from critlearn.compositions.composition import Composition
from critlearn.compositions.loss import Loss
from critlearn.compositions.losses import LOSSES, find_loss, power
from critlearn.compositions.output_loss import OutputLoss
from critlearn.compositions.soft_targets import SoftTargetCrossEntropy
from critlearn.compositions.softmax import SoftmaxCrossEntropy

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
    "find_activation",
    "find_loss",
    "power",
]
