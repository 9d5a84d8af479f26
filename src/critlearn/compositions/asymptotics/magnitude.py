"""Logarithm ``ln|E(x)|`` of any expression, exact in the tail: the closed form where it is accurate, else a table.

``1 - y/(1 + y^3)^(1/3)`` is zero in floating point from y = 1e6 on and has three digits left at y = 1e4. No rewriting
finds a better form of every such expression, but evaluation at high precision shows where the closed form fails, and
gives the value there.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Final

import mpmath
import numpy as np
import sympy as sp

from critlearn.compositions.asymptotics.asymptotic_branch import vanishes_near
from critlearn.compositions.asymptotics.log_table import ACCURACY, LogTable, Row, tabulated
from critlearn.compositions.symbolic.evaluation import compiled_together, evaluate, log
from critlearn.compositions.symbolic.functions import Array, log_magnitude, s
from critlearn.compositions.symbolic.libraries import library_of, register_log_magnitude
from critlearn.numerics.precision_ladder import resolved

_LEAST, _GREATEST = -18.0, 14.0
"""Range of ``ln x`` (x from 1.5e-8 to 1.2e6) in which forms are checked and tabulated; beyond, tails are continued."""

_OFFSET: Final = 0.0371
"""Shift of the points of ``ln x`` at which forms are checked: typed expressions have their zeros at round numbers."""

_DIGITS: Final = (30, 60, 120, 240, 480, 900)
_AGREEMENT: Final = 1e-14
"""Relative difference of two precisions up to which a value counts as resolved."""

_SLOPE_ACCURACY, _CURVATURE_ACCURACY = 1e-7, 1e-6
"""Relative errors of the first and second derivative of a closed form above which a table replaces it.

Looser than `ACCURACY`, because quotients such as ``E'' / E - (E' / E)^2`` cancel in a correct closed form as well.
"""

_ROUNDING: Final = 16 * 2.3e-16
"""Relative change of ``x`` by a few roundings: 16 times the spacing 2.2e-16 of double precision."""

Precise = tuple[mpmath.mpf | float, ...]
"""``ln|E|`` and its first three derivatives; those that do not depend on ``x`` are ordinary numbers."""


@lru_cache(maxsize=512)
def _magnitude(form: sp.Lambda) -> "Magnitude":
    return Magnitude(form.variables[0], form.expr)


def exact_log_magnitude(expression: sp.Expr, at: sp.Expr) -> sp.Expr:
    """``ln|E(at)|`` of an expression ``E(s)``, as a form that is exact in the tail."""
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
    def _precisely(self) -> Callable[[mpmath.mpf], Precise]:
        """Compiled function of all derivatives together, which computes common subexpressions once."""
        return compiled_together(self.derivatives, self.variable)

    def closed(self, order: int, x: Array) -> Array:
        """Derivative of ``ln|E|`` of order 0 to 2, from floating-point values of ``E`` and its derivatives."""
        values = [evaluate(form, {self.variable: x}) for form in self.derivatives[: order + 1]]
        if order == 0:
            return log(abs(values[0]))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            first = values[1] / values[0]
            return first if order == 1 else values[2] / values[0] - first**2

    def precise(self, x: mpmath.mpf) -> Precise:
        """Value and first three derivatives, to some 14 digits; ArithmeticError if 900 digits do not suffice."""
        # Neighbouring points need similar precision: start one step below the one that sufficed last.
        start = max(0, self._rung - 1)
        value, digits = resolved(lambda: self._at_precision(x), _DIGITS[start:], _agree)
        self._rung = 0 if digits is None else _DIGITS.index(digits)
        if value is None or digits is None:
            raise ArithmeticError(f"ln|{self.expression}| cannot be resolved at {x}")
        return value

    def _at_precision(self, x: mpmath.mpf) -> Precise | None:
        """Value and derivatives at the precision that mpmath works with; None where ``E`` is zero to that precision."""
        e = self._precisely(mpmath.mpf(x))
        if e[0] == 0:
            return None
        first = e[1] / e[0]
        second = e[2] / e[0] - first**2
        third = e[3] / e[0] - 3 * first * second - first**3
        return mpmath.log(abs(e[0])), first, second, third

    @cached_property
    def tails(self) -> tuple[LogTable | None, LogTable | None]:
        """Tables below and above the range in which the closed form is accurate."""
        grid = np.arange(_LEAST, _GREATEST, 1.0) + _OFFSET
        accurate = np.array([self._is_accurate(u) for u in grid])
        if accurate.all():
            return None, None
        # The accurate stretch around the accurate point that is closest to x = 1.
        middle = int(np.argmin(np.abs(grid) + 1e3 * ~accurate))
        low = high = middle
        while low > 0 and accurate[low - 1]:
            low -= 1
        while high < grid.size - 1 and accurate[high + 1]:
            high += 1
        below = tabulated(self._row, grid[low], _LEAST + _OFFSET) if low > 0 else None
        above = tabulated(self._row, grid[high], _GREATEST) if high < grid.size - 1 else None
        return below, above

    def _is_accurate(self, u: float) -> bool:
        """Whether the closed form and its derivatives are right in floating point at ``ln x = u``."""
        x = float(np.exp(u))
        if vanishes_near(self.expression.xreplace({self.variable: s}), x):
            return bool(np.isneginf(self.closed(0, np.array([x]))[0]))
        try:
            exact = [float(value) for value in self.precise(mpmath.mpf(x))]
        except (ArithmeticError, ValueError, TypeError):
            return False
        closed = [float(self.closed(order, np.array([x]))[0]) for order in range(3)]
        scales = (1.0, abs(exact[1]) + 1e-3 / x, abs(exact[2]) + exact[1] ** 2 + 1e-3 / x**2)
        # The error from rounding x alone is allowed: many periods away, an oscillation has no more accurate form.
        rounded = [_ROUNDING * x * abs(following) for following in exact[1:]]
        return all(
            abs(a - b) <= bound * scale + unavoidable
            for a, b, bound, scale, unavoidable in zip(
                closed,
                exact[:3],
                (ACCURACY, _SLOPE_ACCURACY, _CURVATURE_ACCURACY),
                scales,
                rounded,
                strict=True,
            )
        )

    def _row(self, u: float) -> Row | None:
        """Value and first three derivatives with respect to ``u = ln x``; None where they cannot be evaluated."""
        x = mpmath.exp(mpmath.mpf(u))
        try:
            value, first, second, third = self.precise(x)
        except (ArithmeticError, ValueError, TypeError):
            return None
        row = (value, x * first, x**2 * second + x * first, x**3 * third + 3 * x**2 * second + x * first)
        return float(row[0]), float(row[1]), float(row[2]), float(row[3])

    def floating(self, order: int, x: Array) -> Array:
        """Derivative of order 0 to 2 on an array of NumPy or torch: closed form in the middle, tables at the ends."""
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
            # Where a table is used, the closed form gets a harmless argument: autograd would turn 0 * NaN into NaN.
            safe = select((u < below.stop) if below else (u != u), float(np.exp(below.stop)) if below else 1.0, x)
            safe = select((u > above.start) if above else (u != u), float(np.exp(above.start)) if above else 1.0, safe)
            result = self.closed(order, safe)
            if below is not None:
                result = select(u < below.stop, below.taylor(order, u, x, library), result)
            if above is not None:
                result = select(u > above.start, above.taylor(order, u, x, library), result)
        return result


def _agree(rough: Precise, precise: Precise) -> bool:
    """Whether value and derivatives at two precisions agree, to `_AGREEMENT` of the terms that they are sums of."""
    slope = abs(precise[1])
    return all(
        abs(a - b) <= _AGREEMENT * (abs(b) + scale)
        for a, b, scale in zip(rough, precise, (1, 0, slope**2, slope**3), strict=True)
    )
