"""Neural system: a network, the loss of its output, and a data set of boundary states."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss, TokenCrossEntropy
from critlearn.errors import RAISED_BY_USER_CODE, InvalidInputError, first_line
from critlearn.network.batches.adapted_model import adapted, given_model
from critlearn.network.batches.alignment import aligned
from critlearn.network.batches.boundary_states import BoundaryStates, HeldStates, boundary_states
from critlearn.network.batches.held_tensors import check_dense
from critlearn.network.batches.model_inputs import IGNORED, Inputs, ModelInputs, described
from critlearn.network.batches.reading import BatchFunction, BatchReader
from critlearn.network.checks.finiteness import (
    NonFiniteError,
    UndefinedOutputError,
    check_finite,
    check_modules_finite,
)
from critlearn.network.checks.learnable import check_kind, check_modules, check_parameters
from critlearn.network.copying import check_computed, computed_tensors
from critlearn.network.losses.differentiated import DifferentiatedLoss
from critlearn.network.losses.equivalents import exact_system, takes_tokens
from critlearn.network.losses.layout import check_layout
from critlearn.numerics.validation import check_integer

_TARGETS_READ = 1024
"""Number of targets read at a time where all of them must be inspected to choose the form of a loss."""


@dataclass(frozen=True, eq=False, init=False)
class NeuralSystem:
    """Neural system of a network, a loss and a data set.

    Parameters
    ----------
    model
        Any module from a batch of inputs ``(batch, ...)`` to pre-activations ``(batch,)``, ``(batch, 1)`` or
        ``(batch, outputs)``, or to an output that has them as ``logits``, as those of Hugging Face.
    loss
        Composition of output activation and loss, another loss of the protocol `OutputLoss`, or one of torch's own
        (``CrossEntropyLoss``, ``BCEWithLogitsLoss``, ``MSELoss``, ...), which is replaced by its tail-exact equivalent;
        or any module or function ``(y, t) -> value`` of a batch of one, differentiated automatically: see
        `losses.equivalents.exact_system`.
    data
        The boundary states. A map-style data set, asked for its samples one by one but for a ``TensorDataset`` of two
        tensors; a loader, which is its data set with its ``collate_fn``; or a data set or loader that is only iterated
        over, anew for every pass. Batches are read by convention: pairs ``(x, t)``, longer tuples that end with the
        targets, dictionaries of keyword arguments with ``labels``. ``t`` is a class -1, +1 for an output that
        saturates, and a class index for softmax.
    batch
        Function of a batch that returns ``(arguments, targets)``, where convention does not do: a tensor, a tuple or a
        dictionary of keyword arguments, and a tensor.

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
    dataset: Any
    states: BoundaryStates = field(repr=False)
    reader: BatchReader = field(repr=False)

    def __init__(
        self,
        model: nn.Module,
        loss: OutputLoss | nn.Module | Callable[..., Any],
        data: Any,
        batch: BatchFunction | None = None,
    ) -> None:
        _check_kinds(model, loss, batch)
        model = given_model(model)
        reader = BatchReader(model, batch)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "dataset", data)
        object.__setattr__(self, "states", boundary_states(data, reader))
        self.check()
        x, t = self._first(_ALIGNED)
        model = adapted(model, x[:2])
        object.__setattr__(self, "model", model)
        if takes_tokens(loss):
            reader = aligned(reader, *self._with_labels(x, t))
            object.__setattr__(self, "states", boundary_states(data, reader))
            x, t = self._first(_ALIGNED)
        object.__setattr__(self, "reader", reader)
        model, exact = exact_system(model, loss, _Targets(self), lambda: self._returned(x[:2]), self._spread_outputs)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "loss", exact)
        self._check_first_pass(x[:2], t[:2])

    def _first(self, most: int) -> tuple[Inputs, Tensor]:
        """The first samples."""
        found = self.states.first(most)
        if found is None:
            raise InvalidInputError("the data set is empty")
        return self.as_network_takes(found[0]), self.as_network_takes(found[1])

    def _with_labels(self, x: Inputs, t: Tensor) -> tuple[Inputs, Tensor]:
        """Some samples that have labels: the first ones may have none."""
        if t.dim() < 2 or t.is_floating_point() or bool((t != IGNORED).any()):
            return x, t
        try:
            return self.chosen(self.scattered(_ALIGNED))
        except InvalidInputError:
            return x, t

    def _returned(self, x: Inputs) -> Any:
        """What the network returns.

        Raises
        ------
        InvalidInputError
            If it cannot take the inputs.
        UndefinedOutputError
            If it has no output for one of them.
        """
        try:
            return self.model(x)
        except UndefinedOutputError:
            raise
        except RAISED_BY_USER_CODE as problem:
            reason = first_line(problem)
            remedy = "" if isinstance(x, Tensor) else "; give batch= a function of a batch that returns its arguments"
            raise InvalidInputError(f"the model cannot take inputs of {described(x)}: {reason}{remedy}") from problem

    def _spread_outputs(self) -> tuple[Any, Tensor]:
        """Outputs and targets of samples from all over the data set; of the first two if they make no batch."""
        try:
            x, t = self.chosen(self.scattered(_SPREAD))
        except InvalidInputError:
            x, t = self._first(2)
        return self._returned(x), t

    def _check_first_pass(self, x: Inputs, t: Tensor) -> None:
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

    def of_samples(self, numbers: list[int]) -> "NeuralSystem":
        """Same network and loss with a few samples, by their numbers, which are held in memory."""
        other = copy.copy(self)
        x, t = self.states.chosen(numbers)
        object.__setattr__(other, "dataset", (x, t))
        object.__setattr__(other, "states", HeldStates(x, t))
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
        if self.states.by_number and len(self) == 0:
            raise InvalidInputError("the data set is empty")
        check_modules(self.model)

    def __len__(self) -> int:
        """Number of boundary states."""
        return len(self.states)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Trainable variables by name."""
        # Some layers have parameters without entries, which nothing can be measured of.
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad and value.numel()}

    def boundary(self, batch_size: int, *, start: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Boundary states in order from number ``start`` on, in batches, on the device and in the model's precision.

        Raises
        ------
        InvalidInputError
            If the batch size is not positive, or the data set gives what cannot be read as inputs and targets.
        """
        if batch_size < 1:
            raise InvalidInputError(f"batch size must be at least 1; got {batch_size}")
        return self._taken(self.states.batches(batch_size, start))

    def shuffled(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """Boundary states in a random order, or in that of a stream, which alone can give another one."""
        return self._taken(self.states.shuffled(batch_size, generator))

    def _taken(self, batches: Iterator[tuple[Inputs, Tensor]]) -> Iterator[tuple[Inputs, Tensor]]:
        for x, t in batches:
            yield self.as_network_takes(x), self.as_network_takes(t)

    def scattered(self, most: int) -> list[int]:
        """Numbers of a few samples spread evenly over the data set, whose first samples may be alike.

        Those of a stream are its first ones: others could be had only by a pass over all.
        """
        if not self.states.by_number:
            return list(range(len(self._first(most)[1])))
        most = min(most, len(self))
        return [place * (len(self) - 1) // max(1, most - 1) for place in range(most)]

    def chosen(self, numbers: list[int]) -> tuple[Inputs, Tensor]:
        """Samples with these numbers as one batch."""
        x, t = self.states.chosen(numbers)
        return self.as_network_takes(x), self.as_network_takes(t)

    def inputs(self, arguments: Any) -> Inputs:
        """Arguments of the network for a batch, as a tuple or a dictionary of keyword arguments, as its inputs.

        Raises
        ------
        InvalidInputError
            If they are none.
        """
        return self.as_network_takes(self.reader.inputs(arguments))

    def read(self, batch: Any) -> tuple[Inputs, Tensor]:
        """Inputs and targets of a raw batch of a loader, read as those of the data set are.

        Raises
        ------
        InvalidInputError
            If it has no targets, or their number is another one than that of the inputs.
        """
        x, t = self.reader(batch)
        return self.as_network_takes(x), self.as_network_takes(t)

    def spread(self, most: int) -> Inputs:
        """Inputs of the `scattered` samples."""
        return self.chosen(self.scattered(most))[0]

    def subsystem(self, numbers: list[int]) -> "NeuralSystem":
        """Same network and loss on some of the samples, read once and kept in memory."""
        other = copy.copy(self)
        object.__setattr__(other, "states", HeldStates(*self.states.chosen(numbers)))
        return other

    def tokens(self, number: int, *, seed: int = 0) -> "NeuralSystem":
        """System of which each sample is a token with its own loss alone, drawn from all that are counted.

        The loss of one token reaches all earlier positions: each takes a pass of its whole sequence, where
        ``Quantities(axis="position")`` takes one for all positions of it. The sequences are kept in memory, once for
        each token.

        Parameters
        ----------
        number
            Number of tokens; all if there are fewer.
        seed
            Decides which.

        Raises
        ------
        InvalidInputError
            If the loss is not one of tokens, or the number is not positive.
        """
        if not isinstance(self.loss, TokenCrossEntropy):
            raise InvalidInputError(f'"{self.loss.name}" has one loss for each sample, and no tokens')
        check_integer("number of tokens", number)
        if number < 1:
            raise InvalidInputError(f"the number of tokens must be at least 1; got {number}")
        ignored = self.loss.ignored
        counts = torch.cat([(t != ignored).flatten(1).sum(dim=1) for _, t in self.boundary(_TARGETS_READ)])
        drawn = torch.randperm(int(counts.sum()), generator=torch.Generator().manual_seed(seed))[:number].sort().values
        # Tokens are numbered through all samples, in each by their order among the counted ones: where they stand
        # depends on the padding of a batch.
        ends = counts.cumsum(0).cpu()
        owner = torch.searchsorted(ends, drawn, right=True)
        within = drawn - (ends - counts.cpu())[owner]
        x, t = self.states.chosen(owner.tolist())
        counted = (t != ignored).flatten(1)
        chosen = counted & (counted.cumsum(dim=1) == within.to(t.device)[:, None] + 1)
        other = copy.copy(self)
        object.__setattr__(other, "states", HeldStates(x, t.masked_fill(~chosen.reshape(t.shape), ignored)))
        return other

    def tensors(self) -> tuple[Inputs, Tensor] | None:
        """All inputs and targets at once, if they are in memory; None otherwise."""
        held = self.states.held()
        return None if held is None else (self.as_network_takes(held[0]), self.as_network_takes(held[1]))

    def as_network_takes(self, value: Any) -> Any:
        """Move inputs or targets to the device of the model; convert floating-point numbers to its precision.

        Raises
        ------
        InvalidInputError
            If it is a sparse tensor.
        """
        if isinstance(value, ModelInputs):
            return value.mapped(self.as_network_takes)
        check_dense(value)
        like = next(iter(self.parameters.values()))
        return value.to(device=like.device, dtype=like.dtype if value.is_floating_point() else None)

    def forward(self, x: Inputs, t: Tensor) -> tuple[Tensor, Tensor]:
        """Pre-activations, shape (batch, outputs), and targets: of the same shape, or class indices (batch,).

        Raises
        ------
        InvalidInputError
            If the two do not fit.
        NonFiniteError
            If a pre-activation or a target is not finite; samples are numbered within the batch.
        """
        y = self._returned(x)
        try:
            return self.judged(y, x, t)
        except NonFiniteError:
            check_modules_finite(self.model, x)
            raise

    def judged(self, y: Any, x: Inputs, t: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the network for a batch, and its targets, in the shapes that the loss takes.

        Raises
        ------
        InvalidInputError
            If the two do not fit.
        NonFiniteError
            If a pre-activation or a target is not finite; samples are numbered within the batch.
        """
        if not isinstance(y, Tensor) or y.shape[:1] != x.shape[:1]:
            remedy = "" if isinstance(y, Tensor) else ": wrap it in a module that returns one tensor, or has .logits"
            raise InvalidInputError(
                f"the model must return one pre-activation or more per sample; got {_shape(y)}{remedy}"
            )
        check_layout(self.loss, tuple(y.shape[1:]), tuple(t.shape[1:]))
        y, target = y.reshape(len(x), -1), t.reshape(len(x), -1)
        classes = self.loss.class_targets
        if isinstance(self.loss, DifferentiatedLoss):
            check_finite(y, "the model's output")
            return y, target.to(y.dtype) if target.is_floating_point() else target
        if isinstance(self.loss, TokenCrossEntropy):
            if y.shape[1] % max(1, target.shape[1]):
                raise InvalidInputError(
                    f"the model gives {y.shape[1]} pre-activations per sample, which are no classes for each of "
                    f"{target.shape[1]} targets"
                )
            check_finite(y, "the model's output")
            return y, target
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


_ALIGNED: Final = 8
"""Samples on which labels are held against the model's own loss: a few sequences have enough tokens to tell."""


_SPREAD: Final = 16
"""Samples of which a loss of the user's own is compared, together and alone: of two classes both are among them."""


class _Targets:
    """Targets of a system in batches; every iteration starts from the first."""

    def __init__(self, system: NeuralSystem) -> None:
        self._system = system

    def __iter__(self) -> Iterator[Tensor]:
        return (t for _, t in self._system.boundary(_TARGETS_READ))


def _check_kinds(model: object, loss: object, batch: object) -> None:
    """Raise if the network, the loss or the function of a batch has a wrong type."""
    check_kind(model)
    if isinstance(loss, type):
        raise InvalidInputError(f"the loss must be made first: give {loss.__name__}() in place of {loss.__name__}")
    if not isinstance(loss, OutputLoss | nn.Module) and not callable(loss):
        hint = f'; for a catalogue loss give Composition(activation, "{loss}")' if isinstance(loss, str) else ""
        raise InvalidInputError(
            f"the loss must be a critlearn loss, a module of torch's or a function (y, t) -> value; got "
            f"{type(loss).__name__}{hint}"
        )
    if batch is not None and not callable(batch):
        raise InvalidInputError(
            f"batch= must be a function of a batch that returns (arguments, targets); got {type(batch).__name__}"
        )


def _shape(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
