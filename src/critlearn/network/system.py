"""Neural system: a network, the loss of its output, and a data set of boundary states."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from critlearn.compositions import OutputLoss
from critlearn.errors import InvalidInputError
from critlearn.network.checks.finiteness import NonFiniteError, check_finite, check_modules_finite
from critlearn.network.checks.inputs import check_dense, chosen_pairs, held_tensors, read_pairs
from critlearn.network.checks.learnable import check_kind, check_modules, check_parameters
from critlearn.network.copying import check_computed, computed_tensors
from critlearn.network.losses import exact_system
from critlearn.numerics.array_file import first_line

_TARGETS_READ = 1024
"""Number of targets read at a time where all of them must be inspected to choose the form of a loss."""


@dataclass(frozen=True, eq=False, init=False)
class NeuralSystem:
    """Neural system of a network, a loss and a data set.

    Parameters
    ----------
    model
        Any module from a batch of inputs ``(batch, ...)`` to pre-activations ``(batch,)``, ``(batch, 1)`` or
        ``(batch, outputs)``.
    loss
        Composition of output activation and loss, another loss of the protocol `OutputLoss`, or one of torch's own
        (``CrossEntropyLoss``, ``BCEWithLogitsLoss``, ``MSELoss``, ...), which is replaced by its tail-exact equivalent:
        see `losses.exact_system`.
    dataset
        Map-style data set of pairs ``(x, t)``: the boundary states, asked for one by one but for a ``TensorDataset`` of
        two tensors. ``t`` is a class -1, +1 for an output that saturates, and a class index for softmax.

    Raises
    ------
    InvalidInputError
        If nothing is trainable, the data set is empty or gives no pairs of tensors, samples are coupled or random
        (batch normalisation or dropout in train mode), gradients are sparse or not formed at all, parameters have no
        values or are complex, the network is compiled by ``torch.jit``, or one forward pass does not give finite
        pre-activations that fit the targets.
    """

    model: nn.Module
    loss: OutputLoss
    dataset: Dataset[Any]

    def __init__(self, model: nn.Module, loss: OutputLoss | nn.Module, dataset: Dataset[Any]) -> None:
        _check_kinds(model, loss, dataset)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "dataset", dataset)
        self.check()
        x, t = next(self.boundary(min(2, len(self))))
        model, exact = exact_system(model, loss, _Targets(self))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "loss", exact)
        self._check_first_pass(x, t)

    def _check_first_pass(self, x: Tensor, t: Tensor) -> None:
        """Make a first pass of a few samples, and raise if the output has no gradient."""
        before = computed_tensors(self.model)
        with torch.enable_grad():
            y, _ = self.forward(x, t)
        if not y.requires_grad:
            raise InvalidInputError(
                "the model's output has no gradient: its forward runs in torch.no_grad() or detaches what it returns"
            )
        check_computed(before, y)
        if computed_tensors(self.model):
            # Replace the tensors that modules store by ones without an autograd graph: torch cannot copy the others.
            with torch.no_grad():
                self.model(x)

    def judging(self, model: nn.Module, loss: OutputLoss) -> "NeuralSystem":
        """Same system with another network and loss of the same shapes, which are not checked again."""
        other = copy.copy(self)
        object.__setattr__(other, "model", model)
        object.__setattr__(other, "loss", loss)
        return other

    def check(self) -> None:
        """Raise if no learning pass can be made; the network may have changed since the system was made.

        Raises
        ------
        InvalidInputError
            If nothing is trainable, samples are coupled or random, gradients are sparse, or the parameters have no
            values or are on several devices.
        """
        check_parameters(self.model)
        if len(self) == 0:
            raise InvalidInputError("the data set is empty")
        check_modules(self.model)

    def __len__(self) -> int:
        """Number of boundary states."""
        return len(self.dataset)  # type: ignore[arg-type]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Trainable variables by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def boundary(self, batch_size: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Boundary states in order from number ``start`` on, in batches, on the device and in the model's precision.

        Raises
        ------
        InvalidInputError
            If the batch size is not positive, or the data set gives anything but pairs that make tensors.
        """
        if batch_size < 1:
            raise InvalidInputError(f"batch size must be at least 1; got {batch_size}")
        held = held_tensors(self.dataset)
        if held is not None:
            # Not `split`, which makes views of all batches at once: a million of them where two samples are wanted.
            for at in range(start, len(self), batch_size):
                x, t = (part[at : at + batch_size] for part in held)
                yield self.as_network_takes(x), self.as_network_takes(t)
            return
        rest = Subset(self.dataset, range(start, len(self))) if start else self.dataset
        for x, t in read_pairs(rest, batch_size):
            yield self.as_network_takes(x), self.as_network_takes(t)

    def scattered(self, most: int) -> list[int]:
        """Numbers of a few samples spread evenly over the data set, whose first samples may be alike."""
        most = min(most, len(self))
        return [place * (len(self) - 1) // max(1, most - 1) for place in range(most)]

    def spread(self, most: int) -> Tensor:
        """Inputs of the `scattered` samples."""
        numbers = self.scattered(most)
        held = held_tensors(self.dataset)
        if held is not None:
            return self.as_network_takes(held[0][numbers])
        return self.as_network_takes(chosen_pairs(self.dataset, numbers)[0])

    def tensors(self) -> tuple[Tensor, Tensor] | None:
        """All inputs and targets at once for a plain `TensorDataset`; None for other data sets."""
        held = held_tensors(self.dataset)
        return None if held is None else (self.as_network_takes(held[0]), self.as_network_takes(held[1]))

    def as_network_takes(self, value: Tensor) -> Tensor:
        """Move inputs or targets to the device of the model; convert floating-point numbers to its precision.

        Raises
        ------
        InvalidInputError
            If it is a sparse tensor.
        """
        check_dense(value)
        like = next(iter(self.parameters.values()))
        return value.to(device=like.device, dtype=like.dtype if value.is_floating_point() else None)

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Pre-activations, shape (batch, outputs), and targets: of the same shape, or class indices (batch,).

        Raises
        ------
        InvalidInputError
            If the two do not fit.
        NonFiniteError
            If a pre-activation or a target is not finite; samples are numbered within the batch.
        """
        try:
            y = self.model(x)
        except (RuntimeError, TypeError, ValueError, IndexError) as problem:
            reason = first_line(problem)
            raise InvalidInputError(
                f"the model cannot take inputs of shape {tuple(x.shape)} and type {x.dtype}: {reason}"
            ) from problem
        try:
            return self.judged(y, x, t)
        except NonFiniteError:
            check_modules_finite(self.model, x)
            raise

    def judged(self, y: Any, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the network for a batch, and its targets, in the shapes that the loss takes.

        Raises
        ------
        InvalidInputError
            If the two do not fit.
        NonFiniteError
            If a pre-activation or a target is not finite; samples are numbered within the batch.
        """
        if not isinstance(y, Tensor) or y.shape[:1] != x.shape[:1]:
            raise InvalidInputError(f"the model must return one pre-activation or more per sample; got {_shape(y)}")
        y, target = y.reshape(len(x), -1), t.reshape(len(x), -1)
        classes = self.loss.class_targets
        if classes:
            if target.shape[1] != 1:
                raise InvalidInputError(f'"{self.loss.name}" takes one class index per sample; got {_shape(t)}')
        elif y.shape != target.shape:
            raise InvalidInputError(
                f"the model gives {y.shape[1]} pre-activations per sample and the data set {target.shape[1]} targets"
            )
        check_finite(y, "the model's output")
        if classes:
            return y, target[:, 0]
        check_finite(target, "the target")
        return y, target.to(y.dtype)


class _Targets:
    """Targets of a system in batches; every iteration starts from the first."""

    def __init__(self, system: NeuralSystem) -> None:
        self._system = system

    def __iter__(self) -> Iterator[Tensor]:
        return (t for _, t in self._system.boundary(_TARGETS_READ))


def _check_kinds(model: object, loss: object, dataset: object) -> None:
    """Raise if the network, the loss or the data set has a wrong type."""
    check_kind(model)
    if not isinstance(loss, OutputLoss | nn.Module):
        hint = f'; for a catalogue loss give Composition(activation, "{loss}")' if isinstance(loss, str) else ""
        raise InvalidInputError(
            f"the loss must be a critlearn loss or a module of torch's, such as CrossEntropyLoss(); got "
            f"{type(loss).__name__}{hint}"
        )
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise InvalidInputError(
            f"the data set must be map-style, with a length and entries (x, t); got {type(dataset).__name__}: give "
            "measure(loader=...) a loader of other data"
        )


def _shape(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
