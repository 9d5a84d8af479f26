"""Trend of the loss against its own scatter: whether a fall that matters can be excluded, however often it is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from arviz_stats.base import array_stats  # type: ignore[attr-defined]
from scipy.special import nctdtrinc

from critlearn.equilibrium.criteria import EXCLUDED_FALL, FALSE_STATIONARY, LEAST_SCATTER, LOSS_WINDOW
from critlearn.errors import InvalidInputError
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class Trend(Result):
    """Fall of the loss per epoch over the last `LOSS_WINDOW` epochs, in units of the loss's own scatter.

    Parameters
    ----------
    fall
        Fall per epoch of the straight line through the losses, in units of `scatter`.
    bound
        Upper confidence bound of the fall.
    scatter
        Standard deviation of the losses: that about the line, or that from the differences of successive ones if it is
        less.
    """

    fall: float
    bound: float
    scatter: float

    @property
    def stationary(self) -> bool:
        """Whether a fall of `EXCLUDED_FALL` standard deviations per epoch is excluded, and as fast a rise."""
        return self.bound < EXCLUDED_FALL and self.fall > -EXCLUDED_FALL

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

    A straight line is fitted to the last 60 losses. Its fall per epoch over the scatter has a noncentral t law:
    the scatter is estimated, too. It is that of successive differences, as the bend of a loss that fell fast is no
    scatter, or that about the line, where successive losses swing. The loss is stationary if a fall of 0.1 standard
    deviations per epoch is excluded at level ``0.1 / (check (check + 1))``: the levels of all checks of one training
    add up to 10%, so that a falling loss passes any of them in 10% at most. Source: J. von Neumann, Annals of
    Mathematical Statistics 12, 367 (1941), for the differences.

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
    last = np.asarray(losses[-LOSS_WINDOW:], dtype=float)
    if not np.isfinite(last).all():
        raise InvalidInputError("the losses must be finite: the last ones are not")
    if len(last) < LOSS_WINDOW:
        return None
    # In units of the largest, as differences from the first, so that nothing overflows.
    scale = float(np.abs(last).max()) or 1.0
    values = last / scale - last[0] / scale
    slope = float(_EPOCH @ values / (_EPOCH @ _EPOCH))
    differences = np.diff(values - slope * _EPOCH)
    residual = values - values.mean() - slope * _EPOCH
    squares = min(differences @ differences / _EXPECTED, residual @ residual / (LOSS_WINDOW - 2))
    scatter = math.hypot(math.sqrt(squares), LEAST_SCATTER)
    error = 1 / math.sqrt(_EPOCH @ _EPOCH)
    level = FALSE_STATIONARY / (check * (check + 1))
    fall = -slope / scatter
    return Trend(fall, _bound(fall / error, level) * error, scatter * scale)


def _bound(ratio: float, level: float) -> float:
    """Noncentrality that a ratio of slope to its error excludes at a level; far out it is proportional to the ratio."""
    near = min(max(ratio, -_FAR), _FAR)
    return float(nctdtrinc(_FREEDOM, level, near)) * (ratio / near if near else 1.0)


_EPOCH: Final = np.arange(LOSS_WINDOW) - (LOSS_WINDOW - 1) / 2

_FAR: Final = 100.0
"""Ratio of slope to error beyond which only the scatter's own error counts."""


def _of_differences() -> tuple[float, float]:
    """Expectation of the sum of squared differences of white noise about its line, and the degrees of freedom.

    The sum is a quadratic form of the noise; it has about a chi-squared distribution of the same variance
    (Satterthwaite, 1946).
    """
    lines = np.column_stack([np.ones(LOSS_WINDOW), _EPOCH])
    residual = np.eye(LOSS_WINDOW) - lines @ np.linalg.solve(lines.T @ lines, lines.T)
    form = np.diff(residual, axis=0).T @ np.diff(residual, axis=0)
    return float(np.trace(form)), float(np.trace(form) ** 2 / np.trace(form @ form))


_EXPECTED, _FREEDOM = _of_differences()
