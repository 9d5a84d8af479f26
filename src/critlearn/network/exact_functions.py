"""Replacement of torch's functions that cancel by exact ones, wherever a ``forward`` calls them (``torch.tanh(x)``)."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, SupportsIndex

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from critlearn.network.exact.gelu import ExactGelu
from critlearn.network.exact.softmax import ExactSoftmax
from critlearn.network.exact.table import EXACT_FORMS, exact_form
from critlearn.network.modules import ActivationModule

_MODULES: Final[dict[Any, ActivationModule]] = {
    function: ActivationModule(name)
    for name, functions in {
        "tanh": (torch.tanh, Tensor.tanh, nn.functional.tanh),
        "sigmoid": (torch.sigmoid, torch.special.expit, Tensor.sigmoid, nn.functional.sigmoid),
        "softsign": (nn.functional.softsign,),
    }.items()
    for function in functions
}
"""Torch's functions that are catalogue activations."""

_CALLING: Final = (
    *(nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, nn.GLU, nn.LogSoftmax, nn.Softmax, nn.Softmin),
    *(nn.CrossEntropyLoss, nn.BCEWithLogitsLoss),
)
"""Torch's own modules that call functions with exact forms."""

_running: Final = threading.local()
"""Whether this thread runs with exact functions already: a mode within a mode would handle every call twice."""


_keeping: Final = threading.Lock()

_keepers: Final[list[int]] = []
"""Threads that run exactly, changed under the lock alone."""


def exact_activation(
    function: Callable[..., Any], keywords: Mapping[str, Any], arguments: tuple[Any, ...] = ()
) -> nn.Module | None:
    """Exact module for a function of one tensor and some settings; None for other functions."""
    if function in _MODULES and not arguments and not keywords:
        return _MODULES[function]
    if function is nn.functional.gelu and not arguments and keywords.get("approximate", "none") == "none":
        return ExactGelu()
    if exact_form(function) is EXACT_FORMS[torch.softmax]:
        # A traced call names all settings, also those that were not given.
        given = {name: value for name, value in keywords.items() if value is not None and name != "_stacklevel"}
        dim = arguments[0] if arguments else given.get("dim")
        if isinstance(dim, int) and len(arguments) + len(given) == 1:
            return ExactSoftmax(dim)
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
        """Call the exact form of ``func``, if there is one for these arguments."""
        kwargs = kwargs or {}
        exact = exact_form(func)
        # Not for traced values: the trace must record the functions that the user calls.
        if exact is not None and args and isinstance(args[0], Tensor) and not _saved_elsewhere():
            result = exact(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return func(*args, **kwargs)


@contextmanager
def exact_functions() -> Iterator[None]:
    """Run what is called inside with exact functions, as a loss that is a user's own function."""
    if getattr(_running, "exactly", False):
        yield
        return
    _running.exactly = True
    try:
        with _ExactFunctions():
            yield
    finally:
        _running.exactly = False


def with_exact_functions(module: nn.Module) -> None:
    """Make modules run with exact functions: a user's own, all that they call, and those of torch's that need it."""
    given = vars(module).get("given")
    # An adapted model shares the children of the user's own, whose forward it calls.
    for part in list((given if isinstance(given, nn.Module) else module).modules()):
        kind = type(part)
        own = kind.__module__.split(".")[0] not in ("torch", "critlearn")
        if (own or isinstance(part, _CALLING)) and kind.__call__ is nn.Module.__call__:
            part.__class__ = _running_exactly(kind)  # type: ignore[arg-type]


class _KeptGraph:
    """Stands for torch's reentrant activation checkpointing in threads that run exactly: the graph is kept.

    Reentrant checkpointing works for ``backward()`` alone, and calls layers without a graph. A pass holds the inputs of
    all layers anyway, which are what checkpointing would save.
    """

    torchs: Final = torch.utils.checkpoint.CheckpointFunction

    @classmethod
    def apply(cls, function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """Call a checkpointed function."""
        return function(*args) if getattr(_running, "exactly", False) else cls.torchs.apply(function, preserve, *args)


@contextmanager
def _kept_graphs() -> Iterator[None]:
    """Put `_KeptGraph` in the place of reentrant checkpointing; it is torch's own for all other threads."""
    with _keeping:
        _keepers.append(threading.get_ident())
        torch.utils.checkpoint.CheckpointFunction = _KeptGraph  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        with _keeping:
            _keepers.remove(threading.get_ident())
            if not _keepers:
                torch.utils.checkpoint.CheckpointFunction = _KeptGraph.torchs  # type: ignore[misc]


class _NoSubclassHook(nn.Module):
    """Base class that keeps a user's ``__init_subclass__`` from running, which may require arguments."""

    def __init_subclass__(cls) -> None:
        """Do nothing."""


@cache
def _running_exactly(kind: type) -> type[nn.Module]:
    """Make a subtype whose calls run with exact functions; ``forward`` stays the user's, as layer rules compare it."""

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if getattr(_running, "exactly", False):
            return kind.__call__(self, *args, **kwargs)
        _running.exactly = True
        try:
            with _ExactFunctions(), _kept_graphs():
                return kind.__call__(self, *args, **kwargs)
        finally:
            _running.exactly = False

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
