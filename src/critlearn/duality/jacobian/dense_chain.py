"""Chains of dense layers: the layers of a network, and the derivatives of its activations."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from critlearn.duality.sequence import SEPARATE, flattened, used_once
from critlearn.network import ActivationModule

_IDLE: Final = (nn.Identity, nn.Flatten, nn.Dropout)
"""Modules that change nothing in evaluation mode."""


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """Dense layer with its activation, ``a = f(W b + c)``.

    Parameters
    ----------
    name
        Name of the dense module in the network.
    linear
        The module.
    activation
        What follows it; None for nothing.
    weight_trained, bias_trained
        Whether each is a trainable variable.
    """

    name: str
    linear: nn.Linear
    activation: nn.Module | None
    weight_trained: bool
    bias_trained: bool


@dataclass(frozen=True, eq=False)
class Slopes:
    """First two derivatives of an activation at the pre-activations of a layer, shape (sample, unit).

    ``slope`` and ``curvature`` are in units of ``exp(log_unit)``, shape (sample,), so that they do not underflow if a
    whole layer is saturated.
    """

    slope: Tensor
    curvature: Tensor
    log_unit: Tensor

    def true_slope(self) -> Tensor:
        """``f'``."""
        return self.slope * self.log_unit.exp()[:, None]


def dense_chain(model: nn.Module) -> list[DenseLayer] | None:
    """Return the layers of a chain of dense layers, each with at most one activation; None for any other network."""
    modules = flattened(model)
    if modules is None:
        return None
    layers: list[DenseLayer] = []
    for name, module in modules:
        if type(module) in _IDLE:
            continue
        if type(module) is nn.Linear:
            bias = module.bias is not None and module.bias.requires_grad
            layers.append(DenseLayer(name, module, None, module.weight.requires_grad, bias))
        elif type(module) in SEPARATE and layers and layers[-1].activation is None:
            last = layers[-1]
            layers[-1] = DenseLayer(last.name, last.linear, module, last.weight_trained, last.bias_trained)
        else:
            return None
    return layers if layers and all(used_once(modules, layer.linear) for layer in layers) else None


def slopes(activation: nn.Module, y: Tensor) -> Slopes:
    """Derivatives of an activation: from logarithms for the catalogue, by automatic differentiation for others."""
    if isinstance(activation, ActivationModule):
        function = activation.activation
        logs = function.log_slope(y)
        rate = function.log_slope_derivatives(y)[0]
        unit = torch.nan_to_num(logs.amax(dim=1), neginf=0.0)
        slope = function.slope_sign(y) * (logs - unit[:, None]).exp()
        return Slopes(slope, torch.where(slope == 0, 0.0, slope * rate), unit)
    with torch.enable_grad():
        at = y.detach().clone().requires_grad_()
        (first,) = torch.autograd.grad(activation(at).sum(), at, create_graph=True)
        second = torch.zeros_like(first)
        if first.requires_grad:
            (found,) = torch.autograd.grad(first.sum(), at, allow_unused=True)
            second = second if found is None else found
    return Slopes(first.detach(), second.detach(), y.new_zeros(len(y)))
