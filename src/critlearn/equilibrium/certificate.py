"""Certificate of local learning equilibrium: what was found, and why it is or is not one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from arviz_stats.base import array_stats  # type: ignore[attr-defined]

from critlearn.equilibrium.criteria import EXCEPTIONS, LARGEST_R_HAT, LOSS_WINDOW, TOLERANCE
from critlearn.results import Result


class Status(StrEnum):
    """Outcome of an approach to equilibrium."""

    EQUILIBRIUM = "equilibrium"
    SEPARABLE = "separable"
    NOT_STATIONARY = "not stationary"
    DRIFTING = "drifting"


@dataclass(frozen=True, repr=False)
class Certificate(Result):
    """Whether a system is at local learning equilibrium, and the evidence.

    Parameters
    ----------
    status
        The outcome.
    reason
        The same in a sentence.
    fraction
        Share of variables that are not frozen with ``|D| <= tolerance * S``.
    frozen
        Number of variables that no sample moves; they are excluded.
    epochs
        Epochs of training.
    r_hat
        Split R-hat of the last losses; None if there were too few.
    tolerance, exceptions
        What was asked for.
    """

    status: Status
    reason: str
    fraction: float
    frozen: int
    epochs: int
    r_hat: float | None
    tolerance: float = TOLERANCE
    exceptions: float = EXCEPTIONS

    @property
    def certified(self) -> bool:
        """Whether the system is at equilibrium."""
        return self.status is Status.EQUILIBRIUM

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {
            "certified": self.certified,
            "status": str(self.status),
            "reason": self.reason,
            "fraction": self.fraction,
            "frozen": self.frozen,
            "epochs": self.epochs,
            "r_hat": self.r_hat,
            "tolerance": self.tolerance,
        }

    def summary(self) -> str:
        """One line."""
        return f"{'at equilibrium' if self.certified else 'not at equilibrium'}: {self.reason}"


def loss_r_hat(losses: Sequence[float]) -> float | None:
    """Split R-hat of the last `LOSS_WINDOW` losses, halves against each other; None if there are fewer.

    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021), as implemented in arviz-stats.
    """
    if len(losses) < LOSS_WINDOW:
        return None
    last = np.array(losses[-LOSS_WINDOW:])
    if not np.isfinite(last).all():
        return None
    if np.ptp(last) == 0:
        return 1.0
    # The split is made here: arviz-stats refuses a single chain, and the R-hat of its halves is the split one.
    with np.errstate(divide="ignore"):
        value = float(array_stats.rhat(last.reshape(2, -1), method="identity"))
    return value if math.isfinite(value) else None


def certify(
    *,
    fraction: float,
    frozen: int,
    losses: Sequence[float],
    separated: bool,
    tolerance: float = TOLERANCE,
    exceptions: float = EXCEPTIONS,
) -> Certificate:
    """Judge a state of training.

    Parameters
    ----------
    fraction, frozen
        From `Moments`.
    losses
        Mean loss of each epoch so far.
    separated
        Whether every sample is on the right side of an output that saturates, for some time.
    tolerance, exceptions
        Tolerance of the drift, and the share of variables that may exceed it.
    """
    r_hat, epochs = loss_r_hat(losses), len(losses)
    stationary = r_hat is not None and r_hat <= LARGEST_R_HAT
    shown = "undefined" if r_hat is None else f"{r_hat:.3f}"
    moving = f"{fraction:.1%} of the variables have |drift| <= {tolerance:g} of their fluctuation"
    if separated and not (stationary and fraction >= 1 - exceptions):
        status = Status.SEPARABLE
        reason = (
            "separable: every sample is on the right side, so that all pull the same way and the data alone have no "
            f"finite equilibrium (split R-hat of the loss {shown}; {moving})"
        )
    elif fraction < 1 - exceptions:
        status = Status.DRIFTING
        reason = f"drifting: only {moving}, {1 - exceptions:.0%} are needed"
    elif not stationary:
        status = Status.NOT_STATIONARY
        reason = f"not stationary: the loss of the last {LOSS_WINDOW} epochs still changes (split R-hat {shown})"
    else:
        status = Status.EQUILIBRIUM
        reason = f"{moving}, and the loss is stationary (split R-hat {shown})"
    return Certificate(status, reason, fraction, frozen, epochs, r_hat, tolerance, exceptions)
