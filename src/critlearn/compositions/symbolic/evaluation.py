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


def compiled_together(forms: tuple[sp.Expr, ...], variable: sp.Symbol) -> Callable[[Any], tuple[Any, ...]]:
    """Compile several expressions into one function of an mpmath number, which shares common subexpressions."""
    functions = functions_of("mpmath")
    return sp.lambdify(variable, forms, modules=[functions], printer=printer_for(functions), cse=True)


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
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return functions_of(library_of(value))[name](value)


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
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        result = _compiled(sp.sympify(expression), symbols, library)(*arguments)
    # A constant expression comes out as a plain number: give it the shape of the arguments.
    if library == "numpy" and np.isscalar(result):
        return np.full(np.shape(arguments[0]), result, dtype=np.float64)
    if library == "torch" and not hasattr(result, "dtype"):
        return arguments[0].new_full(arguments[0].shape, float(result))
    return result
