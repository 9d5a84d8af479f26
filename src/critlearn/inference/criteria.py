"""How a window is tested: the tolerance of practical equivalence, and the replicates of the tests of significance."""

import math
from dataclasses import dataclass
from typing import Final

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, check_integer

TOLERANCE: Final = 0.05
"""How far the local exponent may be from a constant to count as one in practice."""


@dataclass(frozen=True)
class Criteria:
    """Settings of the two criteria.

    Parameters
    ----------
    tolerance
        Of practical equivalence.
    replicates
        Of the p-value on the window as it is, and of the bootstrap over groups (1,000 or more for intervals).
    selection_replicates
        If positive, the p-value of a window found by significance repeats the search in that many replicates.

    Raises
    ------
    InvalidInputError
        If the tolerance is not positive, or replicates are no integers or fewer than 10 (those of the selection
        may be 0).
    """

    tolerance: float = TOLERANCE
    replicates: int = 400
    selection_replicates: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        for name, given in (("replicates", self.replicates), ("selection_replicates", self.selection_replicates)):
            check_integer(name, given)
        if not 0 < as_number(self.tolerance) < math.inf:
            raise InvalidInputError(f"the tolerance must be positive; got {self.tolerance}")
        if self.replicates < 10:
            raise InvalidInputError(f"a bootstrap needs at least 10 replicates; got {self.replicates}")
        if self.selection_replicates != 0 and self.selection_replicates < 10:
            raise InvalidInputError(
                f"a selection is repeated 10 times or more, or not at all; got {self.selection_replicates}"
            )


DEFAULT_CRITERIA: Final = Criteria()
