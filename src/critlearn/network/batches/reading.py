"""Reading of a raw batch: which of it are arguments of the network, and which the targets of the loss."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.network.batches.model_inputs import IGNORED, LABELS, Inputs, ModelInputs

BatchFunction = Callable[[Any], tuple[Any, Any]]
"""Function of a raw batch that returns (arguments, targets): a tensor, tuple or dictionary, and a tensor."""

_WAY_OUT = "give batch= a function of a batch that returns (arguments, targets)"


@dataclass(frozen=True, eq=False)
class BatchReader:
    """Reads raw batches: by a user's function, or by convention.

    By convention a pair is ``(arguments, targets)``, a longer tuple ends with the targets, and a dictionary has them
    under ``labels``, ``label`` or ``target``, all other entries being keyword arguments. Where the model makes the
    inputs of its decoder from the labels, it is asked for them.

    Parameters
    ----------
    model
        The network, as it was given.
    function
        A user's function in place of the convention.
    shifted
        Whether the target of a position is the label of the next one, as in causal language models.
    """

    model: nn.Module
    function: BatchFunction | None = None
    shifted: bool = False

    def __call__(self, raw: Any) -> tuple[Inputs, Tensor]:
        """Arguments and targets of a raw batch.

        Raises
        ------
        InvalidInputError
            If it has no targets, or the numbers of samples differ.
        """
        arguments, targets = self.split(raw) if self.function is None else _pair(self.function(raw))
        x, t = self.inputs(arguments), _targets(targets)
        if len(x) != len(t):
            raise InvalidInputError(f"a batch has {len(x)} inputs and {len(t)} targets")
        return x, (next_labels(t) if self.shifted else t)

    def split(self, raw: Any) -> tuple[Any, Any]:
        """Arguments and targets by convention.

        Raises
        ------
        InvalidInputError
            If the batch has no targets.
        """
        if isinstance(raw, Mapping):
            return self._split_mapping(raw)
        if isinstance(raw, tuple | list) and len(raw) >= 2:
            return (raw[0] if len(raw) == 2 else tuple(raw[:-1])), raw[-1]
        number = f" of {len(raw)}" if isinstance(raw, tuple | list) else ""
        raise InvalidInputError(
            f"the data set must give pairs (x, t), or dictionaries with labels; got {type(raw).__name__}{number}: "
            + _WAY_OUT
        )

    def _split_mapping(self, raw: Mapping[Any, Any]) -> tuple[dict[str, Any], Any]:
        """Keyword arguments and labels of a dictionary."""
        found = [key for key in LABELS if key in raw and isinstance(raw[key], Tensor)]
        if len(found) != 1:
            what = f"{' and '.join(found)}" if found else "none of " + ", ".join(LABELS)
            raise InvalidInputError(
                f"a dictionary must have its targets under one key; got {what} among {', '.join(map(str, raw))}: "
                + _WAY_OUT
            )
        # Texts and identifiers that came with the samples are no inputs.
        inputs = {key: value for key, value in raw.items() if key != found[0] and isinstance(value, Tensor | bool)}
        prepare = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        taken = {"decoder_input_ids", "decoder_inputs_embeds"} & set(inputs)
        if prepare is not None and not taken and accepts(self.model, "decoder_input_ids"):
            inputs["decoder_input_ids"] = prepare(labels=raw[found[0]])
        return inputs, raw[found[0]]

    def inputs(self, arguments: Any) -> Inputs:
        """Arguments as a tensor where there is one alone, otherwise as `ModelInputs`."""
        if isinstance(arguments, Tensor):
            return arguments
        if isinstance(arguments, Mapping):
            keywords = {str(key): value for key, value in arguments.items()}
            unknown = [key for key in keywords if not accepts(self.model, key)]
            if len(keywords) == 1 and unknown:
                # A network of the user's own that takes one tensor, whatever the data set calls it.
                return self.inputs(keywords[unknown[0]])
            if unknown:
                raise InvalidInputError(
                    f'the batch has "{unknown[0]}", which the forward of {type(self.model).__name__} does not take: '
                    + _WAY_OUT
                )
            return ModelInputs((), keywords)
        if isinstance(arguments, tuple | list) and len(arguments):
            return self.inputs(arguments[0]) if len(arguments) == 1 else ModelInputs(tuple(arguments), {})
        raise InvalidInputError(
            f"inputs of the data set must be tensors or numbers, tuples or dictionaries of them; got "
            f"{type(arguments).__name__}: " + _WAY_OUT
        )


def accepts(model: nn.Module, name: str) -> bool:
    """Whether the forward of a network takes a keyword argument; True if it takes any."""
    parameters = inspect.signature(model.forward).parameters.values()
    return any(part.kind is part.VAR_KEYWORD or (part.name == name and part.kind is not part.VAR_POSITIONAL)
               for part in parameters)  # fmt: skip


def names(model: nn.Module, name: str) -> bool:
    """Whether the forward of a network names an argument, in whatever way it takes others."""
    return name in inspect.signature(model.forward).parameters


def next_labels(labels: Tensor) -> Tensor:
    """Label of the next position at each position; none at the last one."""
    return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def _pair(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise InvalidInputError(
            f"batch= must return a pair (arguments, targets); got {type(found).__name__}"
            + (f" of {len(found)}" if isinstance(found, tuple | list) else "")
        )
    return found[0], found[1]


def _targets(targets: Any) -> Tensor:
    if not isinstance(targets, Tensor) or targets.dim() == 0:
        what = type(targets).__name__ if not isinstance(targets, Tensor) else "one number for all samples"
        raise InvalidInputError(f"targets of the data set must be tensors or numbers; got {what}")
    return targets
