"""Activations by torch's own functions, for a mean gradient, in which small derivatives do not count."""

import math
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from critlearn.compositions import ACTIVATIONS
from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.modules import ActivationModule

Function = Callable[[Tensor], Tensor]
"""Activation function, any shape."""

PLAIN_ACTIVATIONS: Final[dict[str, Function]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": functional.softsign,
    "arctan": lambda y: torch.atan(y) * (2 / math.pi),
    "isru": lambda y: y * torch.rsqrt(1 + y * y),
    "erf": torch.erf,
    "normal-cdf": lambda y: torch.erfc(y * -math.sqrt(0.5)) / 2,
    "gudermannian": lambda y: torch.atan(torch.tanh(y / 2)) * (4 / math.pi),
    "asinh": torch.asinh,
    # Torch's softplus is the identity above a threshold; exp(-40) is less than the spacing of numbers at 40.
    "softplus": lambda y: functional.softplus(y, threshold=40.0),
    "elu": functional.elu,
    "square": torch.square,
}
"""Torch's functions for activations of the catalogue, by name.

Others are written with ``|y|``, whose derivative at 0 is 0 in torch, and a pre-activation of exactly 0 is common:
pixels are black and biases start at 0. They keep their exact forms.
"""


class PlainActivations:
    """Context in which the exact activations of a network are evaluated by torch's own functions.

    The modules stay where they are, with their hooks; only what they compute is replaced. Values and derivatives are
    the same to the spacing of numbers near 1: derivatives below it, ``1 - f^2`` in the tail, become 0. Modules of other
    types, subclasses, and activations that are not the catalogue's are left alone.

    Parameters
    ----------
    model
        The network.
    """

    def __init__(self, model: nn.Module) -> None:
        found = ((vars(module), _plain_function(module)) for module in model.modules())
        self._replaced: list[tuple[dict[str, Any], Function]] = [
            (attributes, function)
            for attributes, function in found
            if function is not None and "forward" not in attributes
        ]

    def __enter__(self) -> None:
        """Let the modules call torch's functions: an attribute of the module comes before the method of its type."""
        for attributes, function in self._replaced:
            attributes["forward"] = function

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Make the modules exact again."""
        for attributes, _ in self._replaced:
            attributes.pop("forward", None)


def _plain_function(module: nn.Module) -> Function | None:
    """Torch's function for an exact activation; None for other modules."""
    if type(module) is ExactGelu:
        return functional.gelu
    if type(module) is not ActivationModule:
        return None
    name = module.activation.name
    # A user's own activation may have a name of the catalogue.
    return PLAIN_ACTIVATIONS.get(name) if module.activation == ACTIVATIONS.get(name) else None
