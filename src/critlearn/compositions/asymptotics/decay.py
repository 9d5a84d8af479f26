"""Decay of ``exp(F(s))`` for large ``s``, as a power law or an exponential, by exact and fast rules."""

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.asymptotics.asymptotic_branch import asymptotic_branch
from critlearn.compositions.asymptotics.growth import log_growth
from critlearn.compositions.asymptotics.growth_order import (
    DOUBLE_EXPONENTIAL,
    LOG,
    LOG_LOG,
    QUASI_POLYNOMIAL,
    Growth,
    UndecidedError,
)
from critlearn.compositions.symbolic.functions import expit, plain, softplus


@dataclass(frozen=True)
class Decay:
    """Leading decay of a function of ``s``: its `Growth`, read as a tail such as ``s^-3`` or ``exp(-2 s)``."""

    growth: Growth

    @property
    def order(self) -> sp.Expr:
        """Order k of ``exp(-rate s^k)``; `LOG` for a power of ``s``, `LOG_LOG` for one of ``ln s`` or a constant."""
        return self.growth.terms[0][0] if self.growth.terms else LOG_LOG

    @property
    def rate(self) -> sp.Expr:
        """Coefficient of the leading term, positive for a function that falls."""
        return -self.growth.terms[0][1] if self.growth.terms else sp.S.Zero

    @property
    def power(self) -> sp.Expr | None:
        """Power n of a tail ``s^-n``; 0 for a tail slower than any power, None for an exponential."""
        if self.order > LOG:
            return None
        return self.rate if self.order == LOG else sp.S.Zero

    @property
    def constant(self) -> bool:
        """Whether the limit is finite and not 0."""
        return not self.growth.terms

    def times(self, exponent: sp.Expr, other: "Decay") -> "Decay":
        """Decay of ``self^exponent * other``.

        Raises
        ------
        UndecidedError
            If terms compete whose difference the rules do not decide.
        """
        return Decay(other.growth.plus(self.growth, exponent))

    def tail(self, variable: str) -> str:
        """Formula such as ``m^-3``, ``m^-2 ln(m)``, ``exp(-2 m)``, or ``m`` for a growing one."""
        if self.order == DOUBLE_EXPONENTIAL:
            return f"{'falls' if self.rate > 0 else 'grows'} like the exponential of an exponential of {variable}"
        if self.order == QUASI_POLYNOMIAL:
            return f"{'falls' if self.rate > 0 else 'grows'} faster than any power of {variable}"
        if self.order > LOG:
            form = variable if self.order == 1 else f"{variable}^{power_in_words(self.order)}"
            sign, size = ("-", self.rate) if self.rate > 0 else ("", -self.rate)
            return f"exp({sign}{form})" if size == 1 else f"exp({sign}{power_in_words(size)} {form})"
        power = dict(self.growth.terms).get(LOG, sp.S.Zero)
        main = _power_of(variable, power) if power != 0 else ""
        return (main + self.logarithms(variable)).strip() or "constant"

    def tail_at(self, distance: str) -> str:
        """Formula of an exponential such as ``exp(-2/|y|^2)``, where ``s`` is the inverse of a distance."""
        if self.order in (DOUBLE_EXPONENTIAL, QUASI_POLYNOMIAL):
            return self.tail(f"1/{distance}")
        form = distance if self.order == 1 else f"{distance}^{power_in_words(self.order)}"
        sign, size = ("-", self.rate) if self.rate > 0 else ("", -self.rate)
        return f"exp({sign}{power_in_words(size)}/{form})"

    def logarithms(self, variable: str) -> str:
        """Factor such as `` ln(m)^2`` beside a power; empty without one."""
        power = dict(self.growth.terms).get(LOG_LOG, sp.S.Zero)
        return "" if power == 0 else f" {_power_of(f'ln({variable})', power)}"


def _power_of(base: str, power: sp.Expr) -> str:
    return base if power == 1 else f"{base}^{power_in_words(power)}"


def power_in_words(number: sp.Expr) -> str:
    """Number as text, in parentheses if it is a fraction.

    >>> power_in_words(sp.Integer(-3)), power_in_words(sp.Rational(1, 3))
    ('-3', '(1/3)')
    """
    return str(number) if number.is_Integer else f"({number})"


@lru_cache(maxsize=4096)
def decay_of(log_form: sp.Expr) -> Decay | None:
    """Decay of ``exp(log_form)`` for large `s`; None if the rules of `growth` do not decide it."""
    try:
        return Decay(log_growth(sp.expand_log(asymptotic_branch(_without_exp_of_log(log_form)), force=True)))
    # An expression whose values need more digits or memory than there are is left undecided, too.
    except (UndecidedError, ArithmeticError, MemoryError):
        return None


def _without_exp_of_log(log_form: sp.Expr) -> sp.Expr:
    """Rewrite a form in ordinary functions, so that SymPy simplifies ``exp(log(x))`` to ``x``."""
    return plain(log_form).replace(
        lambda part: isinstance(part, softplus | expit) and part.args[0].has(sp.log),
        lambda part: log1p(sp.exp(part.args[0])) if isinstance(part, softplus) else 1 / (1 + sp.exp(-part.args[0])),
    )
