"""Trend of the loss against its own scatter: whether a fall that matters can be excluded, however often it is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from arviz_stats.base import array_stats  # type: ignore[attr-defined]
from scipy.stats import t as student

from critlearn.equilibrium.criteria import EXCLUDED_FALL, FALSE_STATIONARY, LEAST_SCATTER, LOSS_WINDOW
from critlearn.errors import InvalidInputError
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class Trend(Result):
    """Fall of the loss per epoch over the last `LOSS_WINDOW` epochs, in units of the loss's own scatter.

    Parameters
    ----------
    fall
        Fall per epoch of the straight line through the losses, in standard deviations of the losses about it.
    bound
        Upper confidence bound of the fall.
    scatter
        Standard deviation of the losses about the line.
    """

    fall: float
    bound: float
    scatter: float

    @property
    def stationary(self) -> bool:
        """Whether a fall of `EXCLUDED_FALL` standard deviations per epoch is excluded."""
        return self.bound < EXCLUDED_FALL

    def summary(self) -> str:
        """Fall and its bound in one line."""
        allowed = "" if self.stationary else f", and {EXCLUDED_FALL:g} is not excluded"
        return f"the loss falls by {self.fall:.3f} of its scatter per epoch{allowed}"


_HALVES: Final = 20
"""Losses of which the split R-hat is computed."""


def loss_r_hat(losses: Sequence[float]) -> float | None:
    """Split R-hat of the last 20 losses, which compares their two halves; None if there are fewer, or it is infinite.

    It is shown beside the trend, and decides nothing: it refuses 17% of stationary series.
    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021), as implemented in arviz-stats.
    """
    last = np.asarray(losses[-_HALVES:], dtype=float)
    if len(last) < _HALVES or not np.isfinite(last).all():
        return None
    # A constant loss is stationary; its R-hat would be 0 / 0.
    if np.ptp(last) == 0:
        return 1.0
    # Split here, because arviz-stats refuses a single chain; the R-hat of the two halves is the split R-hat.
    with np.errstate(divide="ignore"):
        value = float(array_stats.rhat(last.reshape(2, -1), method="identity"))
    return value if math.isfinite(value) else None


def loss_trend(losses: Sequence[float], *, check: int = 1) -> Trend | None:
    """Trend of the last losses; None if there are too few.

    A straight line is fitted to the last 40 losses; the fall per epoch has a Student t distribution. The loss is
    stationary if a fall of 0.1 standard deviations per epoch is excluded at level ``0.1 / (check (check + 1))``: the
    levels of all checks of one training add up to 10%, so that a falling loss passes any of them in 10% at most.

    Parameters
    ----------
    losses
        Mean loss of each epoch.
    check
        Number of this check of the same series, counted from 1.

    Raises
    ------
    InvalidInputError
        If a loss is not finite.
    """
    if len(losses) < LOSS_WINDOW:
        return None
    last = np.asarray(losses[-LOSS_WINDOW:], dtype=float)
    if not np.isfinite(last).all():
        raise InvalidInputError("the losses must be finite: the last ones are not")
    # In units of the first loss, from which differences are formed, so that nothing overflows or cancels.
    scale = float(np.abs(last).max()) or 1.0
    values = (last - last[0]) / scale
    epoch = np.arange(LOSS_WINDOW) - (LOSS_WINDOW - 1) / 2
    slope = float(epoch @ values / (epoch @ epoch))
    residuals = values - values.mean() - slope * epoch
    freedom = LOSS_WINDOW - 2
    scatter = math.hypot(math.sqrt(residuals @ residuals / freedom), LEAST_SCATTER)
    error = 1 / math.sqrt(epoch @ epoch)
    level = FALSE_STATIONARY / (check * (check + 1))
    fall = -slope / scatter
    return Trend(fall, fall + float(student.isf(level, freedom)) * error, scatter * scale)
