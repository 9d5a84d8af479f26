"""Sequences of modules: the modules of a network in order, and whether its parameters are used only once."""

from collections import Counter
from typing import Final

from torch import nn

from critlearn.network import ActivationModule
from critlearn.network.checks.hooks import hooked
from critlearn.network.exact.gelu import ExactGelu

SEPARATE: Final = (
    ActivationModule,
    ExactGelu,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.LogSigmoid,
    nn.Hardtanh,
)
"""Modules that act on each entry separately."""


def flattened(model: nn.Module, name: str = "") -> list[tuple[str, nn.Module]] | None:
    """List the names and modules of a sequence in order; None if it has hooks.

    A module that is used in several places is listed for each.
    """
    if hooked(model):
        return None
    if type(model) is not nn.Sequential:
        return [(name, model)]
    found: list[tuple[str, nn.Module]] = []
    # Not `named_children`, which names a module that stands in two places only once.
    for child_name, child in model._modules.items():
        inner = flattened(child, joined(name, child_name))
        if inner is None:
            return None
        found += inner
    return found


def joined(name: str, local: str) -> str:
    """Full name of a part of a named module."""
    return f"{name}.{local}" if name else local


def used_once(modules: list[tuple[str, nn.Module]], module: nn.Module) -> bool:
    """Whether no parameter of a module is used elsewhere in a sequence, so that its change is from this place alone."""
    uses = Counter(id(value) for _, part in modules for value in part.parameters())
    return all(uses[id(value)] == 1 for value in module.parameters())
