"""Conversion of callables on tensors to SymPy expressions by ``torch.fx``, so that their limits are exact."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sympy as sp

from critlearn.compositions.symbolic.torch_counterparts import COUNTERPARTS
from critlearn.errors import InvalidInputError


def traced(function: Callable[..., Any], names: tuple[str, ...]) -> sp.Expr:
    """Trace a callable on tensors, or a module without parameters, and return the expression that it computes.

    Raises
    ------
    InvalidInputError
        If it branches on values, or uses an operation without a counterpart; pass a SymPy expression instead.
    """
    from critlearn._torch import torch

    name = getattr(function, "__name__", type(function).__name__)
    from torch import fx

    try:
        root = function if isinstance(function, torch.nn.Module) else _module_of(function, len(names))
        graph = _Tracer().trace(root)
    # Any exception: the user's code may do anything with a traced value that only a number can do.
    except Exception as problem:
        raise InvalidInputError(f'"{name}" cannot be traced ({_line(problem)}): give a SymPy expression') from None
    inputs = iter(sp.Symbol(symbol, real=True) for symbol in names)
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = next(inputs, None)
        elif node.op == "output":
            try:
                return sp.sympify(fx.map_arg(node.args[0], values.__getitem__))
            except sp.SympifyError:
                raise InvalidInputError(f'"{name}" does not return one number: give a SymPy expression') from None
        elif node.op == "get_attr":
            values[node] = sp.nsimplify(float(getattr(root, node.target)), rational=True)
        else:
            arguments = fx.map_arg(node.args, values.__getitem__)
            options = fx.map_arg(node.kwargs, values.__getitem__)
            values[node] = _applied(name, node.target, arguments, options)
    raise InvalidInputError(f'"{name}" returns nothing')


def _module_of(function: Callable[..., Any], count: int) -> Any:
    """Wrap a function of one or two tensors in a module, which is what the tracer takes."""
    import torch

    class _Call(torch.nn.Module):
        if count == 1:

            def forward(self, y: Any) -> Any:
                return function(y)

        else:

            def forward(self, f: Any, t: Any) -> Any:  # type: ignore[misc]
                return function(f, t)

    return _Call()


def _Tracer() -> Any:  # noqa: N802 - makes an object of a class that needs torch
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: Any, qualified_name: str) -> bool:
            # Trace into all modules: the functions that they call carry the modules' settings as arguments.
            return False

    return Tracer()


_WITHOUT_EFFECT = ("inplace",)
"""Options that change where a result is stored, not its value."""


def _applied(name: str, target: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Apply the counterpart of one traced operation to its arguments."""
    key = target if isinstance(target, str) else getattr(target, "__name__", str(target)).lstrip("_").rstrip("_")
    form = COUNTERPARTS.get(key.removeprefix("special_"))
    if form is not None:
        # Arguments may be of any kind, such as the slices of an index.
        with suppress(TypeError, sp.SympifyError):
            exact = [_exact(argument) for argument in arguments if not isinstance(argument, bool)]
            chosen = {option: _exact(value) for option, value in options.items() if option not in _WITHOUT_EFFECT}
            return form(*exact, **chosen)
    named = ", ".join(options)
    raise InvalidInputError(
        f'"{name}" uses {key}{f" with {named}" if form else ""}, which has no symbolic counterpart: '
        "give a SymPy expression"
    )


def _exact(argument: Any) -> Any:
    """Convert floats to the simplest fractions that round to them: 0.1 is 1/10."""
    if argument is None or isinstance(argument, str | sp.Basic):
        return argument
    if isinstance(argument, float):
        return sp.nsimplify(argument, rational=True, tolerance=1e-15)
    return sp.sympify(argument)


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120]
