"""Parts of a network on a graph: activations of its neurons, and checks of edges and boundary."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.network.modules import ActivationModule, hidden_activation


def slope_of(module: nn.Module, y: Tensor) -> Tensor:
    """Derivative of an activation in differentiable operations."""
    if isinstance(module, ActivationModule):
        return module.activation.derivative(y)
    if isinstance(module, nn.Identity):
        return torch.ones_like(y)
    if isinstance(module, nn.ReLU):
        return (y > 0).to(y.dtype)
    return torch.func.jvp(module, (y,), (torch.ones_like(y),))[1]


def values_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Activation as a function whose derivative may be inexact in the tail, for passes that are not differentiated."""
    return module.values() if isinstance(module, ActivationModule) else module


def grouped(
    activations: str | nn.Module | Sequence[str | nn.Module], free: tuple[int, ...], neurons: int
) -> list[tuple[nn.Module, Tensor]]:
    """Activations, each with the places of its neurons among those that are no inputs."""
    if isinstance(activations, str | nn.Module):
        return [(_module(activations), torch.arange(len(free)))]
    if len(activations) != neurons:
        raise InvalidInputError(f"a network of {neurons} neurons needs one activation or {neurons}")
    places: dict[Any, list[int]] = {}
    for place, neuron in enumerate(free):
        key = activations[neuron]
        places.setdefault(key if isinstance(key, str) else id(key), []).append(place)
    modules = {key if isinstance(key, str) else id(key): key for key in activations}
    return [(_module(modules[key]), torch.tensor(chosen)) for key, chosen in places.items()]


def _module(activation: str | nn.Module) -> nn.Module:
    if isinstance(activation, nn.Module):
        return activation
    return nn.Identity() if activation == "identity" else hidden_activation(activation)


def check_graph(neurons: int, edges: Tensor, inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Raise if edges, inputs and outputs make no graph with a boundary."""
    if edges.dim() != 2 or edges.shape[0] != 2 or edges.shape[1] == 0:
        raise InvalidInputError(f"edges are pairs (source, target), shape (2, edge); got {tuple(edges.shape)}")
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise InvalidInputError(f"edges are pairs of neurons, which are integers; got {edges.dtype}")
    if int(edges.min()) < 0 or int(edges.max()) >= neurons:
        raise InvalidInputError(f"edges join neurons 0 to {neurons - 1}; got {int(edges.min())} to {int(edges.max())}")
    each, counts = torch.unique(edges, dim=1, return_counts=True)
    if each.shape[1] < edges.shape[1]:
        source, target = each[:, int(counts.argmax())].tolist()
        raise InvalidInputError(f"an edge has one weight: that from {source} to {target} is given twice or more often")
    if not isinstance(inputs, Sequence) or not isinstance(outputs, Sequence):
        raise InvalidInputError(f"inputs and outputs are sequences of neurons; got {inputs} and {outputs}")
    ends = [*inputs, *outputs]
    if not inputs or not outputs or len(set(ends)) != len(ends) or not set(ends) <= set(range(neurons)):
        raise InvalidInputError(
            f"inputs and outputs are different neurons from 0 to {neurons - 1}, one of each at least; "
            f"got inputs {list(inputs)} and outputs {list(outputs)}"
        )
    if bool(torch.isin(edges[1], torch.tensor(list(inputs))).any()):
        raise InvalidInputError("an edge into an input neuron has no effect: its state is the data's")


def check_steps(steps: int) -> None:
    """Raise if a number of steps of an activation pass is not a positive integer."""
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise InvalidInputError(f"an activation pass needs at least one step, an integer; got {steps}")
