"""Leading form of ``exp(F(s))`` as ``s`` grows: a power law or an exponential, by rules that are exact and quick."""

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.codegen.cfunctions import log1p

from critlearn.compositions.asymptotics.asymptotic_branch import branches_far_out
from critlearn.compositions.asymptotics.growth import log_growth
from critlearn.compositions.asymptotics.growth_order import BETWEEN, BEYOND, Growth, UnclearError
from critlearn.compositions.symbolic.functions import expit, plain, softplus

_LN_LN = -1


@dataclass(frozen=True)
class Decay:
    """How fast something falls: the growth of its logarithm, read as a tail."""

    growth: Growth

    @property
    def order(self) -> sp.Expr:
        """``k`` of ``exp(-rate s^k)``; 0 for a power of ``s``, -1 for one of ``ln s`` or a constant."""
        return self.growth.terms[0][0] if self.growth.terms else sp.Integer(_LN_LN)

    @property
    def rate(self) -> sp.Expr:
        """Coefficient of the leading term; positive where it falls."""
        return -self.growth.terms[0][1] if self.growth.terms else sp.S.Zero

    @property
    def power(self) -> sp.Expr | None:
        """``n`` of ``s^-n``, 0 for what changes more slowly; None for an exponential."""
        if self.order > 0:
            return None
        return self.rate if self.order == 0 else sp.S.Zero

    @property
    def constant(self) -> bool:
        """Whether a limit other than 0 is reached."""
        return not self.growth.terms

    def times(self, exponent: sp.Expr, other: "Decay") -> "Decay":
        """Decay of ``self^exponent * other``.

        Raises
        ------
        UnclearError
            If terms compete that are not told apart.
        """
        return Decay(other.growth.plus(self.growth, exponent))

    def tail(self, variable: str) -> str:
        """Name such as ``m^-3``, ``m^-2 ln(m)``, ``exp(-2 m)`` or ``m`` for a growing one."""
        if self.order == BEYOND:
            return f"{'falls' if self.rate > 0 else 'grows'} like the exponential of an exponential of {variable}"
        if self.order == BETWEEN:
            return f"{'falls' if self.rate > 0 else 'grows'} faster than any power of {variable}"
        if self.order > 0:
            form = variable if self.order == 1 else f"{variable}^{in_words(self.order)}"
            sign, size = ("-", self.rate) if self.rate > 0 else ("", -self.rate)
            return f"exp({sign}{form})" if size == 1 else f"exp({sign}{in_words(size)} {form})"
        power = dict(self.growth.terms).get(0, sp.S.Zero)
        main = _power_of(variable, power) if power != 0 else ""
        return (main + self.logarithms(variable)).strip() or "constant"

    def tail_at(self, distance: str) -> str:
        """Name of an exponential such as ``exp(-2/|y|^2)``, where ``s`` is the inverse of a distance."""
        if self.order in (BEYOND, BETWEEN):
            return self.tail(f"1/{distance}")
        form = distance if self.order == 1 else f"{distance}^{in_words(self.order)}"
        sign, size = ("-", self.rate) if self.rate > 0 else ("", -self.rate)
        return f"exp({sign}{in_words(size)}/{form})"

    def logarithms(self, variable: str) -> str:
        """Factor such as `` ln(m)^2`` beside a power; empty without one."""
        power = dict(self.growth.terms).get(_LN_LN, sp.S.Zero)
        return "" if power == 0 else f" {_power_of(f'ln({variable})', power)}"


def _power_of(base: str, power: sp.Expr) -> str:
    return base if power == 1 else f"{base}^{in_words(power)}"


def in_words(number: sp.Expr) -> str:
    """Number with parentheses where a fraction needs them."""
    return str(number) if number.is_Integer else f"({number})"


@lru_cache(maxsize=4096)
def decay_of(log_form: sp.Expr) -> Decay | None:
    """Leading form of ``exp(log_form)`` in `s`; None where the rules of `growth` do not tell."""
    try:
        return Decay(log_growth(sp.expand_log(branches_far_out(_opened(log_form)), force=True)))
    # What has no room at high precision is not decided by the rules.
    except (UnclearError, ArithmeticError, MemoryError):
        return None


def _opened(log_form: sp.Expr) -> sp.Expr:
    """Without functions that only serve evaluation, and with exponentials of logarithms undone."""
    return plain(log_form).replace(
        lambda part: isinstance(part, softplus | expit) and part.args[0].has(sp.log),
        lambda part: log1p(sp.exp(part.args[0])) if isinstance(part, softplus) else 1 / (1 + sp.exp(-part.args[0])),
    )
