"""Mean size of avalanches of a duration, and the relation between the three exponents of crackling noise."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.dynamics.avalanches import Avalanches
from critlearn.dynamics.criteria import (
    CONSTANT_HEIGHT,
    GAMMA_RESOLVED,
    RELATION_FAILS,
    RELATION_HOLDS,
    RELATION_RESOLVED,
)
from critlearn.errors import InvalidInputError
from critlearn.inference import PowerLawFit
from critlearn.numerics.window import Window
from critlearn.results import Result

_BINS_PER_DECADE: Final = 10
_FEWEST_IN_BIN: Final = 10
"""Bins of durations, and avalanches without which the mean of one, and its error, are not known."""

_NORMAL: Final = 1.96
"""Half-width of a 95% interval in standard errors."""


@dataclass(frozen=True, eq=False, repr=False)
class MeanSize(Result):
    """Power gamma of ``<S>(T) ~ T^gamma``, with its errors.

    Parameters
    ----------
    exponent, standard_error
        Gamma and its error by the scatter of sizes; None with fewer than three durations.
    systematic_error
        Half the difference of the powers of the shorter and of the longer durations.
    durations, sizes, errors
        Mean duration of each bin, mean size in it, and the error of that.
    """

    exponent: float | None
    standard_error: float | None
    systematic_error: float
    durations: Float64[np.ndarray, " bin"]
    sizes: Float64[np.ndarray, " bin"]
    errors: Float64[np.ndarray, " bin"]

    bulky_fields = ("durations", "sizes", "errors")

    @property
    def total_error(self) -> float:
        """Both errors together."""
        return math.hypot(self.standard_error or 0.0, self.systematic_error)

    def summary(self) -> str:
        """One line: the power and its errors."""
        if self.exponent is None:
            return "mean size: too few durations"
        statistical = f"{self.standard_error:.2g} (statistical)"
        return f"mean size ~ T^{self.exponent:.2f} +- {statistical} +- {self.systematic_error:.2g} (along T)"


@dataclass(frozen=True, repr=False)
class CracklingRelation(Result):
    """Whether ``(tau_T - 1) / (tau_S - 1) = gamma``.

    Parameters
    ----------
    expected, expected_error
        Left-hand side by the exponents of durations and sizes; None where there is one without the other.
    measured, measured_error
        Gamma by mean sizes. Errors contain the systematic parts.
    """

    expected: float | None
    expected_error: float | None
    measured: float | None
    measured_error: float | None

    derived_values = ("deviation", "holds")

    @property
    def deviation(self) -> float | None:
        """Difference in standard errors; None where a side is not known."""
        if self.expected is None or self.measured is None:
            return None
        error = math.hypot(self.expected_error or 0.0, self.measured_error or 0.0)
        return (self.expected - self.measured) / error if error > 0 else None

    @property
    def holds(self) -> bool | None:
        """Whether it holds within two errors.

        None between two and three, where a side is not known, and where it would hold whatever there is: with errors
        that tell nothing apart, or a gamma of 1, which avalanches of a constant height have.
        """
        deviation = self.deviation
        if deviation is None or RELATION_HOLDS < abs(deviation) < RELATION_FAILS:
            return None
        if abs(deviation) >= RELATION_FAILS:
            return False
        distance = abs((self.measured or 0.0) - 1)
        error = math.hypot(self.expected_error or 0.0, self.measured_error or 0.0)
        resolved = error <= RELATION_RESOLVED * distance and (self.measured_error or 0.0) <= GAMMA_RESOLVED * distance
        return True if resolved and distance > CONSTANT_HEIGHT else None

    def summary(self) -> str:
        """One line: both sides and their difference."""
        if self.deviation is None:
            return "crackling relation: not enough avalanches"
        return (
            f"crackling relation: (tau_T - 1)/(tau_S - 1) = {self.expected:.2f} +- {self.expected_error:.2f}, gamma = "
            f"{self.measured:.2f} +- {self.measured_error:.2f} ({self.deviation:+.1f} errors apart)"
        )


def mean_size(avalanches: Avalanches, window: Window | None = None) -> MeanSize:
    """Fit the mean size of avalanches as a power of their duration, by weighted least squares on bins.

    The errors of bins are known from the scatter in them, and widened where bins scatter more about the power.

    Parameters
    ----------
    avalanches
        The avalanches.
    window
        Durations to fit; all if None.

    Raises
    ------
    InvalidInputError
        If these are no avalanches.
    """
    if not isinstance(avalanches, Avalanches):
        raise InvalidInputError(f"mean sizes are of what find_avalanches returns; got {type(avalanches).__name__}")
    durations, sizes = avalanches.durations.astype(np.float64), avalanches.sizes
    if window is not None:
        kept = (durations >= window.lo) & (durations <= window.hi)
        durations, sizes = durations[kept], sizes[kept]
    time, size, error = _binned(durations, sizes)
    if time.size < 3:
        return MeanSize(None, None, 0.0, time, size, error)
    x, y, weight = np.log(time), np.log(size), (size / error) ** 2
    slope, slope_error = _line(x, y, weight)
    half = time.size // 2
    systematic = 0.0
    if half >= 2:
        low, high = (_line(x[part], y[part], weight[part]) for part in (slice(0, half), slice(half, None)))
        # What the errors of the halves give by chance is no change along T.
        chance = low[1] ** 2 + high[1] ** 2
        systematic = 0.5 * math.sqrt(max((high[0] - low[0]) ** 2 - chance, 0.0))
    return MeanSize(slope, slope_error, systematic, time, size, error)


def crackling_relation(sizes: PowerLawFit, durations: PowerLawFit, mean: MeanSize) -> CracklingRelation:
    """Compare the exponents of three fits, with their systematic errors.

    Source: Sethna, Dahmen and Myers 2001.
    """
    known = mean.exponent is not None
    measured, measured_error = mean.exponent, (mean.total_error if known else None)
    if sizes.exponent is None or durations.exponent is None or not sizes.exponent > 1:
        return CracklingRelation(None, None, measured, measured_error)
    upper, lower = durations.exponent - 1, sizes.exponent - 1
    expected = upper / lower
    error = math.hypot(total_error(durations) / lower, expected * total_error(sizes) / lower)
    return CracklingRelation(expected, error, measured, measured_error)


def total_error(fit: PowerLawFit) -> float:
    """Standard error of an exponent that contains the systematic part."""
    low, high = fit.ci95_total or fit.ci95 or (math.nan, math.nan)
    return (high - low) / (2 * _NORMAL)


def _binned(durations: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean duration, mean size and its error in bins of durations; short ones are bins of their own."""
    if not durations.size:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    index = np.round(np.log10(durations) * _BINS_PER_DECADE).astype(np.int64)
    number = np.bincount(index)
    with np.errstate(invalid="ignore", divide="ignore"):
        time = np.bincount(index, durations) / number
        size = np.bincount(index, sizes) / number
        variance = np.bincount(index, (sizes - size[index]) ** 2) / (number - 1)
    kept = number >= _FEWEST_IN_BIN
    error = np.sqrt(variance[kept] / number[kept])
    # Sizes that are all the same have no scatter: rounding is the error then.
    return time[kept], size[kept], np.maximum(error, 1e-3 * size[kept])


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Slope of a straight line by weighted least squares, and its error."""
    centre = np.average(x, weights=weight)
    spread = float((weight * (x - centre) ** 2).sum())
    slope = float((weight * (x - centre) * y).sum()) / spread
    residual = y - np.average(y, weights=weight) - slope * (x - centre)
    excess = float((weight * residual**2).sum()) / max(len(x) - 2, 1)
    return slope, math.sqrt(max(excess, 1.0) / spread)
