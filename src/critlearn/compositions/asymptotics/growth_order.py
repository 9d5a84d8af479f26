"""Orders of growth: the logarithm of a size as a sum of powers, of ``ln s`` and of ``ln ln s``."""

from dataclasses import dataclass
from typing import Final

import sympy as sp

BETWEEN: Final = sp.Rational(1, 10**9)
"""Order of ``exp(ln^b s)``, ``b > 1``: between powers and exponentials."""

BEYOND: Final = sp.oo
"""Order of ``exp(exp(s))`` and of what grows faster still."""


class UnclearError(Exception):
    """The rules do not tell."""


@dataclass(frozen=True)
class Growth:
    """``ln|E| = sum c_k s^k + a ln s + b ln ln s + constant``: pairs (k, c_k) by falling order.

    ``k = 0`` stands for ``ln s`` and ``k = -1`` for ``ln ln s``; `BETWEEN` and `BEYOND` for what is no power.
    """

    terms: tuple[tuple[sp.Expr, sp.Expr], ...] = ()

    @classmethod
    def of(cls, coefficients: dict[sp.Expr, sp.Expr]) -> "Growth":
        """Growth without vanishing coefficients."""
        kept = {order: c for order, c in coefficients.items() if not vanishes(c)}
        return cls(tuple(sorted(kept.items(), key=lambda item: -float(item[0]))))

    def plus(self, other: "Growth", factor: sp.Expr = sp.S.One) -> "Growth":
        """``self + factor * other``: growth of ``E1 * E2^factor``.

        Raises
        ------
        UnclearError
            If terms that are no powers compete: ``exp(exp(2 s))`` and ``exp(exp(s))`` are of one order here.
        """
        coefficients = dict(self.terms)
        for order, c in other.terms:
            if order in (BEYOND, BETWEEN) and coefficients.get(order, 0) * factor * c < 0:
                raise UnclearError
            coefficients[order] = coefficients.get(order, sp.Integer(0)) + factor * c
        return Growth.of(coefficients)

    @property
    def direction(self) -> int:
        """+1 if the expression diverges, -1 if it vanishes, 0 if it tends to a constant."""
        return int(sp.sign(self.terms[0][1])) if self.terms else 0


def vanishes(coefficient: sp.Expr) -> bool:
    """Whether a coefficient is zero, to 25 digits where it is no rational number."""
    if coefficient.is_Rational:
        return bool(coefficient == 0)
    return bool(abs(sp.N(coefficient, 30, maxn=200)) < 1e-25)


def fastest(growths: list[Growth]) -> Growth:
    """Return the growth that outgrows all others, the first of equals."""
    best = growths[0]
    for other in growths[1:]:
        if other.plus(best, sp.Integer(-1)).direction > 0:
            best = other
    return best
