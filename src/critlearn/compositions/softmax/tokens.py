"""Softmax followed by cross-entropy at every position of a sequence: language models, tagging, segmentation."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from critlearn.compositions.output_loss import OutputLoss
from critlearn.compositions.softmax.cross_entropy import SoftmaxCrossEntropy, array_module
from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import library_of
from critlearn.errors import InvalidInputError

_SINGLE: Final = SoftmaxCrossEntropy()


@dataclass(frozen=True)
class TokenCrossEntropy:
    """Sum, or mean, of softmax cross-entropy over the counted positions of a sample, which is a sequence.

    The error of a position is that of `SoftmaxCrossEntropy`: that of the true class is minus the sum of the others. A
    position whose target is `ignored` has neither loss nor error.

    Outputs ``y`` have shape (batch, positions x classes), targets ``t`` are class indices (batch, positions); both may
    be NumPy arrays or torch tensors.

    Parameters
    ----------
    ignored
        Target of positions that are not counted.
    mean
        Divide by the number of counted positions of the sample.
    classes_last
        Whether outputs of a sample are ordered (position, class), and not (class, position).
    single
        Loss of one position: `SoftmaxCrossEntropy`, or with weights and smoothing `WeightedCrossEntropy`, by whose
        weights a mean is divided, as torch does.

    >>> TokenCrossEntropy().value(np.zeros((1, 6)), np.array([[1, 2, -100]])).round(4).tolist()
    [1.3863]
    """

    ignored: int = -100
    mean: bool = False
    classes_last: bool = True
    single: OutputLoss = _SINGLE
    class_targets: bool = True

    @property
    def name(self) -> str:
        """Name of the loss."""
        return f"{self.single.name}, {'mean' if self.mean else 'sum'} over positions"

    def value(self, y: Array, t: Array) -> Array:
        """Loss of each sample, shape (batch,)."""
        rows, target, counted = self._rows(y, t)
        library = array_module(rows)
        single = library.where(counted, self.single.value(rows, target), 0.0)
        total = single.reshape(tuple(t.shape)).sum(1)
        return total / self._count(counted, target, t) if self.mean else total

    def log_output_error(self, y: Array, t: Array) -> tuple[Array, Array]:
        """Sign of the output error and ``ln|dl/dy|``, shape of ``y``, in double precision."""
        rows, target, counted = self._rows(y, t)
        library = array_module(rows)
        sign, log_size = self.single.log_output_error(rows, target)
        log_size = library.where(counted[:, None], log_size, -np.inf)
        if self.mean:
            share = library.log(self._count(counted, target, t))[:, None]
            log_size = log_size - library.broadcast_to(share, tuple(t.shape)).reshape(-1)[:, None]
        return self._flat(library.where(counted[:, None], sign, 0.0), t), self._flat(log_size, t)

    def output_error(self, y: Array, t: Array) -> Array:
        """``dl/dy``, shape and dtype of ``y``."""
        sign, log_size = self.log_output_error(y, t)
        if library_of(y) == "torch":
            return (sign * log_size.exp()).to(y.dtype)
        return sign * np.exp(log_size)

    def all_right(self, y: Array, t: Array) -> Array:
        """Whether the largest output is that of the true class at every counted position, shape (batch,)."""
        rows, target, counted = self._rows(y, t)
        right = (rows.argmax(1) == target) | ~counted
        return right.reshape(tuple(t.shape)).all(1)

    def only_positions(self, y: Array, t: Array) -> tuple[Array, Array] | None:
        """Outputs (batch, classes) and class of the only counted position of each sample; None if there are others."""
        rows, target, counted = self._rows(y, t)
        if bool((counted.reshape(tuple(t.shape)).sum(1) != 1).any()):
            return None
        return rows[counted], target[counted]

    def _rows(self, y: Array, t: Array) -> tuple[Array, Array, Array]:
        """Outputs (batch x positions, classes), targets, and whether a position is counted; 0 where it is not.

        Raises
        ------
        InvalidInputError
            If there is no whole number of classes at each position.
        """
        if library_of(y) != "torch":
            y, t = np.asarray(y, dtype=np.float64), np.asarray(t)
        if len(y.shape) != 2 or len(t.shape) != 2 or len(y) != len(t) or y.shape[1] % max(1, t.shape[1]):
            raise InvalidInputError(
                "a loss of tokens needs outputs (batch, positions x classes) and class indices (batch, positions); got "
                f"{tuple(y.shape)} and {tuple(t.shape)}"
            )
        samples, positions = t.shape
        if self.classes_last:
            rows = y.reshape(samples * positions, -1)
        else:
            rows = y.reshape(samples, -1, positions).swapaxes(1, 2).reshape(samples * positions, -1)
        flat = t.reshape(-1)
        counted = flat != self.ignored
        return rows, array_module(y).where(counted, flat, 0), counted

    def _flat(self, rows: Array, t: Array) -> Array:
        """Numbers of outputs in the order of the outputs, shape (batch, positions x classes)."""
        samples, positions = t.shape
        if self.classes_last:
            return rows.reshape(samples, -1)
        return rows.reshape(samples, positions, -1).swapaxes(1, 2).reshape(samples, -1)

    def _count(self, counted: Array, target: Array, t: Array) -> Array:
        """Weight of the counted positions of each sample, and 1 where there is none, whose loss is 0 all the same."""
        library = array_module(counted)
        weight_of = getattr(self.single, "weight_of", None)
        weight = 1.0 if weight_of is None else weight_of(target)
        number = library.where(counted, weight, 0.0).reshape(tuple(t.shape)).sum(1)
        number = number.double() if library_of(number) == "torch" else number
        return library.where(number > 0, number, 1.0)
