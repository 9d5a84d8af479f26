"""Calls of layers inside one link of a pass, seen by hooks: what went in, and the errors at what came out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from critlearn.network.checks.finiteness import check_layer


@dataclass
class LayerCall:
    """One call of a layer; its errors are filled in on the way back.

    Parameters
    ----------
    layer, module
        The layer and its name in the network.
    arguments, keywords
        What it was called with; tensors are detached.
    errors
        For each floating-point tensor among its outputs the errors there; zeros where the loss does not depend on it.
    """

    layer: str
    module: nn.Module
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    errors: list[Tensor]


class CallRecorder:
    """Records the calls of some layers while it is asked to: calls outside the activation pass leave no trace.

    Parameters
    ----------
    names
        The layers, with their names in the network.
    """

    def __init__(self, names: Mapping[nn.Module, str]) -> None:
        self._names = names
        self._calls: list[LayerCall] | None = None
        self._recomputing = False
        for module in names:
            # Before hooks of the user's, which change what the layer's rule knows nothing of.
            module.register_forward_hook(self._seen, with_kwargs=True, prepend=True)

    @contextmanager
    def recording(self) -> Iterator[list[LayerCall]]:
        """Record the calls of an activation pass, in their order."""
        calls: list[LayerCall] = []
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None

    @contextmanager
    def recomputing(self) -> Iterator[None]:
        """What activation checkpointing calls anew on the way back is what it was on the way forwards."""
        self._recomputing = True
        try:
            yield
        finally:
            self._recomputing = False

    def _seen(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
        """Forward hook: record the call of a layer, and have its output errors recorded when they come."""
        calls = self._calls
        if calls is None and not self._recomputing:
            return output
        tensors, structure = tree_flatten(output)
        errors: list[Tensor] = []
        for place, tensor in enumerate(tensors):
            if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
                continue
            check_layer(self._names[module], module, (arguments, keywords), tensor)
            if not tensor.requires_grad:
                # Nothing before it needs a gradient: the backward pass ends here.
                tensor = tensor.detach().requires_grad_()
                tensors[place] = tensor.clone()
            if calls is not None:
                errors.append(torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape))
                tensor.register_hook(_writer(errors, len(errors) - 1))
        if calls is not None:
            inputs, named = tree_map(_detached, (arguments, keywords))
            calls.append(LayerCall(self._names[module], module, inputs, named, errors))
        return tree_unflatten(tensors, structure)


def _writer(errors: list[Tensor], place: int) -> Callable[[Tensor], None]:
    """Hook of a tensor that writes its gradient to a place in a list."""

    def write(gradient: Tensor) -> None:
        errors[place] = gradient.detach()

    return write


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Without torch's fused transformer layers, which bypass the modules in them and their hooks."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
