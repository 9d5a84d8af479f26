"""Level of the ladder: how much of a network a prediction uses, and whether that suffices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from critlearn.comparison.agreement import Agreement
from critlearn.results import Result

COMPOSITION: Final = 0
GAUSSIAN: Final = 1
MARGINS: Final = 2
JOINT: Final = 3

USES: Final = {
    COMPOSITION: "the composition",
    GAUSSIAN: "the composition and Gaussian margins",
    MARGINS: "the composition and the density of the margins",
    JOINT: "margins and path factors of the same samples",
}
"""What each level of a loss with margins uses, beside path factors from other samples."""

USES_WITHOUT_MARGINS: Final = {
    GAUSSIAN: "Gaussian logarithms of the errors",
    MARGINS: "the density of the errors",
    JOINT: "errors and path factors of the same samples",
}
"""What each level uses where the errors depend on more than one number, and composition and data are told together."""

SHORT: Final = {
    COMPOSITION: "composition",
    GAUSSIAN: "Gaussian margins",
    MARGINS: "margins",
    JOINT: "same samples",
}
"""Names of the levels in tables."""

SHORT_WITHOUT_MARGINS: Final = {**SHORT, GAUSSIAN: "Gaussian errors", MARGINS: "errors"}
"""Names of the levels in tables where there are no margins."""


@dataclass(frozen=True, repr=False)
class Level(Result):
    """Level of the ladder for one quantity, held against its measurement; what does not exist is None.

    Parameters
    ----------
    level
        0 to 3.
    uses
        What it uses, in words.
    exponent
        Predicted exponent on the measured window.
    exponent_error
        Standard error of its difference from the measured one.
    distance
        Kolmogorov-Smirnov distance of ``ln|delta|``, of predictions from either half of the samples to measurements of
        the other.
    noise
        Distance between the measurements of both halves.
    p_value
        Probability of such a distance if the level were right.
    agreement
        Whether the level suffices; None for one that is no prediction: the third, which is made of what is measured,
        and the second where the path factor is the same for all samples.
    needed
        Number of samples that would decide, where it is not decided.
    """

    level: int
    uses: str
    exponent: float | None
    exponent_error: float | None
    distance: float | None
    noise: float | None
    p_value: float | None
    agreement: Agreement | None
    needed: int | None

    def summary(self) -> str:
        """One line: what it uses, its numbers and its outcome."""
        exponent = "no exponent" if self.exponent is None else f"k = {self.exponent:.3f}"
        apart = "" if self.distance is None else f", KS {self.distance:.3f} (noise {self.noise:.3f})"
        return f"level {self.level}, {self.uses}: {exponent}{apart}; {self.outcome()}"

    def outcome(self) -> str:
        """Say the outcome in words."""
        if self.agreement is None:
            return "an identity, which checks sampling"
        more = "" if self.needed is None else f" (about {self.needed:,} samples would)"
        return f"{self.agreement}{more}"


def sufficient_number(outcomes: Mapping[int, str | None]) -> int | None:
    """Number of the lowest level that agrees, given the outcome of each; None if none does.

    The composition alone says an exponent only: what more is known must not disagree with the distribution.

    >>> sufficient_number({0: "agrees", 1: "disagrees", 2: "agrees"})
    2
    >>> sufficient_number({0: "agrees", 1: "cannot tell", 2: "disagrees"})
    """
    agreeing = (level for level, outcome in outcomes.items() if outcome == Agreement.AGREES)
    wrong = any(outcomes.get(level) == Agreement.DISAGREES for level in (GAUSSIAN, MARGINS))
    return next((level for level in sorted(agreeing) if level != COMPOSITION or not wrong), None)


def sufficient(levels: Sequence[Level]) -> Level | None:
    """Lowest level that agrees, as by `sufficient_number`; None if none does."""
    number = sufficient_number({level.level: level.agreement for level in levels})
    return next((level for level in levels if level.level == number), None)


def shown_level(levels: Sequence[Level]) -> Level:
    """Level whose prediction is shown: the lowest that suffices, or else the highest that is a prediction at all."""
    found = sufficient(levels)
    if found is not None:
        return found
    counted = [level for level in levels if level.agreement is not None and level.level != COMPOSITION]
    return counted[-1] if counted else levels[0]


def explanation(levels: Sequence[Level]) -> str:
    """Say what explains a quantity, as far as its levels tell.

    >>> explanation([])
    'not predicted'
    """
    found = sufficient(levels)
    if found is not None:
        below = [level for level in levels if level.level < found.level and level.agreement is Agreement.CANNOT_TELL]
        less = f"; whether {below[0].uses} would do cannot be told" if below else ""
        return f"explained by {found.uses}{less}"
    counted = [level for level in levels if level.agreement is not None]
    if not counted:
        return "not predicted"
    highest = counted[-1]
    if highest.agreement is Agreement.DISAGREES and highest.level == MARGINS:
        what = "margin" if any(level.level == COMPOSITION for level in levels) else "error"
        return f"not explained by independent factors: {what} and path factor of a sample depend on each other"
    if highest.agreement is Agreement.DISAGREES:
        return f"not explained by {highest.uses}"
    more = "" if highest.needed is None else f"; about {highest.needed:,} would tell"
    return f"cannot tell at this number of samples{more}"
