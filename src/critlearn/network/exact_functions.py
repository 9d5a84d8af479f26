"""Activations that a network calls as functions in its own ``forward``, replaced by exact ones while it runs."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, SupportsIndex

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from critlearn.network.exact_gelu import ExactGelu
from critlearn.network.modules import ActivationModule

_BY_NAME: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "tanh": (torch.tanh, Tensor.tanh, functional.tanh),
    "sigmoid": (torch.sigmoid, torch.special.expit, Tensor.sigmoid, functional.sigmoid),
    "softsign": (functional.softsign,),
}
"""Functions of torch that are catalogue activations, by the names of these."""

_REPLACED: Final[dict[Callable[..., Any], ActivationModule]] = {
    function: ActivationModule(name) for name, functions in _BY_NAME.items() for function in functions
}


def exact_activation(function: Callable[..., Any], keywords: Mapping[str, Any]) -> nn.Module | None:
    """Module in place of a function of one tensor whose derivative cancels; None for any other function."""
    if function in _REPLACED and not keywords:
        return _REPLACED[function]
    if function is functional.gelu and keywords.get("approximate", "none") == "none":
        return ExactGelu()
    return None


def _saved_elsewhere() -> bool:
    """Whether hooks for saved tensors are active, as those of activation checkpointing.

    Checkpointing calls functions a second time on the way back, when they are torch's own again, and would take the
    tensors that these save for those of the exact ones: another number of the same shape.
    """
    # Private to torch, and not in its oldest versions.
    topmost = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return topmost is not None and topmost(True) is not None


class _ExactFunctions(TorchFunctionMode):
    """Context in which torch's functions whose derivatives cancel are exact ones: same values to rounding."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the exact function in place of ``func``, if there is one and it is called with a tensor alone."""
        kwargs = kwargs or {}
        # A value that is being traced is no tensor: it is to show the functions that are called.
        exact = exact_activation(func, kwargs) if len(args) == 1 and isinstance(args[0], Tensor) else None
        if exact is not None and _saved_elsewhere():
            exact = None
        return func(*args, **kwargs) if exact is None else exact(args[0])


def with_exact_functions(module: nn.Module) -> None:
    """Make a user's own modules, and all that they call, run with exact functions; torch's modules stay as they are."""
    kind = type(module)
    if kind.__module__.split(".")[0] in ("torch", "critlearn"):
        for child in module.children():
            with_exact_functions(child)
    elif kind.__call__ is nn.Module.__call__:
        module.__class__ = _running_exactly(kind)  # type: ignore[arg-type]


class _NoSubclassHook(nn.Module):
    """Base class before a user's type whose ``__init_subclass__`` is not run: it may ask for arguments of its own."""

    def __init_subclass__(cls) -> None:
        """Do nothing."""


@cache
def _running_exactly(kind: type) -> type[nn.Module]:
    """Subtype whose calls run with exact functions; ``forward`` stays the user's own, by which layer rules know it."""

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with _ExactFunctions():
            return kind.__call__(self, *args, **kwargs)

    def reduce(self: nn.Module, protocol: SupportsIndex) -> tuple[Any, ...]:
        # The subtype has no name by which it could be imported: the user's type is stored, and wrapped anew.
        stored: Any = kind.__reduce_ex__(self, protocol)  # type: ignore[arg-type, call-arg]
        build, arguments, *rest = stored
        return _rebuilt, tuple(kind if part is type(self) else part for part in (build, *arguments)), *rest

    methods = {"__call__": call, "__reduce_ex__": reduce}
    names = {**methods, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (_NoSubclassHook, kind), names)


def _rebuilt(build: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
    """What was stored of a module that runs with exact functions; its state follows."""
    module = build(*arguments)
    kind: Any = type(module)
    if kind.__call__ is nn.Module.__call__:
        module.__class__ = _running_exactly(kind)
    return module
