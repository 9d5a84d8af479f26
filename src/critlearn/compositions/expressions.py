"""Symbolic expressions evaluated on NumPy arrays, torch tensors or mpmath numbers.

One line of a catalogue thus serves training, prediction and the high-precision reference alike.
"""

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

import mpmath
import numpy as np
import scipy.special
import sympy as sp
from sympy.codegen.cfunctions import log1p

Array: TypeAlias = Any
"""A NumPy array, a torch tensor or an mpmath number: whatever comes in goes out."""

y: Final = sp.Symbol("y", nonnegative=True)
"""Size of the pre-activation; catalogue forms hold for ``y >= 0``, the rest follows by symmetry."""


class log_erfc(sp.Function):  # noqa: N801 - named like the SymPy functions beside which it stands
    """``ln erfc(y)``, kept whole because ``erfc`` itself underflows from y = 27 on."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope, written so that numerator and denominator never underflow apart."""
        argument = self.args[0]
        return -2 / sp.sqrt(sp.pi) * sp.exp(-(argument**2) - self)


class expit(sp.Function):  # noqa: N801 - SciPy's name for the logistic function
    """``1 / (1 + exp(-x))``, kept whole so that each library evaluates it in its own stable way."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope as a product, which does not cancel."""
        return expit(self.args[0]) * expit(-self.args[0])


class softplus(sp.Function):  # noqa: N801
    """``ln(1 + exp(x))``, which overflows if it is written out."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope: the logistic function."""
        return expit(self.args[0])


def written_out(expression: sp.Expr) -> sp.Expr:
    """Same expression in functions that SymPy can take limits of."""
    forms = {
        log1p: lambda x: sp.log(1 + x),
        expit: lambda x: 1 / (1 + sp.exp(-x)),
        softplus: lambda x: sp.log(1 + sp.exp(x)),
        log_erfc: lambda x: sp.log(sp.erfc(x)),
    }
    for function, form in forms.items():
        expression = expression.replace(function, form)
    return expression


def _numpy_functions() -> dict[str, Any]:
    return {
        "log": np.log,
        "log1p": np.log1p,
        "exp": np.exp,
        "sqrt": np.sqrt,
        "tanh": np.tanh,
        "atan": np.arctan,
        "acot": lambda x: np.arctan2(1.0, x),
        "erf": scipy.special.erf,
        "expit": scipy.special.expit,
        "softplus": lambda x: np.logaddexp(0.0, x),
        "log_erfc": lambda x: np.log(scipy.special.erfcx(x)) - x * x,
        "pi": math.pi,
    }


def _torch_functions() -> dict[str, Any]:
    import torch

    def constant_or(function: Callable[[Any], Any], plain: Callable[[float], float]) -> Callable[[Any], Any]:
        # Constants such as log(2) stay symbolic in an expression; torch functions refuse plain numbers.
        return lambda x: function(x) if isinstance(x, torch.Tensor) else plain(x)

    return {
        "log": constant_or(torch.log, math.log),
        "log1p": constant_or(torch.log1p, math.log1p),
        "exp": constant_or(torch.exp, math.exp),
        "sqrt": constant_or(torch.sqrt, math.sqrt),
        "tanh": torch.tanh,
        "atan": torch.atan,
        "acot": lambda x: torch.atan2(torch.ones_like(x), x),
        "erf": torch.erf,
        "expit": torch.sigmoid,
        # Not torch's own softplus, which is the identity above 20.
        "softplus": lambda x: torch.logaddexp(torch.zeros_like(x), x),
        "log_erfc": lambda x: torch.log(torch.special.erfcx(x)) - x * x,
        "pi": math.pi,
    }


def _mpmath_functions() -> dict[str, Any]:
    return {
        "log": mpmath.log,
        "log1p": mpmath.log1p,
        "exp": mpmath.exp,
        "sqrt": mpmath.sqrt,
        "tanh": mpmath.tanh,
        "atan": mpmath.atan,
        "acot": mpmath.acot,
        "erf": mpmath.erf,
        "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
        "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
        "log_erfc": lambda x: mpmath.log(mpmath.erfc(x)),
        "pi": mpmath.pi,
    }


_FUNCTIONS: Final = {"numpy": _numpy_functions, "torch": _torch_functions, "mpmath": _mpmath_functions}


def library_of(value: Array) -> str:
    """Name of the library that a number or array belongs to; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    return "mpmath" if isinstance(value, mpmath.mpf) else "numpy"


@cache
def _functions(library: str) -> dict[str, Any]:
    """Functions of a library by the names that they have in expressions."""
    return _FUNCTIONS[library]()


@cache
def _compiled(expression: sp.Expr, symbols: tuple[sp.Symbol, ...], library: str) -> Callable[..., Array]:
    return sp.lambdify(symbols, expression, modules=[_functions(library)])


def exp(value: Array) -> Array:
    """Exponential in the library that the value belongs to."""
    return _elementary("exp", value)


def log(value: Array) -> Array:
    """Natural logarithm in the library that the value belongs to; ``-inf`` at 0."""
    return _elementary("log", value)


def _elementary(name: str, value: Array) -> Array:
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return _functions(library_of(value))[name](value)


def evaluate(expression: sp.Expr, values: Mapping[sp.Symbol, Array]) -> Array:
    """Value of an expression with arrays of one library put for its symbols, in their shape and precision.

    >>> evaluate(-3 * sp.log(1 + y), {y: np.array([1.0, 3.0])}).round(4).tolist()
    [-2.0794, -4.1589]
    """
    symbols = tuple(sorted(values, key=lambda symbol: symbol.name))
    arguments = [values[symbol] for symbol in symbols]
    library = library_of(arguments[0])
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        result = _compiled(sp.sympify(expression), symbols, library)(*arguments)
    # A constant expression comes out as a plain number: give it the shape of what was put in.
    if library == "numpy" and np.isscalar(result):
        return np.full(np.shape(arguments[0]), result, dtype=np.float64)
    if library == "torch" and not hasattr(result, "dtype"):
        return arguments[0].new_full(arguments[0].shape, float(result))
    return result
