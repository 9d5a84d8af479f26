"""Limit of the intrinsic exponent of a composition: its value, how it is approached, and how it was found."""

import math
from dataclasses import dataclass

from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class Asymptote(Result):
    """Limit of the intrinsic exponent at an end of the line, or at a zero or pole of the error signal.

    Parameters
    ----------
    exponent
        Intrinsic exponent kappa in the limit; None where fluctuations follow no power law there.
    exact
        The exponent as a rational number in text, e.g. ``"4/3"``; None where it is only known numerically.
    tail
        Form of the error signal: ``m^-3``, ``exp(-2 m)``, ``exp(-m^2)``, ``|e|^2``, or ``constant``.
    location
        Where the limit is taken, in words.
    fluctuations
        Size of the fluctuations there: ``small``, ``large`` or ``constant``.
    approach
        How kappa approaches its limit: ``exact`` where it is constant, ``O(m^-2)``, ``O(m^-2 ln(m))``, ``exponential``,
        ``slower than any power``, or ``unknown``.
    method
        ``symbolic`` or ``numeric``.
    uncertainty
        Error bound of a numeric exponent; 0 for a symbolic one, None where no exponent is claimed.
    place
        Pre-activation at which the limit is taken, possibly infinite.
    """

    exponent: float | None
    exact: str | None
    tail: str
    location: str
    fluctuations: str = "small"
    approach: str = "unknown"
    method: str = "symbolic"
    uncertainty: float | None = 0.0
    place: float = math.inf

    def summary(self) -> str:
        """One phrase, e.g. ``kappa = 4/3, error signal ~ m^-3 (margin -> inf), approach O(m^-2)``."""
        if self.exponent is None:
            kappa = "no power law"
        elif self.exact is not None:
            kappa = f"kappa = {self.exact}"
        else:
            error = f" +- {self.uncertainty:.1g} (numeric)" if self.uncertainty else ""
            kappa = f"kappa = {self.exponent:.6g}{error}"
        approach = "" if self.exponent is None or self.approach == "unknown" else f", approach {self.approach}"
        return f"{kappa}, error signal ~ {self.tail} ({self.location}){approach}"
