"""Orders of growth: ``ln|E|`` of an expression as a sum of powers of ``s``, ``ln s`` and ``ln ln s``."""

from dataclasses import dataclass
from typing import Final

import sympy as sp

LOG: Final = sp.Integer(0)
"""Order that stands for ``ln s`` in the logarithm: a power of ``s``."""

LOG_LOG: Final = sp.Integer(-1)
"""Order that stands for ``ln ln s`` in the logarithm: a power of ``ln s``."""

QUASI_POLYNOMIAL: Final = sp.Rational(1, 10**9)
"""Order that stands for ``ln^b s`` with ``b > 1``: above every power, below every exponential of a power.

The number itself has no meaning: it only sorts between 0 (`LOG`) and the smallest power of ``s`` in the exponent.
"""

DOUBLE_EXPONENTIAL: Final = sp.oo
"""Order that stands for ``exp(s)`` and all that grows faster still."""

_DIGITS: Final = 40
_ZERO: Final = 1e-30
"""Absolute value below which a constant, evaluated to `_DIGITS` digits, counts as zero: chance makes none so small."""


class UndecidedError(Exception):
    """Raised where the rules do not decide how an expression grows."""


@dataclass(frozen=True)
class Growth:
    """Growth ``ln|E| = sum c_k s^k + a ln s + b ln ln s + constant``, as pairs (k, c_k) by falling order.

    The orders `LOG`, `LOG_LOG`, `QUASI_POLYNOMIAL` and `DOUBLE_EXPONENTIAL` stand for terms other than powers of ``s``.
    """

    terms: tuple[tuple[sp.Expr, sp.Expr], ...] = ()

    @classmethod
    def of(cls, coefficients: dict[sp.Expr, sp.Expr]) -> "Growth":
        """Growth from coefficients by order, leaving out those that are zero."""
        kept = {order: c for order, c in coefficients.items() if not is_zero(c)}
        return cls(tuple(sorted(kept.items(), key=lambda item: -float(item[0]))))

    def plus(self, other: "Growth", factor: sp.Expr = sp.S.One) -> "Growth":
        """``self + factor * other``: the growth of ``E1 * E2^factor``.

        Raises
        ------
        UndecidedError
            If terms that are no powers compete: ``exp(exp(2 s))`` and ``exp(exp(s))`` are of one order here.
        """
        coefficients = dict(self.terms)
        for order, c in other.terms:
            if order in (DOUBLE_EXPONENTIAL, QUASI_POLYNOMIAL) and coefficients.get(order, 0) * factor * c < 0:
                raise UndecidedError
            coefficients[order] = coefficients.get(order, sp.Integer(0)) + factor * c
        return Growth.of(coefficients)

    @property
    def direction(self) -> int:
        """+1 if the expression diverges, -1 if it vanishes, 0 if it tends to a constant."""
        return int(sp.sign(self.terms[0][1])) if self.terms else 0


def is_zero(coefficient: sp.Expr) -> bool:
    """Whether a constant is zero: exactly for rational numbers, else to 30 digits."""
    if coefficient.is_Rational:
        return bool(coefficient == 0)
    return bool(abs(sp.N(coefficient, _DIGITS, maxn=200)) < _ZERO)


def fastest(growths: list[Growth]) -> Growth:
    """Return the fastest of several growths, the first of equals."""
    best = growths[0]
    # The growth of the quotient decides; comparing terms one by one would not notice undecidable pairs.
    for other in growths[1:]:
        if other.plus(best, sp.Integer(-1)).direction > 0:
            best = other
    return best
