"""Assignment of layer rules to the layers of a network, and the names of layers and of shared parameters."""

from collections.abc import Mapping

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from critlearn.fluctuations.grad_sample.rules import FallbackRule, LayerRule, rule_for


def planned_rules(model: nn.Module) -> dict[str, LayerRule]:
    """Rule for every layer that holds trainable variables, by name of the layer."""
    plan: dict[str, LayerRule] = {}
    # A module comes before its submodules: those that its rule covers are known when they come.
    owned: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if owned and name.startswith(owned):
            continue
        rule = _rule(module)
        if not any(value.requires_grad for value in module.parameters(recurse=rule.covers_submodules)):
            continue
        # A module that holds variables of its submodules under names of its own, as heads hold the biases of their
        # dense layers, does not use them itself; if it does, the audit finds out.
        inner = {value for child in module.children() for value in child.parameters()}
        if (
            isinstance(rule, FallbackRule)
            and not rule.covers_submodules
            and set(module.parameters(recurse=False)) <= inner
        ):
            continue
        plan[name] = rule
        if rule.covers_submodules:
            owned = (*owned, f"{name}." if name else "")
    return plan


def with_callers(plan: Mapping[str, LayerRule], callers: Mapping[str, str]) -> dict[str, LayerRule]:
    """Plan in which layers that are not called are left to those that use their variables.

    Parameters
    ----------
    plan
        Rules by name of the layer.
    callers
        For each layer that is not called, the name of the one that uses it.
    """
    found = {layer: rule for layer, rule in plan.items() if layer not in callers}
    for caller in set(callers.values()):
        # A rule of its own for the caller knows what it uses.
        if isinstance(found.get(caller, FallbackRule()), FallbackRule):
            inner = [layer.removeprefix(f"{caller}.") for layer, other in callers.items() if other == caller]
            found[caller] = FallbackRule(inner=sorted(inner))
    return found


def _rule(module: nn.Module) -> LayerRule:
    """Rule for a module, one of automatic differentiation if there is no other."""
    if is_parametrized(module):
        # Its weights are computed from variables that submodules hold: what rules know is the gradient of the weights.
        return FallbackRule(covers_submodules=True)
    rule = rule_for(module)
    return FallbackRule() if rule is None else rule


def layer_of(name: str) -> str:
    """Name of the layer that holds a variable."""
    return name.rpartition(".")[0]


def aliases(model: nn.Module) -> dict[str, str]:
    """Map every name of a parameter to its name in ``named_parameters``; a shared parameter has several names."""
    first = {id(value): name for name, value in reversed(list(model.named_parameters()))}
    return {name: first[id(value)] for name, value in model.named_parameters(remove_duplicate=False)}
