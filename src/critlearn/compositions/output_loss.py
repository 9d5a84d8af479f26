"""Protocol of losses that the learning pass accepts: value, output error and its logarithm."""

from typing import Protocol, runtime_checkable

from critlearn.compositions.symbolic.functions import Array


@runtime_checkable
class OutputLoss(Protocol):
    """Loss of pre-activations whose output error is exact in the tail.

    Two kinds of targets exist. A loss of single outputs, such as `Composition`, takes outputs and targets of one shape
    ``(batch, outputs)``, and its values have that shape too. A loss of classes, such as `SoftmaxCrossEntropy`, takes
    outputs ``(batch, classes)`` and class indices ``(batch,)``, and gives one value per sample, shape ``(batch,)``.
    Output errors always have the shape of the outputs.
    """

    @property
    def name(self) -> str:
        """Name such as ``sigmoid+bce``."""
        ...

    @property
    def class_targets(self) -> bool:
        """Whether targets are class indices, shape (batch,), and not one number per output."""
        ...

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each output, or of each sample for a loss of classes."""
        ...

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of ``dl/dy`` and ``ln|dl/dy|`` (``-inf`` for an exact zero), shape of ``y``, in double precision."""
        ...

    def output_error(self, y: Array, t: Array) -> Array:
        """``dl/dy``, shape and dtype of ``y``."""
        ...
