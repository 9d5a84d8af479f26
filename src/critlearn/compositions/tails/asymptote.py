"""The exponent that a composition tends to on one of its sides: what it is, how it is approached, how it was found."""

import math
from dataclasses import dataclass

from critlearn.results import Result


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
        How kappa comes to its limit: ``exact`` where it is constant, ``O(m^-2)``, ``O(m^-2 ln(m))``, ``exponential``,
        ``slower than any power``, or ``unknown``.
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
