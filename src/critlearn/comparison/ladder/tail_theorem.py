"""Tail theorem of a product (Breiman): when the exponent of a layer is that of the output, and depth does not matter.

For a fluctuation ``delta = e c``, an error of density ``p(e) ~ A e^-k`` times an independent path factor:
``p(delta) ~ A delta^-k E[c^(k - 1)]``, if that mean is finite (theory, tail theorem).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from critlearn.comparison.agreement import ONE_SIDED, Agreement, Bounds
from critlearn.comparison.criteria import MARGIN, TAIL
from critlearn.comparison.ladder.anatomy import Contribution, Exponent, contribution
from critlearn.comparison.ladder.halves import Halves
from critlearn.errors import InvalidInputError
from critlearn.numerics.window import Window
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class TailTheorem(Result):
    """Tail theorem held against the measured exponent of a quantity in a tail; what does not exist is None.

    Parameters
    ----------
    window
        Tail of the measured fluctuations.
    error
        Exponent k of the errors alone, on the window divided by the mean path factor; None where they have ended, as if
        k were minus infinity.
    path
        Exponent k2 of the path factor's density at the end that decides; None where its density ends there abruptly,
        as that of a path factor that is the same for all samples.
    end
        That end: ``small`` for k < 1, where ``E[c^(k - 1)]`` is finite if k2 < k, or ``large`` for k > 1, where it is
        if k2 > k.
    finite
        Whether the mean is finite; None if the errors of k and k2 leave it open.
    exponent
        What follows for the tail: k if the mean is finite, else k2.
    measured
        Exponent of the measured fluctuations there.
    agreement
        Whether the measured exponent is the one that follows.
    """

    derived_values = ("depth_matters",)

    window: Window
    error: Contribution | None
    path: Contribution | None
    end: str
    finite: bool | None
    exponent: float | None
    measured: Contribution
    agreement: Agreement

    @property
    def depth_matters(self) -> bool | None:
        """Whether path factors change the exponent in the tail; None if it is left open."""
        return None if self.finite is None else not self.finite

    def to_dict(self) -> dict[str, Any]:
        """Exponents with their standard errors, window and outcome as plain values."""
        parts = {"error": self.error, "path": self.path, "measured": self.measured}
        own = {name: None if part is None else part.to_dict() for name, part in parts.items()}
        return super().to_dict() | own

    def summary(self) -> str:
        """One sentence."""
        errors = "errors end before the tail" if self.error is None else f"errors have k = {self.error.value:.2f}"
        at = f"at their {self.end} end"
        paths = f"path factors end abruptly {at}" if self.path is None else f"path factors {self.path.value:.2f} {at}"
        measured = f"measured {self.measured.value:.2f}"
        if self.exponent is None:
            return f"in the tail {errors} and {paths}: cannot tell which of them rules; {measured}"
        rules = "the errors rule, depth does not matter" if self.finite else "the path factors rule"
        return f"in the tail {errors} and {paths}: {rules}, k = {self.exponent:.2f}; {measured}: {self.agreement}"


def tail_theorem(error: Exponent | None, paths: Halves, measured: Exponent, window: Window) -> TailTheorem | None:
    """Hold the tail theorem against a measured exponent; None where neither errors nor path factors have a tail.

    The law of the path factor in the tail of the errors is taken to be that of all samples.

    Parameters
    ----------
    error, measured
        Exponents of the errors and of the fluctuations on corresponding windows, with the influence of each group.
    paths
        Distribution of the path factor.
    window
        Tail of the fluctuations.
    """
    nothing = (0.0, np.zeros_like(measured[1]))
    # At k = 1 the mean is 1, whatever the path factor.
    end = "large" if error is not None and error[0] > 1 else "small"
    tail = _tail_exponent(paths, end)
    finite, ruling = _ruling(error, tail, end)
    if finite is not None and ruling is None:
        return None
    outcome = Agreement.CANNOT_TELL
    if ruling is not None:
        difference = contribution(ruling, measured)
        outcome = Bounds.of_error(difference.value, difference.standard_error).agreement(MARGIN)
    return TailTheorem(
        window,
        None if error is None else contribution(error, nothing),
        None if tail is None else contribution(tail, nothing),
        end,
        finite,
        None if ruling is None else ruling[0],
        contribution(measured, nothing),
        outcome,
    )


def _ruling(error: Exponent | None, tail: Exponent | None, end: str) -> tuple[bool | None, Exponent | None]:
    """Whether ``E[c^(k - 1)]`` is finite, and the exponent that rules; both None if that is left open."""
    if tail is None:
        return True, error
    if error is None:
        return False, tail
    apart = contribution(error, tail)
    beyond = apart.value if end == "small" else -apart.value
    if abs(beyond) <= ONE_SIDED * apart.standard_error:
        return None, None
    return beyond > 0, error if beyond > 0 else tail


def _tail_exponent(paths: Halves, end: str) -> Exponent | None:
    """Exponent of a path factor's density at an end, by the bounded fit; None if it ends there within a few bins."""
    mass = 0.5 * (paths.halves[0].mass + paths.halves[1].mass)
    below = np.concatenate([[0.0], np.cumsum(mass)])
    shares = TAIL if end == "small" else (1 - TAIL[1], 1 - TAIL[0])
    low, high = np.interp([share * below[-1] for share in shares], below, paths.edges)
    if not high > low:
        return None
    try:
        return paths.exponent(Window.from_logs(float(low), float(high)))
    except InvalidInputError:
        return None
