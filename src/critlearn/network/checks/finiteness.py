"""Checks that the numbers of a pass are finite; the error names the place in the network and the first sample."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.errors import InvalidInputError
from critlearn.network.batches.model_inputs import Inputs


class UndefinedOutputError(InvalidInputError):
    """Raised if a network has no output for a sample at its present weights.

    A search over weights takes such a place for one of infinite loss.
    """


class NonFiniteError(UndefinedOutputError):
    """Raised if a number of a pass is not finite.

    Parameters
    ----------
    where
        What it is, in words.
    sample
        Number of the first sample with such a value.
    """

    def __init__(self, where: str, sample: int) -> None:
        super().__init__(f"{where} is not finite at sample {sample}, counted from 0")
        self.where, self.sample = where, sample

    def __reduce__(self) -> tuple[type["NonFiniteError"], tuple[str, int]]:
        """Pickle by place and sample; an exception is otherwise pickled by its message."""
        return type(self), (self.where, self.sample)

    def numbered_from(self, first: int) -> "NonFiniteError":
        """Same error with samples counted from `first`, the number of the batch's first sample."""
        return NonFiniteError(self.where, first + self.sample)


def check_finite(value: Tensor, where: str, *, first: int = 0) -> None:
    """Raise if numbers, with the samples in the first dimension, are not all finite.

    Parameters
    ----------
    value
        The numbers.
    where
        What they are, in words.
    first
        Number of the first sample.

    Raises
    ------
    NonFiniteError
        If one is not.
    """
    if (sample := _first(value)) is not None:
        raise NonFiniteError(where, first + sample)


def in_words(name: str, module: nn.Module, what: str = "layer") -> str:
    """Describe a layer, or another module, by its name and type, for an error message."""
    kind = kind_of(module).__name__
    return f'{what} "{name}" ({kind})' if name else f"the model ({kind})"


def kind_of(module: nn.Module) -> type:
    """Type of a module; that of the user's own where it has been adapted."""
    given = vars(module).get("given")
    return type(given if isinstance(given, nn.Module) and type(module).__name__ == "AdaptedModel" else module)


def described(name: str, module: nn.Module) -> str:
    """Type of a module with the place where it is defined, and its name in the network."""
    kind = kind_of(module)
    # Torch's own are known by their names.
    where = "" if kind.__module__.split(".")[0] in ("torch", "critlearn") else f"{kind.__module__}."
    return f"{where}{kind.__name__} at {name}" if name else f"{where}{kind.__name__}"


def check_layer(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
    """Raise if the output of a layer is not finite; its input is named if that is not finite either.

    Raises
    ------
    NonFiniteError
        If it is not.
    """
    if (sample := _first(output)) is None:
        return
    layer = in_words(name, module)
    for part in tree_leaves(inputs):
        if isinstance(part, Tensor) and part.is_floating_point() and part.dim():
            check_finite(part, f"the input of {layer}")
    raise NonFiniteError(f"the output of {layer}", sample)


@torch.no_grad()
def check_modules_finite(model: nn.Module, x: Inputs) -> None:
    """Raise if some module's input or output is not finite for a batch; the first one is named.

    Raises
    ------
    NonFiniteError
        If there is one.
    """

    def hook(name: str) -> Any:
        def check(module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
            for part in tree_leaves(output):
                if isinstance(part, Tensor) and part.is_floating_point() and part.shape[:1] == x.shape[:1]:
                    check_layer(name, module, (arguments, keywords), part)

        return check

    handles = [module.register_forward_hook(hook(name), with_kwargs=True) for name, module in model.named_modules()]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()


def _first(value: Tensor) -> int | None:
    """Number of the first sample that is not finite; None if all are."""
    # One sum checks all values: it is finite if they are, unless their sizes add up beyond the largest float.
    if math.isfinite(float(value.detach().sum())):
        return None
    bad = ~torch.isfinite(value)
    bad = bad.flatten(1).any(dim=1) if bad.dim() > 1 else bad
    return int(bad.nonzero()[0, 0]) if bool(bad.any()) else None
