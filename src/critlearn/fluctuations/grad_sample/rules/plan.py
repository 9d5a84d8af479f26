"""Assignment of layer rules to the layers of a network, and the names of layers and of shared parameters."""

from torch import nn

from critlearn.fluctuations.grad_sample.rules import FallbackRule, LayerRule, rule_for


def planned_rules(model: nn.Module) -> dict[str, LayerRule]:
    """Rule for every layer that holds trainable variables, by name of the layer."""
    plan: dict[str, LayerRule] = {}
    # A module comes before its submodules: those that its rule covers are known when they come.
    owned: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if owned and name.startswith(owned):
            continue
        rule = rule_for(module)
        with_submodules = rule is not None and rule.covers_submodules
        if not any(value.requires_grad for value in module.parameters(recurse=with_submodules)):
            continue
        plan[name] = FallbackRule() if rule is None else rule
        if with_submodules:
            owned = (*owned, f"{name}." if name else "")
    return plan


def layer_of(name: str) -> str:
    """Name of the layer that holds a variable."""
    return name.rpartition(".")[0]


def aliases(model: nn.Module) -> dict[str, str]:
    """Map every name of a parameter to its name in ``named_parameters``; a shared parameter has several names."""
    first = {id(value): name for name, value in reversed(list(model.named_parameters()))}
    return {name: first[id(value)] for name, value in model.named_parameters(remove_duplicate=False)}
