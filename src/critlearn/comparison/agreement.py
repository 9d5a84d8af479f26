"""Agreement of a measurement with a prediction: three outcomes, by what a difference may be within its error."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import scipy.special

from critlearn.comparison.criteria import LEVEL, MOST_NEEDED


class Agreement(StrEnum):
    """Outcome of a comparison."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    CANNOT_TELL = "cannot tell"


DECIDED: Final = (Agreement.AGREES, Agreement.DISAGREES)
"""Outcomes that decide."""

ONE_SIDED: Final = float(scipy.special.ndtri(1 - LEVEL))
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
        return cls(abs(difference), TWO_SIDED * standard_error, ONE_SIDED * standard_error)

    def agreement(self, tolerance: float) -> Agreement:
        """Agreement within a tolerance: two values agree if their difference is below it for certain (TOST).

        Not if a test finds no difference: few samples find none, and millions find one that matters to nobody.
        """
        if self.value + self.above <= tolerance:
            return Agreement.AGREES
        return Agreement.DISAGREES if self.value - self.below > tolerance else Agreement.CANNOT_TELL

    def needed(self, tolerance: float, number: int, by_chance: float = 0.0) -> int | None:
        """Number of samples that would decide, to two digits; None if it is beyond `MOST_NEEDED` times as many.

        Parameters
        ----------
        tolerance
            The tolerance.
        number
            Number of samples.
        by_chance
            Part of the difference that chance alone makes, and that falls with its errors.
        """
        true = max(self.value - by_chance, 0.0)
        missing = tolerance - true
        error = self.above + by_chance if missing > 0 else self.below
        if missing == 0 or not math.isfinite(error):
            return None
        # Errors fall with the root of the number.
        times = (error / missing) ** 2
        if times > MOST_NEEDED:
            return None
        found = max(number * times, number + 1)
        unit = 10 ** max(math.floor(math.log10(found)) - 1, 0)
        return math.ceil(found / unit) * unit


def standard_error(interval: tuple[float, float]) -> float:
    """Standard error of a normal estimate with this 95% interval."""
    return (interval[1] - interval[0]) / (2 * TWO_SIDED)


def both(first: Agreement, second: Agreement) -> Agreement:
    """Agreement in two respects: it takes both, and one disagreement ends it."""
    if Agreement.DISAGREES in (first, second):
        return Agreement.DISAGREES
    return Agreement.AGREES if first is second is Agreement.AGREES else Agreement.CANNOT_TELL
