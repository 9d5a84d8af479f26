"""Certificate of local learning equilibrium: the outcome of a state of training, and its evidence."""

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
    """Certificate that a system is, or is not, at local learning equilibrium, with the evidence.

    Parameters
    ----------
    status
        The outcome.
    reason
        The outcome in a sentence.
    fraction
        Share of variables with ``|D| <= tolerance * S`` among those that are not frozen.
    frozen
        Number of variables that no sample moves, which are excluded.
    epochs
        Epochs of training.
    r_hat
        Split R-hat of the last losses; None if there were too few.
    tolerance, exceptions
        Criteria that were used.
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
        """Outcome and reason in one line."""
        return f"{'at equilibrium' if self.certified else 'not at equilibrium'}: {self.reason}"


def loss_r_hat(losses: Sequence[float]) -> float | None:
    """Split R-hat of the last `LOSS_WINDOW` losses, which compares their two halves; None if there are fewer.

    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021), as implemented in arviz-stats.
    """
    if len(losses) < LOSS_WINDOW:
        return None
    last = np.array(losses[-LOSS_WINDOW:])
    if not np.isfinite(last).all():
        return None
    # A constant loss is stationary; its R-hat would be 0 / 0.
    if np.ptp(last) == 0:
        return 1.0
    # Split here, because arviz-stats refuses a single chain; the R-hat of the two halves is the split R-hat.
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
    """Certify a state of training: equilibrium, separable, drifting or not stationary.

    Source: theory, local learning equilibrium.

    Parameters
    ----------
    fraction, frozen
        Share of variables at equilibrium, and number of frozen ones, from `Moments`.
    losses
        Mean loss of each epoch so far.
    separated
        Whether every sample has been classified correctly, by an output that saturates, for some time.
    tolerance, exceptions
        Tolerance of the drift, and the share of variables that may exceed it.
    """
    r_hat, epochs = loss_r_hat(losses), len(losses)
    stationary = r_hat is not None and r_hat <= LARGEST_R_HAT
    shown = "undefined" if r_hat is None else f"{r_hat:.3f}"
    moving = f"{fraction:.1%} of the variables have |drift| <= {tolerance:g} of their fluctuation"
    # Separated data that meet both criteria are certified all the same.
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
