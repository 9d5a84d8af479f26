"""Printer of SymPy expressions as Python code that works on whole arrays of any library."""

from collections.abc import Mapping
from typing import Any, Final

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from critlearn.compositions.symbolic.libraries import number_of

_LARGEST_EXACT: Final = 2**53
"""Integers below it are floats of double precision without rounding."""


class _Printer(PythonCodePrinter):
    """Printer of code for whole arrays: no ``if``, no ``math.`` functions; branches are calls of `select`."""

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
        # Derivatives are evaluated between kinks, where it is zero.
        return "0.0"

    def _print_Integer(self, expression: sp.Expr) -> str:  # noqa: N802
        # An int that does not fit into 64 bits would make NumPy work on Python objects.
        return str(expression.p) if abs(expression.p) < _LARGEST_EXACT else f"ratio({expression.p}, 1)"

    def _print_Rational(self, expression: sp.Expr) -> str:  # noqa: N802
        # Not p/q in floating point, which would limit mpmath to 16 digits.
        return f"ratio({expression.p}, {expression.q})"

    def _print_log_magnitude(self, expression: sp.Expr) -> str:
        form, order, argument = expression.args
        return f"log_magnitude({number_of(form)}, {int(order)}, {self._print(argument)})"


def printer_for(functions: Mapping[str, Any]) -> PythonCodePrinter:
    """Return a printer of code that calls only these functions."""
    return _Printer(
        {
            "fully_qualified_modules": False,
            "inline": True,
            "allow_unknown_functions": True,
            "user_functions": {name: name for name in functions},
        }
    )
