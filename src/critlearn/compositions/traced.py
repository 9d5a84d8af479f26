"""Callables on tensors as SymPy expressions, traced by ``torch.fx`` so that their limits are exact."""

import operator
from collections.abc import Callable
from typing import Any

import sympy as sp

from critlearn.compositions.expressions import expit, softplus
from critlearn.errors import InvalidInputError


def traced(function: Callable[..., Any], names: tuple[str, ...]) -> sp.Expr:
    """Expression that a callable on tensors (or a module without parameters) computes, in symbols of these names.

    Raises
    ------
    InvalidInputError
        If it branches on values, or uses an operation that has no counterpart here; SymPy then has to be given.
    """
    import torch
    from torch import fx

    name = getattr(function, "__name__", type(function).__name__)
    try:
        root = function if isinstance(function, torch.nn.Module) else _module_of(function, len(names))
        graph = _Tracer().trace(root)
    # Whatever the user's code does with a traced value that values alone can do.
    except Exception as problem:
        raise InvalidInputError(f'"{name}" cannot be traced ({_line(problem)}): give a SymPy expression') from None
    modules = dict(root.named_modules())
    inputs = iter(sp.Symbol(symbol, real=True) for symbol in names)
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = next(inputs, None)
        elif node.op == "output":
            return sp.sympify(fx.map_arg(node.args[0], values.__getitem__))
        elif node.op == "get_attr":
            values[node] = sp.nsimplify(float(getattr(root, node.target)), rational=True)
        else:
            target = type(modules[node.target]).__name__.lower() if node.op == "call_module" else node.target
            arguments = fx.map_arg(node.args, values.__getitem__)
            options = fx.map_arg(node.kwargs, values.__getitem__)
            values[node] = _applied(name, target, arguments, options)
    raise InvalidInputError(f'"{name}" returns nothing')


def _module_of(function: Callable[..., Any], count: int) -> Any:
    """Module that calls a function with as many tensors, for the tracer."""
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
            return m.__module__.startswith("torch.nn")

    return Tracer()


_OPERATORS: dict[Any, Callable[..., sp.Expr]] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    operator.truediv: operator.truediv,
    operator.pow: operator.pow,
    operator.neg: operator.neg,
}

_NAMED: dict[str, Callable[..., sp.Expr]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "true_divide": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
    "abs": sp.Abs,
    "absolute": sp.Abs,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / sp.sqrt(x),
    "arctan": sp.atan,
    "arcsinh": sp.asinh,
    "log1p": lambda x: sp.log(1 + x),
    "expm1": lambda x: sp.exp(x) - 1,
    "sigmoid": expit,
    "expit": expit,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + sp.Abs(x)),
    "silu": lambda x: x * expit(x),
    "logsigmoid": lambda x: -softplus(-x),
    "relu": lambda x: sp.Max(x, 0),
    "maximum": sp.Max,
    "minimum": sp.Min,
    "identity": lambda x: x,
    **{name: getattr(sp, name) for name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "atan")},
    **{name: getattr(sp, name) for name in ("asinh", "erf", "erfc", "sign")},
}


def _applied(name: str, target: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> sp.Expr:
    """Counterpart of one traced operation."""
    key = target if isinstance(target, str) else getattr(target, "__name__", str(target)).lstrip("_").rstrip("_")
    form = _OPERATORS.get(target) or _NAMED.get(key.removeprefix("special_"))
    if form is None or options:
        raise InvalidInputError(
            f'"{name}" uses {key}{" with options" if form else ""}, which has no symbolic counterpart: '
            "give a SymPy expression"
        )
    # Floats become the fractions they were meant as: 0.1 is 1/10, 1/3 is 1/3.
    exact = [
        sp.nsimplify(argument, rational=True, tolerance=1e-15) if isinstance(argument, float) else argument
        for argument in arguments
    ]
    return form(*(sp.sympify(argument) for argument in exact))


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120]
