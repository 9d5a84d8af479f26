"""Copies of networks whose modules keep computed tensors: states of a pass, or weights made from other weights."""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line

Module = TypeVar("Module", bound=nn.Module)


def copied(model: Module) -> Module:
    """Copy of a network, with its hooks.

    Tensors that its modules keep with the operations behind them (``self.h = ...`` in a ``forward``, the weight of a
    pruned layer) are copied as plain numbers: a pass computes them anew.

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
    """A tensor without the operations behind it."""
    try:
        return value.detach().clone()
    except RuntimeError:
        # It stood for samples in one of torch.func's maps, which has ended: no pass can use it.
        return torch.empty(0)


def computed_tensors(model: nn.Module) -> list[Tensor]:
    """Tensors that modules keep with the operations behind them, also in lists and dictionaries."""
    return [
        value
        for module in model.modules()
        for value in tree_leaves(vars(module))
        if isinstance(value, Tensor) and not value.is_leaf
    ]


def check_computed(before: list[Tensor], output: Tensor) -> None:
    """Refuse an output that was made with tensors that had been computed before the pass.

    In a copy they would be plain numbers, and the parameters behind them would get no gradient.

    Parameters
    ----------
    before
        `computed_tensors` before the pass.
    output
        What the pass gave.

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
