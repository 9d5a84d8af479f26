"""Turn a user's network into one with the same outputs whose activations have exact derivatives."""

import copy
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from critlearn.network.modules import ActivationModule

Module = TypeVar("Module", bound=nn.Module)


class _ExactGelu(torch.autograd.Function):
    """``y Phi(y)``, whose derivative ``Phi(y) + y phi(y)`` takes Phi from erfc: torch's ``1 + erf`` is 0 below -8."""

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor) -> Tensor:
        return y * _normal_cumulative(y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradients[0] * _gelu_slope(y)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (y,) = ctx.saved_tensors
        return tangents[0] * _gelu_slope(y)


def _gelu_slope(y: Tensor) -> Tensor:
    return _normal_cumulative(y) + y * torch.exp(-y * y / 2) / math.sqrt(2 * math.pi)


def _normal_cumulative(y: Tensor) -> Tensor:
    return torch.erfc(-y / math.sqrt(2)) / 2


class ExactGelu(nn.Module):
    """Gaussian error linear unit with an exact derivative, in place of ``nn.GELU()``."""

    def forward(self, y: Tensor) -> Tensor:
        """``y Phi(y)``, any shape."""
        return _ExactGelu.apply(y)


def _gelu(module: nn.Module) -> nn.Module:
    # The tanh form has a derivative of its own, with tanh in it: it is left as it is, with its resolution floor.
    return ExactGelu() if getattr(module, "approximate", "none") == "none" else module


_REPLACED: Final[dict[type[nn.Module], Callable[[nn.Module], nn.Module]]] = {
    nn.Tanh: lambda _: ActivationModule("tanh"),
    nn.Sigmoid: lambda _: ActivationModule("sigmoid"),
    nn.Softsign: lambda _: ActivationModule("softsign"),
    nn.GELU: _gelu,
}
"""Torch's activations whose derivatives cancel, and what replaces them.

ReLU, LeakyReLU, ELU, SELU, CELU, SiLU, Softplus and LogSigmoid have derivatives that are exact as torch computes them,
if they do not work in place.
"""


def tail_exact(model: Module) -> Module:
    """Copy of a network with torch's activations replaced by exact ones: same outputs to rounding, same names.

    Tanh, Sigmoid, Softsign and GELU are replaced wherever they stand as modules; other activations are kept, but no
    longer work in place. Parameters, buffers, ``state_dict`` keys and train mode are those of the original. What a
    module computes by functions in its own ``forward`` cannot be seen here.

    Source: theory, numbers.

    >>> tail_exact(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))[1]
    ActivationModule(tanh)
    """
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
        for name, child in list(module.named_children()):
            if type(child) in _REPLACED:
                setattr(module, name, _replacement(child))
        _replace_attributes(module)
    return _replacement(copied) if type(copied) in _REPLACED else copied  # type: ignore[return-value]


def _replacement(module: nn.Module) -> nn.Module:
    return _REPLACED[type(module)](module).train(module.training)


def _replace_attributes(module: nn.Module) -> None:
    """Activations that torch's transformer layers keep as plain functions."""
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        functions = {nn.functional.gelu: ExactGelu(), torch.tanh: ActivationModule("tanh")}
        activation = module.activation
        if activation in functions:
            # Not as a submodule: that would be a new name, if one without parameters.
            object.__setattr__(module, "activation", functions[activation])
