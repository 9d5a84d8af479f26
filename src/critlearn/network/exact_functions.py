"""Replacement of activations that a ``forward`` calls as functions (``torch.tanh(x)``) by exact ones."""

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
"""Torch's functions that are catalogue activations, by catalogue name."""

_REPLACED: Final[dict[Callable[..., Any], ActivationModule]] = {
    function: ActivationModule(name) for name, functions in _BY_NAME.items() for function in functions
}


def exact_activation(function: Callable[..., Any], keywords: Mapping[str, Any]) -> nn.Module | None:
    """Return an exact module for a function of one tensor whose derivative cancels; None for other functions."""
    if function in _REPLACED and not keywords:
        return _REPLACED[function]
    if function is functional.gelu and keywords.get("approximate", "none") == "none":
        return ExactGelu()
    return None


def _saved_elsewhere() -> bool:
    """Whether hooks for saved tensors are active, such as those of activation checkpointing.

    Checkpointing repeats the calls in the backward pass, where the functions are torch's own again, and would confuse
    the saved tensors of the two: torch's tanh saves its output, the exact one its input, of the same shape.
    """
    # Private to torch, and not in its oldest versions.
    topmost = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return topmost is not None and topmost(True) is not None


class _ExactFunctions(TorchFunctionMode):
    """Context in which torch's functions with cancelling derivatives are exact; values are the same to rounding."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the exact function instead of ``func``, if there is one and the only argument is a tensor."""
        kwargs = kwargs or {}
        # Not for traced values: the trace must record the functions that the user calls.
        exact = exact_activation(func, kwargs) if len(args) == 1 and isinstance(args[0], Tensor) else None
        if exact is not None and _saved_elsewhere():
            exact = None
        return func(*args, **kwargs) if exact is None else exact(args[0])


def with_exact_functions(module: nn.Module) -> None:
    """Make a user's own modules, and all that they call, run with exact functions; torch's modules stay as they are."""
    kind = type(module)
    given = vars(module).get("given")
    if isinstance(given, nn.Module):
        # An adapted model shares the children of the user's own, whose forward it calls.
        with_exact_functions(given)
        return
    if kind.__module__.split(".")[0] in ("torch", "critlearn"):
        for child in module.children():
            with_exact_functions(child)
    elif kind.__call__ is nn.Module.__call__:
        module.__class__ = _running_exactly(kind)  # type: ignore[arg-type]


class _NoSubclassHook(nn.Module):
    """Base class that keeps a user's ``__init_subclass__`` from running, which may require arguments."""

    def __init_subclass__(cls) -> None:
        """Do nothing."""


@cache
def _running_exactly(kind: type) -> type[nn.Module]:
    """Make a subtype whose calls run with exact functions; ``forward`` stays the user's, as layer rules compare it."""

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with _ExactFunctions():
            return kind.__call__(self, *args, **kwargs)

    def reduce(self: nn.Module, protocol: SupportsIndex) -> tuple[Any, ...]:
        # The subtype cannot be imported by name, so the user's type is pickled and wrapped again on loading.
        stored: Any = kind.__reduce_ex__(self, protocol)  # type: ignore[arg-type, call-arg]
        build, arguments, *rest = stored
        return _rebuilt, tuple(kind if part is type(self) else part for part in (build, *arguments)), *rest

    methods = {"__call__": call, "__reduce_ex__": reduce}
    names = {**methods, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (_NoSubclassHook, kind), names)


def _rebuilt(build: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
    """Rebuild a pickled module that runs with exact functions; pickle restores its state afterwards."""
    module = build(*arguments)
    kind: Any = type(module)
    if kind.__call__ is nn.Module.__call__:
        module.__class__ = _running_exactly(kind)
    return module
