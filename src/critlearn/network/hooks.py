"""Hooks on modules: with them a module does what its type does not tell."""

from typing import Final

from torch import nn

_CALLED: Final = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Where torch keeps hooks that take part in a pass."""


def hooked(module: nn.Module) -> bool:
    """Whether a module has hooks that are called in a pass, forwards or backwards."""
    return any(getattr(module, kind) for kind in _CALLED)


def with_hooks_of(module: nn.Module, replaced: nn.Module) -> nn.Module:
    """The module with all hooks of the one whose place it takes."""
    for name, value in vars(replaced).items():
        if "_hook" in name:
            vars(module)[name] = value
    return module
