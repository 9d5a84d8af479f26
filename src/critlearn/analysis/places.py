"""Places of quantities: the layer and the kind of variable that each belongs to, and what fluctuates in words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from critlearn.fluctuations import POOLED, Fluctuations
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.numerics.log_sketch import LogSketch

KINDS: Final = {"bias": "biases", "weight": "weights"}
"""Kinds of trainable variables, with their plurals: what is added, and what multiplies."""


@dataclass(frozen=True)
class Place:
    """Place of a quantity in the network.

    Parameters
    ----------
    layer
        Name of its layer; empty for a variable of the network itself, ``all`` for a pool of several layers.
    kind
        ``weight`` or ``bias``; ``all`` for a pool of both.
    subject
        What fluctuates, in words, as ``weights of hidden1``.
    pool
        Whether it pools several variables, each of which is a quantity of its own.
    """

    layer: str
    kind: str
    subject: str
    pool: bool


def kind_of(name: str) -> str:
    """Kind of a trainable variable, by its name.

    >>> kind_of("encoder.in_proj_bias"), kind_of("transformer.wte.weight"), kind_of("class_token")
    ('bias', 'weight', 'weight')
    """
    return "bias" if "bias" in name.rpartition(".")[2] else "weight"


def kind_pool(kind: str) -> str:
    """Name of the quantity that pools all variables of a kind."""
    return f"{POOLED}.{kind}"


def with_kinds(fluctuations: Fluctuations, names: Mapping[str, int]) -> Fluctuations:
    """Fluctuations with the pools of all weights and of all biases, where there are several of them.

    Drawn entries have none: each variable gives as many of them, whatever its size.

    Parameters
    ----------
    fluctuations
        Fluctuations of a network.
    names
        Names of its trainable variables that were measured, with their numbers of entries.
    """
    if fluctuations.drawn_from:
        return fluctuations
    sketches, variables = dict(fluctuations.sketches), dict(fluctuations.variables)
    for kind in KINDS:
        members = [name for name in names if kind_of(name) == kind]
        # All of one kind are the pool of all already, and of a single layer there is one of each.
        if 1 < len(members) < len(names):
            sketches[kind_pool(kind)] = LogSketch.pooled([fluctuations[name] for name in members])
            variables[kind_pool(kind)] = sum(variables[name] for name in members)
    return replace(fluctuations, sketches=sketches, variables=variables)


def places_of(fluctuations: Fluctuations, names: Mapping[str, int]) -> dict[str, Place]:
    """Place of every quantity, the trainable variables first, from the output backwards, then the pools.

    Parameters
    ----------
    fluctuations
        Fluctuations of a network, with the pools of kinds.
    names
        Names of its trainable variables that were measured, with their numbers of entries, from the input on.
    """
    places = {name: _of_variable(name, names[name]) for name in reversed(list(names))}
    pools = {kind_pool(kind): Place(POOLED, kind, f"all {plural}", pool=True) for kind, plural in KINDS.items()}
    pools[POOLED] = Place(POOLED, POOLED, "all trainable variables", pool=True)
    layers = dict.fromkeys(layer_of(name) for name in places)
    # Of a single layer, weights and biases say all.
    if len(layers) == 1:
        return places
    for layer in layers:
        if layer in fluctuations and layer not in places and layer not in pools:
            places[layer] = Place(layer, POOLED, f"all variables of {layer}", pool=True)
    return places | {name: place for name, place in pools.items() if name in fluctuations}


def _of_variable(name: str, entries: int) -> Place:
    layer, kind = layer_of(name), kind_of(name)
    last = name.rpartition(".")[2]
    plain = last in KINDS
    if not plain:
        return Place(layer, kind, name, pool=False)
    if entries == 1:
        # As people say it where a layer is named output.
        subject = f"the {kind} of {layer}" if layer else f"the {kind}"
        return Place(layer, kind, f"the output {kind}" if layer == "output" else subject, pool=False)
    return Place(layer, kind, f"{KINDS[kind]} of {layer}" if layer else f"the {KINDS[kind]}", pool=False)
