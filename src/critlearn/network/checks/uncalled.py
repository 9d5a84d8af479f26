"""Layers that are never called although the network uses their variables: ``self.project.weight @ x`` in a module.

No layer rule sees such a use. The innermost module around it that is called does: its gradients are differentiated.
"""

from collections.abc import Collection

import torch
from torch import nn

from critlearn.network.batches.model_inputs import Inputs


def callers(model: nn.Module, layers: Collection[str], x: Inputs) -> dict[str, str]:
    """For each layer that is used without being called: the innermost module around it that is called.

    Where that is the whole network there is none: then the whole network is differentiated anyway.

    Parameters
    ----------
    model
        Copy of the network, whose parameters need no gradients; those that are looked at will.
    layers
        Names of layers that hold variables.
    x
        Inputs of a few samples.
    """
    called: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(model.named_modules())
    idle = {
        layer: [value for value in modules[layer].parameters(recurse=False) if value.is_floating_point()]
        for layer in layers
        if layer not in called
    }
    if not any(idle.values()):
        return {}
    variables = list({value for held in idle.values() for value in held})
    for value in variables:
        value.requires_grad_()
    with torch.enable_grad():
        output = model(x)
        gradients = torch.autograd.grad(output, variables, torch.ones_like(output), allow_unused=True)
    # An expert to whom none of these samples is sent is not used either.
    reached = {value for value, gradient in zip(variables, gradients, strict=True) if gradient is not None}
    used = [layer for layer, held in idle.items() if reached.intersection(held)]
    found = {layer: _around(layer, called) for layer in used}
    return {layer: caller for layer, caller in found.items() if caller}


def _around(layer: str, called: set[str]) -> str:
    """Name of the innermost module around a layer that is called; '' for the network itself."""
    while layer:
        layer = layer.rpartition(".")[0]
        if layer in called:
            break
    return layer
