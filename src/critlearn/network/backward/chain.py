"""Decomposition of a user's own module into a chain of links, where its ``forward`` is such a chain.

In a chain, errors can be rescaled after every link and passed through activations in logarithms. Within one module,
automatic differentiation loses every error below 1e-308 of the sample's output error.
"""

import inspect
import operator
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.network.checks.hooks import hooked
from critlearn.network.exact.table import exact_form
from critlearn.network.exact_functions import exact_activation

# Functions of `operator` that modify their first argument; a link must not modify its input.
_IN_PLACE: Final = {
    *(operator.iadd, operator.iand, operator.iconcat, operator.ifloordiv, operator.ilshift, operator.imatmul),
    *(operator.imod, operator.imul, operator.ior, operator.ipow, operator.irshift, operator.isub),
    *(operator.itruediv, operator.ixor),
}
_RELU: Final = (torch.relu, functional.relu, Tensor.relu)
_FLATTEN: Final = (torch.flatten, Tensor.flatten)


class FunctionLink(nn.Module):
    """Link of a chain: a function of one tensor, with its other arguments fixed."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        super().__init__()
        self._function, self._arguments, self._keywords = function, arguments, keywords

    def forward(self, x: Any) -> Any:
        """Apply the function to a tensor, or to a value that is being traced; its exact form, if it has one."""
        exact = exact_form(self._function) if isinstance(x, Tensor) else None
        result = NotImplemented if exact is None else exact(x, *self._arguments, **self._keywords)
        return result if result is not NotImplemented else self._function(x, *self._arguments, **self._keywords)


def sequence_members(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of a sequence in order, nested sequences included; for any other model, the model itself."""
    if type(model) is nn.Sequential and len(model) and not hooked(model):
        for child in model:
            yield from sequence_members(child)
    else:
        yield model


def chain(model: nn.Module, leaves: Collection[nn.Module]) -> list[nn.Module] | None:
    """Return the links of a user's own module in order; None if its ``forward`` is no chain or cannot be traced.

    Modules without parameters are kept whole, because a user's activation may define a derivative of its own.

    Parameters
    ----------
    model
        The module.
    leaves
        Modules that are links themselves, as a layer rule covers them.
    """
    if not _own(model) or model in leaves or hooked(model):
        return None
    try:
        graph = _Tracer(leaves).trace(model)
    # A traced value supports less than a tensor does, so the user's code may raise any exception.
    except Exception:
        return None
    found: list[nn.Module] = []
    previous: fx.Node | None = None
    # In a chain, every operation takes the output of the one before it, and nothing else that is computed.
    for node in graph.nodes:
        if node.op == "placeholder":
            if previous is not None:
                return None
        elif [part for part in tree_leaves((node.args, node.kwargs)) if isinstance(part, fx.Node)] != [previous]:
            return None
        elif node.op == "output":
            return found if found and node.args[0] is previous else None
        else:
            link = _link(model, node, previous)
            if link is None:
                return None
            for part in sequence_members(link):
                found.extend(chain(part, leaves) or [part])
        previous = node
    return None


def sizes_to_tensors(parts: list[nn.Module], x: Tensor) -> list[int]:
    """Numbers of successive parts that make a link: those that do not return a tensor go with the parts after them.

    A recurrent layer returns a tuple, from which the next function selects the outputs.
    """
    sizes: list[int] = []
    waiting = 0
    value: Any = x
    with torch.no_grad():
        for part in parts:
            value = part(value)
            waiting += 1
            if isinstance(value, Tensor):
                sizes.append(waiting)
                waiting = 0
    return [*sizes, *[1] * waiting]


def merged(parts: list[nn.Module], sizes: list[int]) -> list[nn.Module]:
    """Links of so many successive parts each."""
    rest = iter(parts)
    groups = [list(islice(rest, size)) for size in sizes]
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


@torch.no_grad()
def keeps_samples_apart(parts: list[nn.Module], x: Tensor) -> bool:
    """Whether samples stay in the first dimension through every link, and none depends on another.

    Samples are also passed in reverse order: a link that sorts them may receive them sorted by chance.
    """
    # One sample has no other to depend on: it is passed twice.
    x = x if len(x) > 1 else torch.cat([x, x])
    for part in parts:
        output = part(x)
        if not (
            isinstance(output, Tensor)
            and same_numbers(part(x[1:]), output[1:])
            and same_numbers(part(x.flip(0)), output.flip(0))
        ):
            return False
        x = output
    return True


def checked_sizes(link: nn.Module, parts: list[nn.Module], x: Tensor) -> list[int] | None:
    """Numbers of parts of links that have a module's outputs and gradients for some samples; None if none have."""
    try:
        sizes = sizes_to_tensors(parts, x)
        links = merged(parts, sizes)
        return sizes if keeps_samples_apart(links, x) and same_gradients(link, links, x) else None
    # The links cannot be run one by one, so the module is passed whole.
    except RAISED_BY_USER_CODE:
        return None


def same_gradients(link: nn.Module, parts: list[nn.Module], x: Tensor) -> bool:
    """Whether a chain has the same output and gradients as the module that it was made from.

    A user's autograd function may define any gradient, and contexts such as ``torch.no_grad()`` do not appear in a
    traced graph.
    """
    variables = list(link.parameters())
    trainable = [value.requires_grad for value in variables]
    found = []
    try:
        for value in variables:
            value.requires_grad_(value.is_floating_point())
        with torch.enable_grad():
            for forward in (link, nn.Sequential(*parts)):
                produced = forward(x)
                # Weights that differ for every output, so that errors of single outputs do not cancel in the sum.
                weight = torch.arange(1, produced.numel() + 1, device=produced.device).reshape(produced.shape).sin()
                loss = (produced * weight.to(produced.dtype)).sum()
                found.append([produced, *torch.autograd.grad(loss, variables, allow_unused=True)])
    finally:
        for value, wanted in zip(variables, trainable, strict=True):
            value.requires_grad_(wanted)
    return all(same_numbers(*pair) for pair in zip(*found, strict=True))


def same_numbers(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors differ by no more than rounding."""
    if one is None or other is None:
        return one is other
    tolerance = 1e-9 if one.dtype == torch.float64 else 1e-3
    return one.shape == other.shape and bool(((one - other).abs() <= tolerance * other.abs().max()).all())


def _own(module: nn.Module) -> bool:
    """Whether a module has parameters and its type is neither torch's nor critlearn's."""
    kind = type(module).__module__.split(".")[0]
    return kind not in ("torch", "critlearn") and next(module.parameters(), None) is not None


class _Tracer(fx.Tracer):
    """Tracer that looks into a user's own modules, but not into those that a layer rule covers."""

    def __init__(self, leaves: Collection[nn.Module]) -> None:
        super().__init__()
        self._leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is a link."""
        return m in self._leaves or not _own(m) or hooked(m)


def _link(model: nn.Module, node: fx.Node, previous: fx.Node | None) -> nn.Module | None:
    """Return a module for one operation of a chain; None if it works in place or takes more than one tensor."""
    if node.op == "get_attr" or not node.args or node.args[0] is not previous:
        return None
    arguments, keywords = node.args[1:], dict(node.kwargs)
    if node.op == "call_module":
        return None if arguments or keywords else model.get_submodule(str(node.target))
    function: Any = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
    in_place = function in _IN_PLACE or function.__name__.endswith("_") or keywords.get("inplace") or "out" in keywords
    if in_place or _positional_inplace(function, arguments):
        return None
    if (exact := exact_activation(function, keywords, arguments)) is not None:
        return exact
    if function in _RELU:
        return nn.ReLU()
    if function is functional.dropout and keywords.get("training") is False:
        return nn.Identity()
    if function in _FLATTEN and (arguments, keywords) in (((1,), {}), ((), {"start_dim": 1})):
        return nn.Flatten()
    return FunctionLink(function, arguments, keywords)


def _positional_inplace(function: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether ``inplace`` is set to True as a positional argument."""
    if True not in arguments:
        return False
    try:
        names = list(inspect.signature(function).parameters)[1:]
    except (TypeError, ValueError):
        return False
    return any(name == "inplace" and value is True for name, value in zip(names, arguments, strict=False))
