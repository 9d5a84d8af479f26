"""Implementations in NumPy, torch and mpmath of the functions of expressions, by their names in generated code."""

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import mpmath
import numpy as np
import scipy.special
import sympy as sp

from critlearn.compositions.symbolic.functions import Array

LogMagnitude = Callable[[sp.Lambda, int, Array], Array]
"""Function that takes an expression E, an order k and arguments x, and returns ``d^k ln|E(x)| / dx^k``."""

_FORMS: Final[dict[sp.Lambda, int]] = {}
_LOG_MAGNITUDE: Final[list[LogMagnitude]] = []


def register_log_magnitude(function: LogMagnitude) -> LogMagnitude:
    """Register the function that evaluates `log_magnitude`; its module imports this one, so it registers itself."""
    _LOG_MAGNITUDE[:] = [function]
    return function


def number_of(form: sp.Lambda) -> int:
    """Number by which generated code, which is text, refers to an expression."""
    return _FORMS.setdefault(form, len(_FORMS))


def _log_magnitude(number: int, order: int, x: Array) -> Array:
    return _LOG_MAGNITUDE[0](list(_FORMS)[number], order, x)


def _numpy_functions() -> dict[str, Any]:
    return {
        "log": np.log,
        "log1p": np.log1p,
        "exp": np.exp,
        "sqrt": np.sqrt,
        "tanh": np.tanh,
        "atan": np.arctan,
        # arctan2 goes on smoothly through x = 0, where arctan(1 / x) jumps from -pi/2 to pi/2.
        "acot": lambda x: np.arctan2(1.0, x),
        "erf": scipy.special.erf,
        "expit": scipy.special.expit,
        "softplus": lambda x: np.logaddexp(0.0, x),
        # erfcx(x) = exp(x^2) erfc(x) falls as 1/x and does not underflow.
        "log_erfc": lambda x: np.log(scipy.special.erfcx(x)) - x * x,
        "erfc": scipy.special.erfc,
        "sin": np.sin,
        "cos": np.cos,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "asinh": np.arcsinh,
        "expm1": np.expm1,
        "larger": np.maximum,
        "smaller": np.minimum,
        "sign": np.sign,
        "select": np.where,
        "log_magnitude": _log_magnitude,
        "ratio": lambda p, q: p / q,
        "nan": math.nan,
        "pi": math.pi,
        "e": math.e,
    }


def _torch_functions() -> dict[str, Any]:
    import torch

    def constant_or(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        # Constants such as log(2) stay symbolic in an expression; torch functions refuse plain numbers.
        @cache
        def of_constant(x: Any) -> float:
            return float(function(torch.tensor(float(x), dtype=torch.float64)))

        return lambda x: function(x) if isinstance(x, torch.Tensor) else of_constant(x)

    def pairwise(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        # One of the two may be a plain number.
        return lambda a, b: function(*torch.broadcast_tensors(*(_tensor_like(x, a, b) for x in (a, b))))

    def _tensor_like(x: Any, a: Any, b: Any) -> Any:
        return torch.as_tensor(x, dtype=(a if isinstance(a, torch.Tensor) else b).dtype)

    names = ("log", "log1p", "exp", "sqrt", "tanh", "atan", "erf", "erfc", "sin", "cos", "sinh", "cosh")
    return {
        **{name: constant_or(getattr(torch, name)) for name in (*names, "asinh", "expm1", "sign")},
        "acot": lambda x: torch.atan2(torch.ones_like(x), x),
        "larger": pairwise(torch.maximum),
        "smaller": pairwise(torch.minimum),
        "select": torch.where,
        "log_magnitude": _log_magnitude,
        "ratio": lambda p, q: p / q,
        "nan": math.nan,
        "e": math.e,
        "expit": torch.sigmoid,
        # Not torch's own softplus, which is the identity above 20.
        "softplus": lambda x: torch.logaddexp(torch.zeros_like(x), x),
        "log_erfc": lambda x: torch.log(torch.special.erfcx(x)) - x * x,
        "pi": math.pi,
    }


_LARGEST_ARGUMENT: Final = 1e30
"""Argument up to which mpmath evaluates an exponential in a reasonable time."""


def _bounded(function: Callable[[Any], Any], below: float | None, above: float | None) -> Callable[[Any], Any]:
    """Wrap a function to return its limits beyond 1e30, where mpmath would need 1e30 digits; raise if it has none."""

    def called(x: Any) -> Any:
        if abs(x) <= _LARGEST_ARGUMENT:
            return function(x)
        limit = above if x > 0 else below
        if limit is None:
            raise OverflowError("an argument beyond 1e30")
        return mpmath.mpf(limit)

    return called


def _mpmath_functions() -> dict[str, Any]:
    exp = _bounded(mpmath.exp, 0, None)
    bounded = {
        "exp": exp,
        "expm1": _bounded(mpmath.expm1, -1, None),
        "tanh": _bounded(mpmath.tanh, -1, 1),
        "erf": _bounded(mpmath.erf, -1, 1),
        "erfc": _bounded(mpmath.erfc, 2, 0),
        **{name: _bounded(getattr(mpmath, name), None, None) for name in ("sin", "cos", "sinh", "cosh")},
    }
    return bounded | {
        **{name: getattr(mpmath, name) for name in ("log", "log1p", "sqrt", "atan", "acot", "asinh", "sign")},
        "expit": lambda x: 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x)),
        "softplus": lambda x: x + mpmath.log1p(exp(-x)) if x > 0 else mpmath.log1p(exp(x)),
        "log_erfc": lambda x: mpmath.log(mpmath.erfc(x)),
        # Midpoint rule, with a relative error of order h^2: h is the vanishing remainder of a limit.
        "erf_step": lambda a, h: 2 * h * exp(-((a + h / 2) ** 2)) / mpmath.sqrt(mpmath.pi),
        "larger": max,
        "smaller": min,
        "select": lambda condition, first, second: first if condition else second,
        "log_magnitude": _log_magnitude,
        "ratio": lambda p, q: mpmath.mpf(p) / q,
        "nan": mpmath.nan,
        "pi": mpmath.pi,
        "e": mpmath.e,
    }


_FUNCTIONS: Final = {"numpy": _numpy_functions, "torch": _torch_functions, "mpmath": _mpmath_functions}


def library_of(value: Array) -> str:
    """Name of the library that a number or array belongs to; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    return "mpmath" if isinstance(value, mpmath.mpf) else "numpy"


@cache
def functions_of(library: str) -> dict[str, Any]:
    """Functions of a library by the names that they have in expressions."""
    return _FUNCTIONS[library]()
