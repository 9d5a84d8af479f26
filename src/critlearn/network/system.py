"""The neural system: a network, the composition that judges its output, and the boundary states that it sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from critlearn.compositions import OutputLoss
from critlearn.errors import InvalidInputError

_COUPLING = (nn.modules.batchnorm._BatchNorm,)
_RANDOM = (nn.modules.dropout._DropoutNd,)


@dataclass(frozen=True, eq=False)
class NeuralSystem:
    """Network, loss and data set.

    Parameters
    ----------
    model
        Any module from a batch of inputs ``(batch, ...)`` to pre-activations ``(batch,)``, ``(batch, 1)`` or
        ``(batch, outputs)``.
    loss
        Composition of output activation and loss, or another loss of the protocol `OutputLoss`.
    dataset
        Map-style data set of pairs ``(x, t)``: the boundary states. ``t`` is a class -1, +1 for an output that
        saturates, and a class index for softmax.

    Raises
    ------
    InvalidInputError
        If nothing is trainable, the data set is empty, samples are coupled or random (batch normalisation or dropout in
        train mode), or one forward pass does not give finite pre-activations that fit the targets.
    """

    model: nn.Module
    loss: OutputLoss
    dataset: Dataset[Any]

    def __post_init__(self) -> None:
        """Refuse a system on which a learning pass could not be made."""
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InvalidInputError("the model has no trainable parameters")
        if len(self) == 0:
            raise InvalidInputError("the data set is empty")
        for name, module in self.model.named_modules():
            if module.training and isinstance(module, _COUPLING):
                raise InvalidInputError(
                    f'module "{name}" ({type(module).__name__}) couples the samples of a batch in train mode: '
                    "call model.eval() first"
                )
            if module.training and isinstance(module, _RANDOM) and getattr(module, "p", 0) > 0:
                raise InvalidInputError(
                    f'module "{name}" ({type(module).__name__}) is random in train mode: call model.eval() first'
                )
        x, t = next(self.boundary(min(2, len(self))))
        self.forward(x, t)

    def __len__(self) -> int:
        """Number of boundary states."""
        return len(self.dataset)  # type: ignore[arg-type]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Trainable variables by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def boundary(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Boundary states in order, in batches, on the device and in the precision of the model.

        Raises
        ------
        InvalidInputError
            If the batch size is not positive.
        """
        if batch_size < 1:
            raise InvalidInputError(f"batch size must be at least 1; got {batch_size}")
        tensors = self.tensors()
        if tensors is not None:
            yield from zip(*(part.split(batch_size) for part in tensors), strict=True)
            return
        for x, t in DataLoader(self.dataset, batch_size=batch_size):
            yield self._placed(x), self._placed(t)

    def tensors(self) -> tuple[Tensor, Tensor] | None:
        """All inputs and targets at once, where the data set holds them as attributes ``x`` and ``t``."""
        x, t = getattr(self.dataset, "x", None), getattr(self.dataset, "t", None)
        if not (isinstance(x, Tensor) and isinstance(t, Tensor) and len(x) == len(t) == len(self)):
            return None
        return self._placed(x), self._placed(t)

    def _placed(self, value: Tensor) -> Tensor:
        like = next(iter(self.parameters.values()))
        return value.to(device=like.device, dtype=like.dtype if value.is_floating_point() else None)

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Pre-activations, shape (batch, outputs), and targets: of the same shape, or class indices (batch,).

        Raises
        ------
        InvalidInputError
            If the two do not fit, or a pre-activation is not finite.
        """
        y = self.model(x)
        if not isinstance(y, Tensor) or y.shape[:1] != x.shape[:1]:
            raise InvalidInputError(f"the model must return one pre-activation or more per sample; got {_shape(y)}")
        y, target = y.reshape(len(x), -1), t.reshape(len(x), -1)
        if self.loss.class_targets:
            if target.shape[1] != 1:
                raise InvalidInputError(f'"{self.loss.name}" takes one class index per sample; got {_shape(t)}')
        elif y.shape != target.shape:
            raise InvalidInputError(
                f"the model gives {y.shape[1]} pre-activations per sample and the data set {target.shape[1]} targets"
            )
        if not torch.isfinite(y).all():
            sample = int((~torch.isfinite(y)).any(dim=1).nonzero()[0, 0])
            raise InvalidInputError(f"the model's output is not finite at sample {sample} of a batch of {len(x)}")
        return y, target[:, 0] if self.loss.class_targets else target.to(y.dtype)


def _shape(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
