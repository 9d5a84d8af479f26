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
from sympy.codegen.cfunctions import expm1, log1p
from sympy.printing.pycode import PythonCodePrinter

Array: TypeAlias = Any
"""A NumPy array, a torch tensor or an mpmath number: whatever comes in goes out."""

y: Final = sp.Symbol("y", nonnegative=True)
"""Size of the pre-activation; catalogue forms hold for ``y >= 0``, the rest follows by symmetry."""


class _RealFunction(sp.Function):
    """Real for real arguments, which SymPy has to know to differentiate absolute values."""

    def _eval_is_real(self) -> bool | None:
        return self.args[0].is_real


class log_erfc(_RealFunction):  # noqa: N801 - named like the SymPy functions beside which it stands
    """``ln erfc(y)``, kept whole because ``erfc`` itself underflows from y = 27 on."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope, written so that numerator and denominator never underflow apart."""
        argument = self.args[0]
        return -2 / sp.sqrt(sp.pi) * sp.exp(-(argument**2) - self)


class expit(_RealFunction):  # noqa: N801 - SciPy's name for the logistic function
    """``1 / (1 + exp(-x))``, kept whole so that each library evaluates it in its own stable way."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope as a product, which does not cancel."""
        return expit(self.args[0]) * expit(-self.args[0])

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return (1 / (1 + sp.exp(-self.args[0])))._eval_evalf(prec)


class softplus(_RealFunction):  # noqa: N801
    """``ln(1 + exp(x))``, which overflows if it is written out."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope: the logistic function."""
        return expit(self.args[0])

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return sp.log(1 + sp.exp(self.args[0]))._eval_evalf(prec)


class erf_step(_RealFunction):  # noqa: N801
    """``erf(a + h) - erf(a)`` for a small ``h``, which cancels if it is written out; only mpmath evaluates it."""

    nargs = 2


class log_magnitude(sp.Function):  # noqa: N801
    """``log_magnitude(Lambda(s, E), k, x)``: k-th derivative of ``ln|E(x)|``, evaluated exactly in the tail.

    For expressions that were not written with care: where their floating-point value cancels, a table made at high
    precision takes over (module `magnitude`).
    """

    nargs = 3

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Slope: the next derivative."""
        return log_magnitude(self.args[0], self.args[1] + 1, self.args[2])

    def written(self) -> sp.Expr:
        """The same in ordinary functions: ``ln|E|`` as ``ln(E^2)/2``, as SymPy looks long for the sign of ``E``."""
        (variable,), body = self.args[0].variables, self.args[0].expr
        order = int(self.args[1])
        form = sp.log(body**2) / 2 if order == 0 else sp.diff(sp.diff(body, variable) / body, variable, order - 1)
        return form.xreplace({variable: self.args[2]})


def written_out(expression: sp.Expr) -> sp.Expr:
    """Same expression in functions that SymPy can take limits of."""
    expression = expression.replace(lambda part: isinstance(part, log_magnitude), lambda part: part.written())
    forms = {
        log1p: lambda x: sp.log(1 + x),
        expm1: lambda x: sp.exp(x) - 1,
        expit: lambda x: 1 / (1 + sp.exp(-x)),
        softplus: lambda x: sp.log(1 + sp.exp(x)),
        log_erfc: lambda x: sp.log(sp.erfc(x)),
    }
    for function, form in forms.items():
        expression = expression.replace(function, form)
    return expression


class _Printer(PythonCodePrinter):
    """Python code that works on whole arrays: no ``if``, no ``math.`` functions, branches by `select`."""

    def _print_Piecewise(self, expression: sp.Expr) -> str:  # noqa: N802 - SymPy's naming
        text = "nan"
        for value, condition in reversed(expression.args):
            text = (
                self._print(value)
                if condition is sp.true
                else (f"select({self._print(condition)}, {self._print(value)}, {text})")
            )
        return text

    def _print_folded(self, name: str, arguments: tuple[sp.Expr, ...]) -> str:
        text = self._print(arguments[0])
        for argument in arguments[1:]:
            text = f"{name}({text}, {self._print(argument)})"
        return text

    def _print_Max(self, expression: sp.Expr) -> str:  # noqa: N802
        return self._print_folded("larger", expression.args)

    def _print_Min(self, expression: sp.Expr) -> str:  # noqa: N802
        return self._print_folded("smaller", expression.args)

    def _print_Abs(self, expression: sp.Expr) -> str:  # noqa: N802
        return f"abs({self._print(expression.args[0])})"

    def _print_sign(self, expression: sp.Expr) -> str:
        return f"sign({self._print(expression.args[0])})"

    def _print_Heaviside(self, expression: sp.Expr) -> str:  # noqa: N802
        return f"(0.5 + 0.5 * sign({self._print(expression.args[0])}))"

    def _print_DiracDelta(self, expression: sp.Expr) -> str:  # noqa: N802
        # Between kinks, where derivatives are evaluated, it is zero.
        return "0.0"

    def _print_Rational(self, expression: sp.Expr) -> str:  # noqa: N802
        # Not p/q in floating point, which would limit mpmath to 16 digits.
        return f"ratio({expression.p}, {expression.q})"

    def _print_log_magnitude(self, expression: sp.Expr) -> str:
        form, order, argument = expression.args
        return f"log_magnitude({_kept(form)}, {int(order)}, {self._print(argument)})"


_FORMS: Final[dict[sp.Lambda, int]] = {}


def _kept(form: sp.Lambda) -> int:
    """Number by which generated code refers to an expression."""
    return _FORMS.setdefault(form, len(_FORMS))


def _log_magnitude(number: int, order: int, x: Array) -> Array:
    from critlearn.compositions.asymptotics.magnitude import log_magnitude_of

    return log_magnitude_of(list(_FORMS)[number], order, x)


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
        "E": math.e,
    }


def _torch_functions() -> dict[str, Any]:
    import torch

    def constant_or(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        # Constants such as log(2) stay symbolic in an expression; torch functions refuse plain numbers.
        def called(x: Any) -> Any:
            if isinstance(x, torch.Tensor):
                return function(x)
            return float(function(torch.tensor(float(x), dtype=torch.float64)))

        return called

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
        "E": math.e,
        "expit": torch.sigmoid,
        # Not torch's own softplus, which is the identity above 20.
        "softplus": lambda x: torch.logaddexp(torch.zeros_like(x), x),
        "log_erfc": lambda x: torch.log(torch.special.erfcx(x)) - x * x,
        "pi": math.pi,
    }


_LARGEST_ARGUMENT: Final = 1e30


def _bounded(function: Callable[[Any], Any], below: float | None, above: float | None) -> Callable[[Any], Any]:
    """Function with its limits put far out, where mpmath would look for 10^30 digits; an error where it has none."""

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
        # By the middle of the interval: right to the square of h.
        "erf_step": lambda a, h: 2 * h * exp(-((a + h / 2) ** 2)) / mpmath.sqrt(mpmath.pi),
        "larger": max,
        "smaller": min,
        "select": lambda condition, first, second: first if condition else second,
        "log_magnitude": _log_magnitude,
        "ratio": lambda p, q: mpmath.mpf(p) / q,
        "nan": mpmath.nan,
        "pi": mpmath.pi,
        "E": mpmath.e,
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


def compiled_together(forms: tuple[sp.Expr, ...], variable: sp.Symbol) -> Callable[[Any], tuple[Any, ...]]:
    """Function of one mpmath number that gives the values of several expressions."""
    functions = _functions("mpmath")
    return sp.lambdify(variable, forms, modules=[functions], printer=_printer(functions), cse=True)


def _printer(functions: Mapping[str, Any]) -> _Printer:
    return _Printer(
        {
            "fully_qualified_modules": False,
            "inline": True,
            "allow_unknown_functions": True,
            "user_functions": {name: name for name in functions},
        }
    )


@cache
def _compiled(expression: sp.Basic, symbols: tuple[sp.Symbol, ...], library: str) -> Callable[..., Array]:
    functions = _functions(library)
    return sp.lambdify(symbols, expression, modules=[functions], printer=_printer(functions))


def exp(value: Array) -> Array:
    """Exponential in the library that the value belongs to."""
    return _elementary("exp", value)


def log(value: Array) -> Array:
    """Natural logarithm in the library that the value belongs to; ``-inf`` at 0."""
    return _elementary("log", value)


def _elementary(name: str, value: Array) -> Array:
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return _functions(library_of(value))[name](value)


def choose(condition: Array, first: Array, second: Array) -> Array:
    """``where`` of the library that the values belong to."""
    library = library_of(first)
    if library == "torch":
        return first.where(condition, second)
    if library == "mpmath":
        return first if condition else second
    return np.where(condition, first, second)


def side_of(value: Array) -> Array:
    """1 for numbers ``>= 0`` and -1 for others, without a derivative.

    Products with it take half the time of `choose` in torch, which takes a branch for every number.
    """
    library = library_of(value)
    if library == "torch":
        # Not of -0.0, which counts as 0.
        side: Array = value.new_ones(()).copysign(value.detach() + 0.0)
        return side
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
    """Derivative, found once: bisections evaluate it thousands of times."""
    return sp.diff(expression, *symbols)


def evaluate(expression: sp.Basic, values: Mapping[sp.Symbol, Array]) -> Array:
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
