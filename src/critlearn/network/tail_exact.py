"""Tail-exact copies of networks: same outputs, but activations with exact derivatives."""

from collections.abc import Callable
from typing import Final, TypeVar

import torch
from torch import nn

from critlearn.network.checks.hooks import with_hooks_of
from critlearn.network.checks.learnable import check_kind
from critlearn.network.copying import copied
from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.exact.softmax import ExactSoftmax
from critlearn.network.exact_functions import with_exact_functions
from critlearn.network.modules import ActivationModule

Module = TypeVar("Module", bound=nn.Module)


def _gelu(module: nn.Module) -> nn.Module:
    # The tanh approximation is another function: it stays a module, which is exact inside one of a user's own.
    return ExactGelu() if getattr(module, "approximate", "none") == "none" else module


def _softmax(module: nn.Module) -> nn.Module:
    # Without a dimension, torch takes one that depends on the shape of the input.
    return ExactSoftmax(module.dim) if isinstance(module.dim, int) else module


_REPLACED: Final[dict[type[nn.Module], Callable[[nn.Module], nn.Module]]] = {
    nn.Tanh: lambda _: ActivationModule("tanh"),
    nn.Sigmoid: lambda _: ActivationModule("sigmoid"),
    nn.Softsign: lambda _: ActivationModule("softsign"),
    nn.GELU: _gelu,
    nn.Softmax: _softmax,
}
"""Torch's activations whose derivatives cancel, and what replaces them.

ReLU, LeakyReLU, ELU, SELU, CELU, SiLU, Softplus and LogSigmoid have derivatives that are exact as torch computes them,
if they do not work in place.
"""


def tail_exact(model: Module) -> Module:
    """Copy a network with torch's activations replaced by exact ones: same outputs to rounding, same names.

    Tanh, Sigmoid, Softsign, GELU and Softmax are replaced as modules, and where a module's own ``forward`` calls them
    as functions (``torch.tanh(x)``, ``x.tanh()``; not those that work in place or write to ``out``). So are the
    functions of `exact.table`, which torch's attention, recurrent layers and losses call. Other activations are kept,
    but no longer work in place. Parameters, buffers, ``state_dict`` keys, hooks and train mode are those of the
    original.

    Source: theory, numbers.

    Raises
    ------
    InvalidInputError
        If it is no module, is compiled by ``torch.jit``, or cannot be copied.

    >>> tail_exact(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))[1]
    ActivationModule(tanh)
    """
    check_kind(model)
    exact = copied(model)
    for module in list(exact.modules()):
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
        # Not `named_children`, which names a module that stands in two places only once.
        for name, child in list(module._modules.items()):
            if child is not None and type(child) in _REPLACED:
                setattr(module, name, _replacement(child))
        _replace_attributes(module)
    keep_epsilon(exact)
    with_exact_functions(exact)
    return _replacement(exact) if type(exact) in _REPLACED else exact  # type: ignore[return-value]


def keep_epsilon(model: nn.Module) -> None:
    """Fix the epsilon that torch would take from the precision: in another precision the layer would differ."""
    for module in model.modules():
        if isinstance(module, nn.RMSNorm) and module.eps is None:
            like = next(model.parameters(), torch.empty(0))
            module.eps = torch.finfo(like.dtype).eps


def _replacement(module: nn.Module) -> nn.Module:
    return with_hooks_of(_REPLACED[type(module)](module).train(module.training), module)


def _replace_attributes(module: nn.Module) -> None:
    """Replace activations that torch's transformer layers store as plain functions."""
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        functions = {nn.functional.gelu: ExactGelu(), torch.tanh: ActivationModule("tanh")}
        activation = module.activation
        if activation in functions:
            # Not as a submodule, which would add a name to the network.
            object.__setattr__(module, "activation", functions[activation])
