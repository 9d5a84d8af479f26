"""Registry of layer rules: which one gives the per-sample gradients of which type of module."""

from collections.abc import Callable
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


_RECOGNISERS: Final[list[Callable[[nn.Module], LayerRule | None]]] = []
"""Functions that find the rule for a module by what it does, whatever its type."""


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


def recognise(recogniser: Callable[[nn.Module], LayerRule | None]) -> None:
    """Make a function known that finds the rule for a module by its behaviour; None if it does not know the module.

    It is asked where no rule is registered for the module's type.
    """
    _RECOGNISERS.append(recogniser)


def rule_for(module: nn.Module) -> LayerRule | None:
    """Rule for a module, by its type or else by its behaviour; None if there is none."""
    for kind in type(module).__mro__:
        rule = _RULES.get(kind)
        # A subtype with a forward of its own computes something else than the rule assumes.
        if rule is not None and type(module).forward is getattr(kind, "forward", None):
            return rule
    return next((found for recogniser in _RECOGNISERS if (found := recogniser(module)) is not None), None)


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


def only_tensor(use: LayerUse) -> Tensor:
    """Return the one argument of a use, by place or by name; raise if it is not one tensor alone.

    Raises
    ------
    UnsuitableUseError
        If it is not.
    """
    given = [*use.arguments, *use.keywords.values()]
    if len(given) != 1 or not isinstance(given[0], Tensor):
        raise UnsuitableUseError(f"{len(given)} arguments in place of one tensor")
    return given[0]
