"""Copying networks whose modules store computed tensors, such as states of a pass or weights of a pruned layer."""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.errors import InvalidInputError, first_line

Module = TypeVar("Module", bound=nn.Module)


def copied(model: Module) -> Module:
    """Copy a network, with its hooks.

    Tensors that its modules store together with their autograd graph (``self.h = ...`` in a ``forward``, the weight of
    a pruned layer), which torch cannot copy, are copied as plain numbers: the next pass recomputes them.

    Raises
    ------
    InvalidInputError
        If it cannot be copied.
    """
    numbers: dict[int, Any] = {id(value): _numbers(value) for value in computed_tensors(model)}
    try:
        return copy.deepcopy(model, numbers)
    except (RuntimeError, TypeError) as problem:
        reason = first_line(problem)
        raise InvalidInputError(
            f"the model ({type(model).__name__}) cannot be copied, on which passes are made: {reason}"
        ) from problem


def _numbers(value: Tensor) -> Tensor:
    """Copy a tensor without its autograd graph."""
    try:
        return value.detach().clone()
    except RuntimeError:
        # A leftover of a finished torch.func transform, which no pass can use.
        return torch.empty(0)


def computed_tensors(model: nn.Module) -> list[Tensor]:
    """Tensors that modules store together with their autograd graph, also in lists and dictionaries."""
    return [
        value
        for module in model.modules()
        for value in tree_leaves(vars(module))
        if isinstance(value, Tensor) and not value.is_leaf
    ]


def check_computed(before: list[Tensor], output: Tensor) -> None:
    """Raise if an output depends on tensors that were computed before the pass.

    In a copy they are plain numbers, so the parameters from which they were computed would get no gradient.

    Parameters
    ----------
    before
        `computed_tensors` before the pass.
    output
        Output of the pass.

    Raises
    ------
    InvalidInputError
        If the output depends on one.
    """
    kept = {value.grad_fn for value in before}
    waiting: list[Any] = [output.grad_fn] if kept else []
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node in kept:
            raise InvalidInputError(
                "a module of the model keeps a tensor that was computed from parameters before the pass, and no pass "
                "computes it anew: compute it in forward"
            )
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(following for following, _ in node.next_functions)
