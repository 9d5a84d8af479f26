"""Evaluation of SymPy expressions on NumPy arrays, torch tensors or mpmath numbers.

One line of the catalogue thus serves training, prediction and the high-precision reference.
"""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import sympy as sp

from critlearn.compositions.symbolic.functions import Array
from critlearn.compositions.symbolic.libraries import functions_of, library_of
from critlearn.compositions.symbolic.printer import printer_for


def compiled_together(
    forms: tuple[sp.Expr, ...], *symbols: sp.Symbol, library: str = "mpmath"
) -> Callable[..., tuple[Any, ...]]:
    """Compile several expressions into one function of their symbols, which evaluates what they share only once."""
    functions = functions_of(library)
    # SymPy would also take out what the functions within an expression share, with their own variables.
    shared = not any(sp.sympify(form).has(sp.Lambda) for form in forms)
    return sp.lambdify(symbols, forms, modules=[functions], printer=printer_for(functions), cse=shared)


_compiled_together = cache(compiled_together)


@cache
def _compiled(expression: sp.Basic, symbols: tuple[sp.Symbol, ...], library: str) -> Callable[..., Array]:
    functions = functions_of(library)
    return sp.lambdify(symbols, expression, modules=[functions], printer=printer_for(functions))


def exp(value: Array) -> Array:
    """Exponential in the library that the value belongs to."""
    return _elementary("exp", value)


def log(value: Array) -> Array:
    """Natural logarithm in the library that the value belongs to; ``-inf`` at 0."""
    return _elementary("log", value)


def _elementary(name: str, value: Array) -> Array:
    library = library_of(value)
    if library == "torch":
        return functions_of(library)[name](value)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return functions_of(library)[name](value)


def choose(condition: Array, first: Array, second: Array) -> Array:
    """Elements of the first array where a condition holds, else of the second, in the library that they belong to."""
    library = library_of(first)
    if library == "torch":
        return first.where(condition, second)
    if library == "mpmath":
        return first if condition else second
    return np.where(condition, first, second)


def half_line_of(value: Array) -> Array:
    """Half-line that each number is on: 1 for numbers ``>= 0``, -1 for others, without a derivative.

    Products with it take half the time of `choose` in torch, which takes a branch for every number.
    """
    library = library_of(value)
    if library == "torch":
        # Adding 0.0 turns -0.0, whose copied sign would be -1, into 0.0.
        half_line: Array = value.new_ones(()).copysign(value.detach() + 0.0)
        return half_line
    if library == "mpmath":
        return 1 if value >= 0 else -1
    return np.copysign(1.0, np.add(value, 0.0))


def sign_of(value: Array) -> Array:
    """Signs in the library that the values belong to."""
    if library_of(value) == "torch":
        return value.sign()
    return np.sign(value) if library_of(value) == "numpy" else (value > 0) - (value < 0)


@cache
def derivative(expression: sp.Expr, *symbols: sp.Symbol) -> sp.Expr:
    """Derivative of an expression, cached: bisections ask for it thousands of times."""
    return sp.diff(expression, *symbols)


def evaluate(expression: sp.Basic, values: Mapping[sp.Symbol, Array]) -> Array:
    """Value of an expression for arrays of one library in place of its symbols, in their shape and precision.

    >>> evaluate(-3 * sp.log(1 + y), {y: np.array([1.0, 3.0])}).round(4).tolist()
    [-2.0794, -4.1589]
    """
    symbols = tuple(sorted(values, key=attrgetter("name")))
    arguments = tuple(map(values.__getitem__, symbols))
    library = library_of(arguments[0])
    result = _called(_compiled(sp.sympify(expression), symbols, library), arguments, library)
    return _shaped_like(arguments[0], result, library)


def evaluate_together(forms: tuple[sp.Expr, ...], values: Mapping[sp.Symbol, Array | float]) -> tuple[Array, ...]:
    """Values of several expressions, as `evaluate`; subexpressions that they share are evaluated once.

    Parameters
    ----------
    forms
        The expressions.
    values
        Arrays in place of symbols; all but the first may be plain numbers.
    """
    arguments = tuple(values.values())
    library = library_of(arguments[0])
    results = _called(_compiled_together(forms, *values, library=library), arguments, library)
    return tuple(_shaped_like(arguments[0], result, library) for result in results)


def _called(function: Callable[..., Any], arguments: tuple[Any, ...], library: str) -> Any:
    """Call a compiled function; only NumPy warns, and to tell it not to takes as long as a small batch in torch."""
    if library == "torch":
        return function(*arguments)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return function(*arguments)


def _shaped_like(array: Array, result: Array | float, library: str) -> Array:
    """Result of an evaluation: a constant expression, which comes out as a plain number, gets the array's shape."""
    if library == "numpy" and np.isscalar(result):
        return np.full(np.shape(array), result, dtype=np.float64)
    if library == "torch" and not hasattr(result, "dtype"):
        return array.new_full(array.shape, float(result))
    return result
