"""Inputs of a network that takes several tensors: positional and keyword arguments of one batch, indexed by sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node, tree_flatten, tree_unflatten

from critlearn.errors import InvalidInputError

IGNORED: Final = -100
"""Target that is not counted, where nothing else is said: the value of torch's cross-entropy and of Hugging Face."""

LABELS: Final = ("labels", "label", "label_ids", "targets", "target")
"""Keys under which a batch has its targets."""


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """Arguments of a network for a batch, with the samples in the first dimension of every tensor.

    It answers what a tensor of inputs is asked for (length, rows, type), so that a pass takes either. Arguments that
    are no tensors, such as flags, are those of all samples.

    Parameters
    ----------
    positional, keywords
        The arguments; tensors may be nested in tuples, lists and dictionaries.

    Raises
    ------
    InvalidInputError
        If there is no tensor, or their numbers of samples differ.
    """

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Raise if there is no tensor, or their numbers of samples differ."""
        lengths = {part.shape[0] if part.dim() else None for part in self.tensors}
        if len(lengths) != 1 or None in lengths:
            found = ", ".join(str(tuple(part.shape)) for part in self.tensors) or "none"
            raise InvalidInputError(
                f"every input must have the samples in its first dimension; got shapes {found}: give batch= a function "
                "of a batch that returns (arguments, targets)"
            )

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, in order."""
        return [part for part in tree_flatten((self.positional, dict(self.keywords)))[0] if isinstance(part, Tensor)]

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "ModelInputs":
        """Apply a function to every tensor."""
        return self.with_tensors([function(part) for part in self.tensors])

    def with_tensors(self, tensors: Sequence[Tensor]) -> "ModelInputs":
        """Same arguments with other tensors in their places."""
        made = _unflatten(tensors, self)
        made.__post_init__()
        return made

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.tensors[0])

    def __getitem__(self, rows: Any) -> "ModelInputs":
        """Some samples, by whatever chooses rows of a tensor."""
        return self.mapped(lambda part: part[rows])

    def __iter__(self) -> Iterator["ModelInputs"]:
        """Samples one by one, without the dimension of samples."""
        return (_unflatten([part[at] for part in self.tensors], self) for at in range(len(self)))

    def unsqueeze(self, dim: int) -> "ModelInputs":
        """Batch of one, of a single sample without a dimension of samples."""
        return _unflatten([part.unsqueeze(dim) for part in self.tensors], self)

    @property
    def shape(self) -> torch.Size:
        """Number of samples, as the only dimension that all tensors share."""
        return torch.Size([len(self)])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the first tensor of floating-point numbers; of the first tensor if there is none."""
        return next((part for part in self.tensors if part.is_floating_point()), self.tensors[0]).dtype

    @property
    def device(self) -> torch.device:
        """Device of the first tensor."""
        return self.tensors[0].device

    def is_floating_point(self) -> bool:
        """Whether some tensor has floating-point numbers."""
        return any(part.is_floating_point() for part in self.tensors)

    def to(self, kind: torch.dtype) -> "ModelInputs":
        """Convert floating-point numbers to a type; integers and masks are kept."""
        return self.mapped(lambda part: part.to(kind) if part.is_floating_point() else part)

    def detach(self) -> "ModelInputs":
        """Same numbers without an autograd graph."""
        return self.mapped(Tensor.detach)

    def requires_grad_(self) -> "ModelInputs":
        """Same numbers, of which those of floating-point type are leaves of the next pass."""
        return self.mapped(lambda part: part.requires_grad_() if part.is_floating_point() else part)

    def resolve_neg(self) -> "ModelInputs":
        """Same numbers with torch's lazy minus signs applied."""
        return self.mapped(Tensor.resolve_neg)


Inputs = Tensor | ModelInputs
"""Inputs of a batch: one tensor, or the arguments of a network that takes several."""


def in_type(value: Inputs, kind: torch.dtype) -> Any:
    """Convert inputs or targets to a floating-point type; integers such as class indices are kept."""
    return value.to(kind) if value.is_floating_point() else value


def own_copy(x: Inputs) -> Inputs:
    """Copy inputs for a network that may work in place on them: they may be the user's data."""
    return x.mapped(Tensor.clone) if isinstance(x, ModelInputs) else x.clone()


def described(x: Inputs) -> str:
    """Shapes and types of inputs, for an error message."""
    if isinstance(x, Tensor):
        return f"shape {tuple(x.shape)} and type {x.dtype}"
    parts = [f"{tuple(part.shape)} {str(part.dtype).removeprefix('torch.')}" for part in x.tensors]
    named = ", ".join(x.keywords) or "arguments in order"
    return f"shapes {', '.join(parts)} ({named})"


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Inputs of several batches as those of one; sequences of different lengths are padded if they have a mask.

    Raises
    ------
    InvalidInputError
        If their shapes do not fit, and nothing tells what is padding.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        return joined_tensors([part for part in parts if isinstance(part, Tensor)], padding=None)
    columns = zip(*(part.tensors for part in parts if isinstance(part, ModelInputs)), strict=True)
    padding = 0 if "attention_mask" in first.keywords else None
    return first.with_tensors([joined_tensors(list(column), padding=padding) for column in columns])


def joined_states(parts: Sequence[tuple[Inputs, Tensor]]) -> tuple[Inputs, Tensor]:
    """Inputs and targets of several batches as those of one.

    Raises
    ------
    InvalidInputError
        If their shapes do not fit, and nothing tells what is padding.
    """
    x = joined([part for part, _ in parts])
    padded = isinstance(x, ModelInputs) and "attention_mask" in x.keywords
    return x, joined_tensors([t for _, t in parts], padding=IGNORED if padded else None)


def joined_tensors(parts: Sequence[Tensor], *, padding: int | None) -> Tensor:
    """Rows of several tensors below each other, padded at the end of their second dimension to one length.

    Raises
    ------
    InvalidInputError
        If lengths differ and there is no padding, or other dimensions differ.
    """
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) == 1:
        return torch.cat(list(parts))
    same_rest = len({shape[1:] for shape in shapes}) == 1 and all(shapes)
    if padding is None or not same_rest:
        raise InvalidInputError(
            f"samples of different shapes ({', '.join(map(str, sorted(shapes)))}) do not make one batch: give a "
            "DataLoader whose collate_fn pads them, and targets of -100 where there is nothing to learn"
        )
    longest = max(part.shape[1] for part in parts)
    total = parts[0].new_full((sum(map(len, parts)), longest, *parts[0].shape[2:]), padding)
    done = 0
    for part in parts:
        total[done : done + len(part), : part.shape[1]] = part
        done += len(part)
    return total


def _flatten(inputs: ModelInputs) -> tuple[list[Tensor], ModelInputs]:
    return inputs.tensors, inputs


def _unflatten(tensors: Sequence[Any], inputs: ModelInputs) -> ModelInputs:
    """Arguments with other values in the places of the tensors; unchecked, as torch.func puts values of its own."""
    made = object.__new__(ModelInputs)
    leaves, structure = tree_flatten((inputs.positional, dict(inputs.keywords)))
    given = iter(tensors)
    parts = [next(given) if isinstance(part, Tensor) else part for part in leaves]
    positional, keywords = tree_unflatten(parts, structure)
    object.__setattr__(made, "positional", positional)
    object.__setattr__(made, "keywords", keywords)
    return made


# The tensors are leaves for torch.func, which maps over samples, and for whoever looks for tensors among arguments.
register_pytree_node(ModelInputs, _flatten, _unflatten)  # type: ignore[arg-type]
