"""The exact exponent that a composition tends to where its error signal vanishes, as a symbolic limit."""

from dataclasses import dataclass
from functools import cache

import sympy as sp

from critlearn.compositions.activation import Activation
from critlearn.compositions.expressions import written_out, y
from critlearn.compositions.loss import Loss, log_opposite, log_residual, log_width


@dataclass(frozen=True)
class Asymptote:
    """Limit of the intrinsic exponent where the error signal vanishes.

    Parameters
    ----------
    exponent
        Intrinsic exponent kappa in the limit; None where fluctuations follow no power law there.
    exact
        The same as a rational number in words, e.g. ``"4/3"``.
    tail
        Form of the error signal: ``m^-3``, ``exp(-2 m)``, ``exp(-m^2)``, ``|e|^2``, or ``constant``.
    location
        Where the limit is taken.
    """

    exponent: float | None
    exact: str | None
    tail: str
    location: str

    def to_dict(self) -> dict[str, float | str | None]:
        """Fields as plain values."""
        return {
            "exponent": self.exponent,
            "exact": self.exact,
            "tail": self.tail,
            "location": self.location,
        }

    def summary(self) -> str:
        """One phrase, e.g. ``kappa = 4/3, error signal ~ m^-3 (margin -> inf)``."""
        kappa = "no power law" if self.exact is None else f"kappa = {self.exact}"
        return f"{kappa}, error signal ~ {self.tail} ({self.location})"


@cache
def saturation_asymptote(activation: Activation, loss: Loss) -> Asymptote:
    """Limit at margin -> infinity for a bounded activation.

    There the residual vanishes and the distance to the other class is constant, so that the loss acts through the
    power ``s`` of the residual alone: ``lambda -> s ln(gap) + ln f'`` up to a constant and terms that vanish faster.
    """
    power = _residual_power(loss, -sp.oo)
    log_error = written_out(power * activation.log_upper_gap + activation.log_derivative)
    slope = sp.diff(log_error, y)
    kappa = sp.limit(1 + sp.diff(slope, y) / slope**2, y, sp.oo)
    return Asymptote(float(kappa), str(kappa), _tail(slope), "margin -> inf")


@cache
def residual_asymptotes(loss: Loss) -> tuple[Asymptote, ...]:
    """Limits for an unbounded (linear) output: at a residual of zero, and at large residuals if the error decays."""
    at_zero = _residual_power(loss, -sp.oo)
    far = _residual_power(loss, sp.oo)
    asymptotes = []
    if far < 0:
        asymptotes.append(_power_asymptote(far, "residual -> inf"))
    if at_zero > 0:
        asymptotes.append(_power_asymptote(at_zero, "residual -> 0"))
    return tuple(asymptotes) or (Asymptote(None, None, "constant", "everywhere"),)


def _power_asymptote(power: sp.Expr, location: str) -> Asymptote:
    """Error signal ``|e|^n``: exponent ``1 - 1/n`` (theory, one-dimensional reduction)."""
    kappa = 1 - 1 / power
    base = "|e|" if location == "residual -> 0" else "e"
    tail = base if power == 1 else f"{base}^{_written(power)}"
    return Asymptote(float(kappa), str(kappa), tail, location)


def _residual_power(loss: Loss, where: sp.Expr) -> sp.Expr:
    """``d ln|dH/df| / d ln|f - t|`` in the limit: the power of the residual as which the loss acts."""
    fixed = loss.log_derivative.subs({log_opposite: 0, log_width: 0})
    return sp.limit(sp.diff(written_out(fixed), log_residual), log_residual, where)


def _tail(slope: sp.Expr) -> str:
    """Name of the decay whose logarithm has this slope."""
    power = sp.limit(-y * slope, y, sp.oo)
    if power.is_finite:
        return f"m^-{_written(power)}"
    for order, form in ((1, "m"), (2, "m^2")):
        rate = sp.limit(-slope / (order * y ** (order - 1)), y, sp.oo)
        if rate.is_finite and rate != 0:
            return f"exp(-{form})" if rate == 1 else f"exp(-{_written(rate)} {form})"
    return "faster than exp(-m^2)"


def _written(number: sp.Expr) -> str:
    """Number with parentheses where a fraction needs them."""
    return str(number) if number.is_Integer else f"({number})"
