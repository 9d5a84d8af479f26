"""Logarithms of arbitrary expressions, exact in the tail: closed form where it is right, a table where it is not.

``1 - y/(1 + y^3)^(1/3)`` is zero in floating point from y = 1e6 on and has three digits left at y = 1e4. No rewriting
finds a better form of every such expression, but high precision can tell where the form at hand fails, and what the
value is there.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.asymptotics.asymptotic_branch import vanishes_around
from critlearn.compositions.asymptotics.log_table import LogTable, Row, tabulated
from critlearn.compositions.symbolic.evaluation import compiled_together, evaluate, log
from critlearn.compositions.symbolic.functions import Array, log_magnitude, s
from critlearn.compositions.symbolic.libraries import library_of, register_log_magnitude

_LEAST, _GREATEST = -18.0, 14.0
"""Range of ``ln x`` in which forms are checked and tabulated; beyond, tails are continued."""

_OFFSET: Final = 0.0371

_DIGITS: Final = (30, 60, 120, 240, 480, 900)
_RIGHT: Final = 1e-9
_ROUNDING: Final = 16 * 2.3e-16


@lru_cache(maxsize=512)
def _magnitude(form: sp.Lambda) -> "Magnitude":
    return Magnitude(form.variables[0], form.expr)


def exact_log_magnitude(expression: sp.Expr, at: sp.Expr) -> sp.Expr:
    """``ln|E|`` of an expression ``E(s)`` with `at` put for ``s``, as a form that is exact in the tail."""
    return log_magnitude(sp.Lambda(s, expression), sp.Integer(0), at)


@register_log_magnitude
def log_magnitude_of(form: sp.Lambda, order: int, x: Array) -> Array:
    """``d^k ln|E(x)| / dx^k`` for ``x >= 0``, in the shape and library of ``x``; k up to 2 in floating point."""
    magnitude = _magnitude(form)
    if library_of(x) == "mpmath":
        return magnitude.precise(x)[order]
    return magnitude.floating(order, x)


class Magnitude:
    """``ln|E(x)|`` and its derivatives for one expression ``E(s)``, ``s >= 0``."""

    def __init__(self, variable: sp.Symbol, expression: sp.Expr) -> None:
        self.variable, self.expression = variable, expression
        self._rung = 0

    @cached_property
    def derivatives(self) -> tuple[sp.Expr, ...]:
        """``E, E', E'', E'''``."""
        forms = [self.expression]
        for _ in range(3):
            forms.append(sp.diff(forms[-1], self.variable))
        return tuple(forms)

    @cached_property
    def _precisely(self) -> Callable[[mpmath.mpf], tuple[mpmath.mpf, ...]]:
        """All derivatives at once: common parts are computed once."""
        return compiled_together(self.derivatives, self.variable)

    def closed(self, order: int, x: Array) -> Array:
        """Derivative from the floating-point values of ``E`` and its derivatives."""
        values = [evaluate(form, {self.variable: x}) for form in self.derivatives[: order + 1]]
        if order == 0:
            return log(abs(values[0]))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            first = values[1] / values[0]
            return first if order == 1 else values[2] / values[0] - first**2

    def precise(self, x: mpmath.mpf) -> tuple[mpmath.mpf, ...]:
        """Value and first three derivatives, right to some 15 digits; ArithmeticError where 900 do not suffice."""
        before: tuple[mpmath.mpf, ...] | None = None
        # Neighbours need like precision: start a rung below what sufficed last.
        start = max(0, self._rung - 1)
        for rung, digits in enumerate(_DIGITS[start:], start):
            with mpmath.workdps(digits):
                e = self._precisely(mpmath.mpf(x))
                if e[0] != 0:
                    first = e[1] / e[0]
                    second = e[2] / e[0] - first**2
                    third = e[3] / e[0] - 3 * first * second - first**3
                    now = (mpmath.log(abs(e[0])), first, second, third)
                    if before is not None and all(
                        abs(a - b) <= 1e-14 * (abs(b) + scale)
                        for a, b, scale in zip(before, now, (1, 0, first**2, abs(first) ** 3), strict=True)
                    ):
                        self._rung = rung
                        return now
                    before = now
        self._rung = 0
        raise ArithmeticError(f"ln|{self.expression}| cannot be resolved at {x}")

    @cached_property
    def tails(self) -> tuple[LogTable | None, LogTable | None]:
        """Tables below and above the range in which the closed form is right."""
        # Not at round numbers, where expressions that are typed have their zeros.
        grid = np.arange(_LEAST, _GREATEST, 1.0) + _OFFSET
        right = np.array([self._right(u) for u in grid])
        if right.all():
            return None, None
        middle = int(np.argmin(np.abs(grid) + 1e3 * ~right))
        low = high = middle
        while low > 0 and right[low - 1]:
            low -= 1
        while high < grid.size - 1 and right[high + 1]:
            high += 1
        below = tabulated(self._row, grid[low], _LEAST + _OFFSET) if low > 0 else None
        above = tabulated(self._row, grid[high], _GREATEST) if high < grid.size - 1 else None
        return below, above

    def _right(self, u: float) -> bool:
        x = float(np.exp(u))
        if vanishes_around(self.expression.xreplace({self.variable: s}), x):
            return bool(np.isneginf(self.closed(0, np.array([x]))[0]))
        try:
            exact = [float(value) for value in self.precise(mpmath.mpf(x))]
        except (ArithmeticError, ValueError, TypeError):
            return False
        ours = [float(self.closed(order, np.array([x]))[0]) for order in range(3)]
        scales = (1.0, abs(exact[1]) + 1e-3 / x, abs(exact[2]) + exact[1] ** 2 + 1e-3 / x**2)
        # What a rounding of x does is no fault of the form: many periods out, an oscillation has no better one.
        rounded = [_ROUNDING * x * abs(following) for following in exact[1:]]
        return all(
            abs(a - b) <= bound * scale + unavoidable
            for a, b, bound, scale, unavoidable in zip(
                ours, exact[:3], (_RIGHT, 1e-7, 1e-6), scales, rounded, strict=True
            )
        )

    def _row(self, u: float) -> Row | None:
        """Value and first three derivatives with respect to ``u = ln x``; None where they cannot be had."""
        x = mpmath.exp(mpmath.mpf(u))
        try:
            value, first, second, third = self.precise(x)
        except (ArithmeticError, ValueError, TypeError):
            return None
        row = (value, x * first, x**2 * second + x * first, x**3 * third + 3 * x**2 * second + x * first)
        return float(row[0]), float(row[1]), float(row[2]), float(row[3])

    def floating(self, order: int, x: Array) -> Array:
        """Derivative of order 0 to 2 on an array of NumPy or torch."""
        below, above = self.tails
        if below is None and above is None:
            return self.closed(order, x)
        library: Any = np
        if library_of(x) == "torch":
            import torch

            library = torch
        else:
            x = np.asarray(x, dtype=np.float64)
        select: Callable[..., Any] = library.where
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            u = library.log(x)
            # Where a table answers the closed form gets a harmless argument, so that no NaN enters its derivative.
            safe = select((u < below.stop) if below else (u != u), float(np.exp(below.stop)) if below else 1.0, x)
            safe = select((u > above.start) if above else (u != u), float(np.exp(above.start)) if above else 1.0, safe)
            result = self.closed(order, safe)
            if below is not None:
                result = select(u < below.stop, below.taylor(order, u, x, library), result)
            if above is not None:
                result = select(u > above.start, above.taylor(order, u, x, library), result)
        return result
