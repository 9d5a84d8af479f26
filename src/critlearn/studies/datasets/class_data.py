"""Data of any number of classes, as one value: features, classes, names, and where they come from."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from critlearn.compositions.output_loss import OutputLoss
from critlearn.errors import DataError, InvalidInputError

_FEWEST: Final = 2
"""Samples of a class: of a single one no spread is known."""


@dataclass(frozen=True, eq=False, repr=False)
class ClassData:
    """Samples of two classes or more.

    Parameters
    ----------
    x
        Features, shape (sample, feature), finite.
    labels
        Class of each sample, counted from 0, shape (sample,).
    name
        Name of the data set.
    class_names
        Names of the classes, in the order of their numbers.
    source
        Origin and preprocessing, in words.

    Raises
    ------
    DataError
        If shapes do not fit, a feature is not finite, there is one class only, or a class has fewer than two samples.
    """

    x: Tensor
    labels: Tensor
    name: str
    class_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        x, labels, name = self.x, self.labels, self.name
        if x.dim() != 2 or labels.shape != x.shape[:1] or x.shape[1] == 0:
            raise DataError(
                f'"{name}" needs x (samples, features) and labels (samples,); '
                f"got {tuple(x.shape)}, {tuple(labels.shape)}"
            )
        if not bool(torch.isfinite(x).all()):
            raise DataError(f'"{name}" holds features that are not finite')
        if self.classes < 2:
            raise DataError(f'"{name}" has {self.classes} class ({", ".join(self.class_names)}); two are needed')
        if labels.is_floating_point() or not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise DataError(f'"{name}" needs whole numbers from 0 to {self.classes - 1} as labels')
        counts = torch.bincount(labels, minlength=self.classes)
        if int(counts.min()) < _FEWEST:
            rare = self.class_names[int(counts.argmin())]
            # What has more values than samples of each is no class, but a number: the wrong column was taken.
            many = f" (of {self.classes}; --target names the column of the class)" if self.classes > 2 else ""
            raise DataError(f'"{name}" has fewer than {_FEWEST} samples of class "{rare}"{many}')

    def __repr__(self) -> str:
        samples, features = self.x.shape
        return (
            f"ClassData({self.name}: {samples:,} samples, {features} features, classes {', '.join(self.class_names)})"
        )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def require_two_classes(self) -> None:
        """Raise if there are more than two classes.

        Raises
        ------
        InvalidInputError
            If there are.
        """
        if self.classes > 2:
            raise InvalidInputError(
                f'"{self.name}" has {self.classes} classes, and here are two: take softmax and cross-entropy, as '
                "`critlearn run classes` does, or data of two classes, such as flights or digits:3v8"
            )

    @property
    def signs(self) -> Tensor:
        """Targets -1 and +1 of two classes, shape (sample,).

        Raises
        ------
        InvalidInputError
            If there are more classes.
        """
        self.require_two_classes()
        return 2.0 * self.labels.to(self.x.dtype) - 1.0

    def boundary(self, loss: OutputLoss) -> TensorDataset:
        """Samples with the targets that a loss takes: numbers of the classes, or -1 and +1 for a single output.

        Raises
        ------
        InvalidInputError
            If the loss is one of a single output, and there are more than two classes.
        """
        return TensorDataset(self.x, self.labels if loss.class_targets else self.signs)


def numbered_classes(labels: np.ndarray, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers of the classes from labels of any type, and the names of the classes, in their order.

    Raises
    ------
    DataError
        If a label is missing.
    """
    flat = np.asarray(labels)
    missing = pd.isna(flat)
    if missing.any():
        raise DataError(f'"{name}": the class of row {int(np.flatnonzero(missing)[0]) + 1} of the data is missing')
    # Numbers are ordered as numbers, all else as text.
    kinds, numbers = np.unique(flat if flat.dtype.kind in "fiub" else flat.astype(str), return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(str(kind) for kind in kinds)
