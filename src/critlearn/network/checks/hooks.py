"""Detection and transfer of hooks, by which a module may do more than its type implies."""

from typing import Final

from torch import nn

from critlearn.network.checks.finiteness import in_words

_BACKWARDS: Final = ("_backward_pre_hooks", "_backward_hooks")
_CALLED: Final = ("_forward_pre_hooks", "_forward_hooks", *_BACKWARDS)
"""Attributes in which torch stores the hooks that are called in a pass."""


def hooked(module: nn.Module) -> bool:
    """Whether a module has hooks that are called in a pass, forwards or backwards."""
    return any(getattr(module, kind) for kind in _CALLED)


def hooked_backwards(model: nn.Module) -> str | None:
    """Describe the first module with hooks that are called in the learning pass; None if there is none."""
    for name, module in model.named_modules():
        if any(getattr(module, kind) for kind in _BACKWARDS):
            return in_words(name, module, "module")
    return None


def called_hooks(model: nn.Module) -> list[int]:
    """Identities of all hooks that are called in a pass of a network; the list changes when a hook does."""
    return [id(hook) for module in model.modules() for kind in _CALLED for hook in getattr(module, kind).values()]


def with_hooks_of(module: nn.Module, replaced: nn.Module) -> nn.Module:
    """Give a module all hooks of the module that it replaces, and return it."""
    for name, value in vars(replaced).items():
        if "_hook" in name:
            vars(module)[name] = value
    return module
