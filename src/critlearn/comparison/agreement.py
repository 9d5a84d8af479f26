"""Agreement of a measurement with a prediction: three outcomes, by what a difference may be within its error."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import scipy.special

from critlearn.comparison.criteria import LEVEL


class Agreement(StrEnum):
    """Outcome of a comparison."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    CANNOT_TELL = "cannot tell"


DECIDED: Final = (Agreement.AGREES, Agreement.DISAGREES)
"""Outcomes that decide."""

_ONE_SIDED: Final = float(scipy.special.ndtri(1 - LEVEL))
"""Normal quantile of a bound to one side."""

TWO_SIDED: Final = float(scipy.special.ndtri(1 - LEVEL / 2))
"""Normal quantile of an interval: its half-width in standard errors."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a difference that is not negative.

    Parameters
    ----------
    value
        The difference.
    below, above
        By how much the true one may be smaller or larger.
    """

    value: float
    below: float
    above: float

    @classmethod
    def of_error(cls, difference: float, standard_error: float) -> "Bounds":
        """Bounds of a difference with a normal error, of either sign."""
        return cls(abs(difference), TWO_SIDED * standard_error, _ONE_SIDED * standard_error)

    def agreement(self, tolerance: float) -> Agreement:
        """Agreement within a tolerance: two values agree if their difference is below it for certain (TOST).

        Not if a test finds no difference: few samples find none, and millions find one that matters to nobody.
        """
        if self.value + self.above <= tolerance:
            return Agreement.AGREES
        return Agreement.DISAGREES if self.value - self.below > tolerance else Agreement.CANNOT_TELL

    def needed(self, tolerance: float, number: int) -> int | None:
        """Number of samples that would decide, if the difference stays; None if none does."""
        missing = tolerance - self.value
        error = self.above if missing > 0 else self.below
        if missing == 0 or not math.isfinite(error):
            return None
        # Errors fall with the root of the number.
        return math.ceil(number * (error / missing) ** 2)


def both(first: Agreement, second: Agreement) -> Agreement:
    """Agreement in two respects: it takes both, and one disagreement ends it."""
    if Agreement.DISAGREES in (first, second):
        return Agreement.DISAGREES
    return Agreement.AGREES if first is second is Agreement.AGREES else Agreement.CANNOT_TELL
