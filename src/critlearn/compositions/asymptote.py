"""The exponent that a composition tends to on one of its sides: what it is, how it is approached, how it was found."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sympy as sp

from critlearn.results import Result

_ROUNDING: Final = 1e-9
_SLOWEST: Final = 0.5
"""Order of approach below which it is not told from one by logarithms."""


@dataclass(frozen=True, repr=False)
class Asymptote(Result):
    """Limit of the intrinsic exponent on one side of a composition.

    Parameters
    ----------
    exponent
        Intrinsic exponent kappa in the limit; None where fluctuations follow no power law there.
    exact
        The same as a rational number in words, e.g. ``"4/3"``; None where it is only known numerically.
    tail
        Form of the error signal: ``m^-3``, ``exp(-2 m)``, ``exp(-m^2)``, ``|e|^2``, or ``constant``.
    location
        Where the limit is taken.
    side
        ``small``, ``large`` or ``constant``: the size of the fluctuations there.
    approach
        How kappa comes to its limit: ``exact`` where it is constant, ``O(m^-2)``, ``exponential``, or ``unknown``.
    method
        ``symbolic`` or ``numeric``.
    uncertainty
        How far a numeric exponent may be off; 0 for a symbolic one, None where nothing is claimed.
    place
        Pre-activation at which the limit is taken, possibly infinite.
    """

    exponent: float | None
    exact: str | None
    tail: str
    location: str
    side: str = "small"
    approach: str = "unknown"
    method: str = "symbolic"
    uncertainty: float | None = 0.0
    place: float = math.inf

    def to_dict(self) -> dict[str, float | str | None]:
        """Fields as plain values."""
        return {
            "exponent": self.exponent,
            "exact": self.exact,
            "tail": self.tail,
            "location": self.location,
            "side": self.side,
            "approach": self.approach,
            "method": self.method,
            "uncertainty": self.uncertainty,
            "place": self.place if math.isfinite(self.place) else None,
        }

    def summary(self) -> str:
        """One phrase, e.g. ``kappa = 4/3, error signal ~ m^-3 (margin -> inf)``."""
        if self.exponent is None:
            kappa = "no power law"
        elif self.exact is not None:
            kappa = f"kappa = {self.exact}"
        else:
            error = f" +- {self.uncertainty:.1g} (numeric)" if self.uncertainty else ""
            kappa = f"kappa = {self.exponent:.6g}{error}"
        return f"{kappa}, error signal ~ {self.tail} ({self.location})"


def approach_of(distances: Sequence[float], variable: str) -> str:
    """How kappa comes to its limit, from its distances at a point close by and at points each twice as far out.

    ``exact``, ``O(m^-2)``, ``exponential``, ``slower than any power`` or ``unknown``.
    """
    far = [abs(distance) for distance in distances]
    if not all(math.isfinite(distance) for distance in far):
        return "unknown"
    if max(far) < _ROUNDING:
        return "exact"
    if far[-1] < _ROUNDING:
        return "exponential"
    orders = [math.log2(a / b) for a, b in itertools.pairwise(far[1:])]
    if orders[-1] <= 0:
        return "unknown"
    if orders[-1] > 1.5 * orders[-2] > 0:
        return "exponential"
    order = sp.Rational(round(4 * orders[-1]), 4)
    if order < _SLOWEST:
        return "slower than any power"
    return f"O({variable}^-{order if order.is_Integer else f'({order})'})"
