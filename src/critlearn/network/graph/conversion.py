"""Conversion of dense sequences to graphs and back, with identical activation and learning passes."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.network.graph.bulk_boundary import BulkBoundaryNetwork


def graph_of(model: nn.Sequential) -> BulkBoundaryNetwork:
    """Convert a sequence of dense layers and activations to a graph; neurons layer after layer, inputs first.

    Weights come in the order of the sequence's: those of each layer row by row, then those of the next.

    Raises
    ------
    InvalidInputError
        If the sequence holds other modules, a layer's weights act in two places, or only some of its layers have
        biases, or are trained.
    """
    if not isinstance(model, nn.Sequential):
        raise InvalidInputError(f"a graph is made of a torch.nn.Sequential; got {type(model).__name__}")
    layers, activations = _layers(model)
    trained = _alike([layer.weight for layer in layers], "weights")
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    biases_trained = _alike(biases, "biases")
    widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    starts = [sum(widths[:at]) for at in range(len(widths))]
    edges = []
    for at, layer in enumerate(layers):
        target, source = torch.meshgrid(
            torch.arange(layer.out_features) + starts[at + 1],
            torch.arange(layer.in_features) + starts[at],
            indexing="ij",
        )
        edges.append(torch.stack([source.reshape(-1), target.reshape(-1)]))
    each: list[str | nn.Module] = ["identity"] * widths[0]
    for module, width in zip(activations, widths[1:], strict=True):
        each += [module] * width
    neurons = sum(widths)
    graph = BulkBoundaryNetwork(
        neurons,
        torch.cat(edges, dim=1),
        inputs=range(widths[0]),
        outputs=range(starts[-1], neurons),
        activations=each,
        steps=len(layers),
        dtype=layers[0].weight.dtype,
    )
    with torch.no_grad():
        graph.weight.copy_(torch.cat([layer.weight.reshape(-1) for layer in layers]))
        graph.bias.copy_(torch.cat(biases) if biases else torch.zeros_like(graph.bias))
    graph.weight.requires_grad_(trained)
    graph.bias.requires_grad_(biases_trained)
    return graph.train(model.training)


def sequence_of(graph: BulkBoundaryNetwork) -> nn.Sequential:
    """Convert a layered graph to a sequence of dense layers and activations with the same passes.

    Raises
    ------
    InvalidInputError
        If the graph has cycles, its edges do not join whole neighbouring layers, or units of a layer differ in their
        activation.
    """
    levels = _levels(graph)
    matrix = graph.dense_weight().detach()
    mask = torch.zeros_like(matrix, dtype=torch.bool)
    mask[graph.edges[1], graph.edges[0]] = True
    full = sum(len(before) * len(after) for before, after in itertools.pairwise(levels))
    if graph.edges.shape[1] != full or sorted(levels[-1]) != sorted(graph.outputs):
        raise InvalidInputError("the graph is no sequence: its edges do not join whole neighbouring layers")
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(levels):
        if not bool(mask[after][:, before].all()):
            raise InvalidInputError("the graph is no sequence: its edges do not join whole neighbouring layers")
        # Biases that are zero and not trained mean a sequence without biases.
        biased = graph.bias.requires_grad or bool((graph.bias != 0).any())
        linear = nn.Linear(len(before), len(after), bias=biased, dtype=matrix.dtype)
        with torch.no_grad():
            linear.weight.copy_(matrix[after][:, before])
            if biased:
                linear.bias.copy_(graph.bias[[graph.free.index(neuron) for neuron in after]])
        linear.weight.requires_grad_(graph.weight.requires_grad)
        if biased:
            linear.bias.requires_grad_(graph.bias.requires_grad)
        modules += [linear, _activation(graph, after)]
    kept = [module for module in modules if not isinstance(module, nn.Identity)]
    return nn.Sequential(*kept).train(graph.training)


def _layers(model: nn.Sequential) -> tuple[list[nn.Linear], list[nn.Module]]:
    """Dense layers, and the activation after each."""
    layers: list[nn.Linear] = []
    activations: list[nn.Module] = []
    for module in _flat(model):
        if type(module) is nn.Linear:
            layers.append(module)
            activations.append(nn.Identity())
        elif layers and isinstance(activations[-1], nn.Identity) and not list(module.parameters()):
            activations[-1] = module
        else:
            raise InvalidInputError(f"a graph is made of dense layers and activations; got {type(module).__name__}")
    if not layers:
        raise InvalidInputError("a graph needs at least one dense layer")
    variables = [id(value) for layer in layers for value in layer.parameters()]
    if len(set(variables)) < len(variables):
        raise InvalidInputError("a graph has a weight of its own for each edge; the sequence uses some in two places")
    if len({layer.bias is None for layer in layers}) > 1:
        raise InvalidInputError("a graph has biases for all of its neurons or for none; only some layers have them")
    return layers, activations


def _flat(model: nn.Sequential) -> Iterator[nn.Module]:
    # Not `children`, which gives a module that stands in two places only once.
    for child in model._modules.values():
        yield from _flat(child) if type(child) is nn.Sequential else [child]


def _alike(values: Sequence[Tensor], name: str) -> bool:
    """Whether all of these parameters are trained; raise if only some are."""
    trained = {value.requires_grad for value in values}
    if len(trained) > 1:
        raise InvalidInputError(f"a graph trains the {name} of all layers or of none; some are frozen")
    return trained == {True}


def _levels(graph: BulkBoundaryNetwork) -> list[list[int]]:
    """Neurons grouped by the length of the longest path from the inputs to them."""
    depth = torch.full((graph.neurons,), -1)
    depth[list(graph.inputs)] = 0
    for _ in range(graph.neurons):
        before: Tensor = depth.clone()
        reached = torch.where(before[graph.edges[0]] >= 0, before[graph.edges[0]] + 1, -1)
        depth = depth.scatter_reduce(0, graph.edges[1], reached, "amax")
        if torch.equal(depth, before):
            break
    else:
        raise InvalidInputError("the graph is no sequence: it has a cycle")
    if bool((depth < 0).any()):
        raise InvalidInputError("the graph is no sequence: the inputs do not reach every neuron")
    levels = [[neuron for neuron in range(graph.neurons) if depth[neuron] == at] for at in range(int(depth.max()) + 1)]
    levels[0], levels[-1] = list(graph.inputs), list(graph.outputs)
    return levels


def _activation(graph: BulkBoundaryNetwork, neurons: list[int]) -> nn.Module:
    """The one activation of a layer's neurons."""
    rows = {graph.free.index(neuron) for neuron in neurons}
    found = [
        module for module, places in zip(graph.activations, graph.places, strict=True) if rows & set(places.tolist())
    ]
    if len(found) != 1:
        raise InvalidInputError("the graph is no sequence: units of a layer differ in their activation")
    return found[0]
