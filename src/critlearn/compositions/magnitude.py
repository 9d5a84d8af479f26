"""Logarithms of arbitrary expressions, exact in the tail: closed form where it is right, a table where it is not.

``1 - y/(1 + y^3)^(1/3)`` is zero in floating point from y = 1e6 on and has three digits left at y = 1e4. No rewriting
finds a better form of every such expression, but high precision can tell where the form at hand fails, and what the
value is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import mpmath
import numpy as np
import scipy.interpolate
import sympy as sp
from jaxtyping import Float64

from critlearn.compositions.expressions import Array, compiled_together, evaluate, library_of, log
from critlearn.compositions.far_out import vanishes_around
from critlearn.compositions.growth import s

_STEP: Final = 1 / 16
"""Spacing of the table in ``ln x``."""

_LEAST, _GREATEST = -18.0, 14.0
"""Range of ``ln x`` in which forms are checked and tabulated; beyond, tails are continued."""

_OFFSET: Final = 0.0371

_DIGITS: Final = (30, 60, 120, 240, 480, 900)
_RIGHT: Final = 1e-9


@lru_cache(maxsize=512)
def _magnitude(form: sp.Lambda) -> "Magnitude":
    return Magnitude(form.variables[0], form.expr)


def log_magnitude_of(form: sp.Lambda, order: int, x: Array) -> Array:
    """``d^k ln|E(x)| / dx^k`` for ``x >= 0``, in the shape and library of ``x``; k up to 2 in floating point."""
    magnitude = _magnitude(form)
    if library_of(x) == "mpmath":
        return magnitude.precise(x)[order]
    return magnitude.floating(order, x)


@dataclass(frozen=True, eq=False)
class _Tail:
    """Polynomials of degree 7 in ``ln x`` on a uniform grid, and how the last of them is continued."""

    start: float
    stop: float
    coefficients: Float64[np.ndarray, "power interval"]
    last_u: float
    last: tuple[float, float, float]
    power: bool

    def taylor(self, order: int, u: Array, x: Array, library: Any) -> Array:
        """Derivative with respect to ``x``, of order 0 to 2."""
        count = self.coefficients.shape[1]
        index = ((u - self.start) / _STEP).clip(0, count - 1)
        index = index.long() if library is not np else index.astype(np.int64)
        local = u.clip(self.start, self.stop) - (self.start + index * _STEP)
        table = self.coefficients
        if library is not np:
            table = library.as_tensor(table, dtype=u.dtype, device=u.device)
        derivatives = [0.0 * u, 0.0 * u, 0.0 * u]
        for power in range(table.shape[0]):
            derivatives[2] = derivatives[2] * local + 2 * derivatives[1]
            derivatives[1] = derivatives[1] * local + derivatives[0]
            derivatives[0] = derivatives[0] * local + table[power][index]
        value, first, second = derivatives
        inside = (value, first / x, (second - first) / x**2)[order]
        return library.where((u >= self.start) & (u <= self.stop), inside, self._continued(order, u, x))

    def _continued(self, order: int, u: Array, x: Array) -> Array:
        """Beyond the table: a power law goes on as such, an exponential by its Taylor polynomial."""
        value, first, second = self.last
        at = float(np.exp(self.last_u))
        if self.power:
            slope = first * at
            return (value + slope * (u - self.last_u), slope / x, -slope / x**2)[order]
        step = x - at
        return (value + first * step + 0.5 * second * step**2, first + second * step, second + 0.0 * step)[order]


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
    def tails(self) -> tuple[_Tail | None, _Tail | None]:
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
        below = self._table(_LEAST + _OFFSET, grid[low], last=False) if low > 0 else None
        above = self._table(grid[high], _GREATEST, last=True) if high < grid.size - 1 else None
        return below, above

    def _right(self, u: float) -> bool:
        x = float(np.exp(u))
        if vanishes_around(self.expression.xreplace({self.variable: s}), x):
            return bool(np.isneginf(self.closed(0, np.array([x]))[0]))
        try:
            exact = [float(value) for value in self.precise(mpmath.mpf(x))[:3]]
        except (ArithmeticError, ValueError, TypeError):
            return False
        ours = [float(self.closed(order, np.array([x]))[0]) for order in range(3)]
        scales = (1.0, abs(exact[1]) + 1e-3 / x, abs(exact[2]) + exact[1] ** 2 + 1e-3 / x**2)
        return all(
            abs(a - b) <= bound * scale
            for a, b, bound, scale in zip(ours, exact, (_RIGHT, 1e-7, 1e-6), scales, strict=True)
        )

    def _table(self, start: float, stop: float, *, last: bool) -> _Tail | None:
        """Polynomials between two values of ``ln x``, as far as values can be had."""
        nodes = np.arange(start, stop + _STEP / 2, _STEP)
        rows, kept = [], []
        for u in nodes if last else nodes[::-1]:
            x = mpmath.exp(mpmath.mpf(float(u)))
            try:
                value, first, second, third = self.precise(x)
            except (ArithmeticError, ValueError, TypeError):
                break
            rows.append([value, x * first, x**2 * second + x * first, x**3 * third + 3 * x**2 * second + x * first])
            kept.append(float(u))
        if len(kept) < 2:
            return None
        table = np.array(rows, dtype=np.float64)
        order = np.argsort(kept)
        nodes, table = np.array(kept)[order], table[order]
        polynomial = scipy.interpolate.PPoly.from_bernstein_basis(
            scipy.interpolate.BPoly.from_derivatives(nodes, table[:, :, None].squeeze(-1))
        )
        edge = nodes[-1] if last else nodes[0]
        value, first_u, second_u, _ = table[-1] if last else table[0]
        x_edge = float(np.exp(edge))
        return _Tail(
            float(nodes[0]),
            float(nodes[-1]),
            np.asarray(polynomial.c),
            float(edge),
            (value, first_u / x_edge, (second_u - first_u) / x_edge**2),
            # A power law's slope in ln x is constant; an exponential's grows with x.
            bool(abs(second_u) < 0.05 * max(abs(first_u), 1e-6)),
        )

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
