"""Recording of layer calls inside one link of a pass, by hooks: their inputs, and the errors at their outputs."""

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
    """Recorder of the calls of some layers; calls outside `recording` are ignored.

    Parameters
    ----------
    names
        The layers, with their names in the network.

    Attributes
    ----------
    common
        Names of layers that are called once for all samples, as an embedding of positions. Each sample is given an
        output of its own, so that errors come back sample by sample.
    """

    def __init__(self, names: Mapping[nn.Module, str]) -> None:
        self._names = names
        self.common: set[str] = set()
        self._samples = 0
        self._calls: list[LayerCall] | None = None
        self._recomputing = False
        for module in names:
            # Before the user's hooks: they may change the output in a way that the layer's rule does not know.
            module.register_forward_hook(self._seen, with_kwargs=True, prepend=True)

    @contextmanager
    def recording(self, samples: int) -> Iterator[list[LayerCall]]:
        """Record the calls of an activation pass of so many samples, in their order."""
        calls: list[LayerCall] = []
        self._calls, self._samples = calls, samples
        try:
            yield calls
        finally:
            self._calls = None

    @contextmanager
    def recomputing(self) -> Iterator[None]:
        """Handle the calls that activation checkpointing repeats in the backward pass as in the forward pass."""
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
        several = sum(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in tensors) > 1
        for place, tensor in enumerate(tensors):
            if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
                continue
            check_layer(self._names[module], module, (arguments, keywords), tensor)
            if calls is not None and self._names[module] in self.common:
                arguments, tensor = (self._for_each_sample(arguments[0]),), self._for_each_sample(tensor)
            if not tensor.requires_grad:
                # Nothing before this layer needs a gradient, so its output becomes the leaf of the backward pass.
                tensor = tensor.detach().requires_grad_()
                tensors[place] = tensor.clone()
            elif several:
                # A name of its own: one output may be computed from another inside the layer, and the errors that come
                # back on that way are no errors of the other.
                tensors[place] = tensor = tensor.view_as(tensor)
            if calls is not None:
                errors.append(torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape))
                tensor.register_hook(_writer(errors, len(errors) - 1))
        if calls is not None:
            inputs, named = tree_map(_detached, (arguments, keywords))
            calls.append(LayerCall(self._names[module], module, inputs, named, errors))
        return tree_unflatten(tensors, structure)

    def _for_each_sample(self, value: Tensor) -> Tensor:
        """Give each sample a copy, without using memory."""
        whole = value if len(value) == 1 else value.unsqueeze(0)
        return whole.expand(self._samples, *whole.shape[1:])


def _writer(errors: list[Tensor], place: int) -> Callable[[Tensor], None]:
    """Hook of a tensor that writes its gradient to a place in a list."""

    def write(gradient: Tensor) -> None:
        errors[place] = gradient.detach()

    return write


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Disable torch's fused transformer layers, which bypass the modules inside them and their hooks."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
