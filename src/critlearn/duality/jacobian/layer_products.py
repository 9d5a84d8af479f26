"""Products ``J^T J v`` from the inputs and errors of layers alone, without forming anything as large as the weights.

The change of a layer's weights is ``E A^T`` with its errors E (outputs, places) and its inputs A (inputs, places),
which are patches for a convolution. Along v it changes by ``R = dE A^T + E dA^T``. The transposed Jacobian needs only
``R A`` and ``R^T E``, products of matrices with one column per place.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jvp, vjp
from torch.nn import functional

from critlearn.duality.jacobian.operator import JacobianOperator


class LayerProducts:
    """Operator ``J^T J`` at one boundary state, in the units of the Jacobian operator.

    Parameters
    ----------
    operator
        The Jacobian.
    layers
        Dense layers and convolutions that have all of the trainable variables, each used once.
    """

    def __init__(self, operator: JacobianOperator, layers: Sequence[nn.Module]) -> None:
        self._operator, self._layers = operator, layers
        self._start = (operator.x, operator.x.new_zeros(operator.targets))

    def __call__(self, direction: Tensor) -> Tensor:
        """``J^T J v``, shape (boundary,) -> (boundary,)."""
        along = self._operator.parts(direction)
        pushed: Any = jvp(self._passes, self._start, along)
        (inputs, errors), (moved, bent) = pushed
        pulled_inputs, pulled_errors = [], []
        for a, e, da, de in zip(inputs, errors, moved, bent, strict=True):
            # R A and R^T E, multiplied from the right so that only (places, places) products are formed.
            pulled_errors.append(de @ (a.T @ a) + e @ (da.T @ a))
            pulled_inputs.append(a @ (de.T @ e) + da @ (e.T @ e))
        return torch.cat([part.reshape(-1) for part in self._pull((pulled_inputs, pulled_errors))]).detach()

    @cached_property
    def _pull(self) -> Callable[[Any], tuple[Tensor, Tensor]]:
        pulled: Any = vjp(self._passes, *self._start)
        return pulled[1]

    @cached_property
    def _shapes(self) -> list[torch.Size]:
        """Shape of the output of each layer."""
        found: dict[nn.Module, torch.Size] = {}

        def record(layer: nn.Module, _: Any, output: Tensor) -> None:
            found[layer] = output.shape

        handles = [layer.register_forward_hook(record) for layer in self._layers]
        try:
            with torch.no_grad():
                self._operator.call(self._operator.values, self._operator.x)
        finally:
            for handle in handles:
                handle.remove()
        return [found[layer] for layer in self._layers]

    def _passes(self, x: Tensor, target_change: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Inputs and errors of every layer, as matrices with a column for each place."""
        none = [self._operator.x.new_zeros(shape) for shape in self._shapes]
        pulled: Any = vjp(lambda probes: self._recorded(x, probes), none, has_aux=True)
        output, pull, columns = pulled
        (errors,) = pull(self._operator.errors(output, target_change))
        return columns, [error.reshape(_outputs(layer), -1) for layer, error in zip(self._layers, errors, strict=True)]

    def _recorded(self, x: Tensor, probes: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Output of the network and inputs of its layers, with a probe added to the output of each layer.

        The derivative by a probe is the error at that layer. Layers run as matrix products, so inputs are unfolded into
        patches only once.
        """
        columns: dict[int, Tensor] = {}

        def forward(place: int) -> Callable[[Tensor], Tensor]:
            def product(inputs: Tensor) -> Tensor:
                layer: Any = self._layers[place]
                columns[place] = _columns(layer, inputs)
                weight = layer.weight.flatten(1)
                output = weight @ columns[place][: weight.shape[1]]
                output = output if layer.bias is None else output + layer.bias[:, None]
                return output.reshape(self._shapes[place]) + probes[place]

            return product

        try:
            for place, layer in enumerate(self._layers):
                layer.forward = forward(place)
            output = self._operator.call(self._operator.values, x)
        finally:
            for layer in self._layers:
                del layer.forward
        return output, [columns[place] for place in range(len(self._layers))]


def _outputs(layer: Any) -> int:
    return int(layer.weight.shape[0])


def _columns(layer: Any, inputs: Tensor) -> Tensor:
    """Inputs of a layer as a matrix, one column for each place, with a row of ones for the bias."""
    if isinstance(layer, nn.Linear):
        columns = inputs.reshape(-1, layer.in_features).T
    else:
        columns = functional.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)[0]
    return columns if layer.bias is None else torch.cat([columns, torch.ones_like(columns[:1])])


def layer_products(operator: JacobianOperator) -> LayerProducts | None:
    """Return products by layers if all trainable variables belong to dense layers and plain convolutions; else None."""
    layers: list[nn.Module] = []
    for module in operator.model.modules():
        own = dict(module.named_parameters(recurse=False))
        if not own or not any(value.requires_grad for value in own.values()):
            continue
        plain = type(module) is nn.Linear or (
            type(module) is nn.Conv2d
            and module.groups == 1
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        )
        if not plain or not all(value.requires_grad for value in own.values()):
            return None
        layers.append(module)
    return LayerProducts(operator, layers) if _each_once(operator, layers) else None


def by_layers(operator: JacobianOperator) -> bool:
    """Whether there are products by layers that are worth their time: no more columns than rows."""
    return operator.shape[1] <= operator.shape[0] and layer_products(operator) is not None


@torch.no_grad()
def _each_once(operator: JacobianOperator, layers: Sequence[nn.Module]) -> bool:
    """Whether one pass calls every layer exactly once, on one sample, and no weights are tied."""
    calls: list[tuple[nn.Module, bool]] = []

    def record(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        flat = type(module) is nn.Conv2d or (output.dim() == 2 and len(output) == 1)
        calls.append((module, flat and len(arguments) == 1))

    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        operator.call(operator.values, operator.x)
    finally:
        for handle in handles:
            handle.remove()
    variables = [id(value) for layer in layers for value in layer.parameters()]
    once = sorted(id(module) for module, _ in calls) == sorted(id(layer) for layer in layers)
    return once and all(flat for _, flat in calls) and len(set(variables)) == len(variables)
