"""Registry of layer rules: which one gives the per-sample gradients of which type of module."""

from typing import Final, Protocol, runtime_checkable

from torch import Tensor, nn

from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.network.backward.layer_use import LayerUse


class UnsuitableUseError(Exception):
    """A rule cannot serve this use of a layer: its variables are left to automatic differentiation."""


@runtime_checkable
class LayerRule(Protocol):
    """Per-sample gradients of one type of layer, from what went in and the errors of what came out.

    A rule is one class with three attributes and one method; `register` makes it known.
    """

    @property
    def layers(self) -> tuple[type[nn.Module], ...]:
        """Types of modules that the rule serves, and subtypes that have the same ``forward``."""
        ...

    @property
    def covers_submodules(self) -> bool:
        """Whether the rule also gives the gradients of the module's submodules."""
        ...

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients by name of the variable within the module.

        Raises
        ------
        UnsuitableUseError
            If the module is used in a way that the rule does not cover.
        """
        ...


_RULES: Final[dict[type[nn.Module], LayerRule]] = {}
"""Rules that are registered, by the type of module that they serve."""


def register(rule: LayerRule) -> LayerRule:
    """Make a rule known; it replaces an earlier one for the same type of layer.

    Raises
    ------
    InvalidInputError
        If it names no type of module.
    """
    if not rule.layers or not all(isinstance(layer, type) and issubclass(layer, nn.Module) for layer in rule.layers):
        raise InvalidInputError(f"a layer rule must name the types of modules that it serves; got {rule.layers}")
    for layer in rule.layers:
        _RULES[layer] = rule
    return rule


_NAMED: Final[dict[str, LayerRule]] = {}
"""Rules for types of modules of libraries that need not be installed, by module and name of the type."""


def register_named(rule: LayerRule, *kinds: str) -> LayerRule:
    """Make a rule known for types of modules given by their names, such as ``transformers.pytorch_utils.Conv1D``."""
    _NAMED.update(dict.fromkeys(kinds, rule))
    return rule


def rule_for(module: nn.Module) -> LayerRule | None:
    """Rule for a module; None if there is none."""
    for kind in type(module).__mro__:
        rule = _RULES.get(kind) or _NAMED.get(f"{kind.__module__}.{kind.__qualname__}")
        # A subtype with a forward of its own computes something else than the rule assumes.
        if rule is not None and type(module).forward is getattr(kind, "forward", None):
            return rule
    return None


def samples_first(use: LayerUse, value: Tensor) -> Tensor:
    """Return the tensor; raise if its first dimension is not that of the samples.

    Raises
    ------
    UnsuitableUseError
        If it is not.
    """
    if value.dim() == 0 or len(value) != len(use.log_scale):
        raise UnsuitableUseError(f"first dimension of {tuple(value.shape)} is not that of the samples")
    return value
