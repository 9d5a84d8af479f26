"""Branching ratio of an activity, by an estimator that does not mind that only a part of the units is seen."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.fft
import scipy.optimize
from jaxtyping import Float64

from critlearn.dynamics.avalanches import as_activity, deviations
from critlearn.dynamics.criteria import BRANCHING_BLOCKS, LEAST_CORRELATION, NOISE, REPLICATES, SINGLE_DECAY
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import check_seed
from critlearn.results import Result

_FEWEST: Final = 24
"""Steps of a ratio: two stretches of time, the quarter of each of which has the two lags that a decay needs."""


@dataclass(frozen=True, eq=False, repr=False)
class BranchingRatio(Result):
    """Ratio m of ``<A(t+1)> = m A(t) + h``, from the decay of regression slopes with the lag.

    Parameters
    ----------
    ratio, ci95
        m and its interval by a bootstrap over stretches of time; None without correlations.
    naive
        Slope at lag 1, which is m only where every unit is seen.
    slopes, amplitude
        Regression slopes ``r_k = amplitude m^k`` at lags 1, 2, ...
    least_slope
        Slope that would have been noticed: four errors of a correlation.
    early, late
        Ratio of the first half of the lags alone, and of the second; None of fewer than four lags.
    reason
        Why there is no ratio; None otherwise.
    """

    ratio: float | None
    ci95: tuple[float, float] | None
    naive: float
    amplitude: float | None
    slopes: Float64[np.ndarray, " lag"]
    least_slope: float
    reason: str | None = None
    early: float | None = None
    late: float | None = None

    bulky_fields = ("slopes",)
    derived_values = ("relaxation_time", "is_single")

    @property
    def relaxation_time(self) -> float | None:
        """Steps ``-1 / ln m`` in which a perturbation decays; None without a ratio, or with one of 1 and more."""
        return -1 / math.log(self.ratio) if self.ratio is not None and 0 < self.ratio < 1 else None

    @property
    def is_single(self) -> bool | None:
        """Whether both halves of the lags decay alike, so that there is one ratio; None of fewer than four lags."""
        if self.early is None or self.late is None:
            return None
        rates = sorted(-math.log(min(max(value, 1e-300), 1 - 1e-12)) for value in (self.early, self.late))
        return rates[1] <= SINGLE_DECAY * rates[0]

    def summary(self) -> str:
        """One line: the ratio, its interval and what lag 1 alone would give."""
        if self.ratio is None or self.ci95 is None:
            return f"branching ratio: none, {self.reason}"
        low, high = self.ci95
        more = (
            "" if self.is_single is not False else f"; {self.early:.3f} early and {self.late:.3f} late: not one ratio"
        )
        return f"branching ratio {self.ratio:.3f} [{low:.3f}, {high:.3f}] (lag 1 alone: {self.naive:.3f}{more})"


def branching_ratio(activity: Any, seed: int = 0) -> BranchingRatio:
    """Estimate the branching ratio by multistep regression (Wilting and Priesemann 2018).

    Where a share of the units is seen, every slope ``r_k`` shrinks by the same factor: their decay ``m^k`` does not
    change. Any process that decays exponentially has such a ratio, branching or not.

    Raises
    ------
    InvalidInputError
        If the activity is not a finite signal that changes, of 24 steps or more, or the seed not an integer from 0 on.
    """
    check_seed(seed)
    signal = as_activity(activity)
    if signal.size < _FEWEST:
        raise InvalidInputError(f"a branching ratio needs at least {_FEWEST} steps; got {signal.size}")
    blocks = min(BRANCHING_BLOCKS, max(signal.size // 40, 2))
    covariance = _lagged_products(signal, blocks)
    slopes = _slopes(covariance.sum(axis=0))
    naive, least = float(slopes[0]), NOISE * signal.size**-0.5
    ends = np.flatnonzero(slopes < max(LEAST_CORRELATION * naive, least))
    lags = int(ends[0]) if ends.size else slopes.size
    if lags < 2:
        reason = (
            f"neighbouring steps are correlated negatively ({naive:.2f})"
            if naive < -least
            else "neighbouring steps are not correlated beyond their error at two lags"
        )
        return BranchingRatio(None, None, naive, None, slopes[: max(lags, 1)], least, reason)
    amplitude, ratio = _decay(slopes[:lags], (1.0, 0.9))
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, blocks, (REPLICATES, blocks))
    found = [_decay(_slopes(covariance[chosen].sum(axis=0))[:lags], (amplitude, ratio))[1] for chosen in drawn]
    low, high = np.quantile(found, [0.025, 0.975])
    early = late = None
    if lags >= 4:
        early, late = (_decay(part, (amplitude, ratio))[1] for part in (slopes[: lags // 2], slopes[lags // 2 : lags]))
    interval = (float(low), float(high))
    return BranchingRatio(ratio, interval, naive, amplitude, slopes[:lags], least, early=early, late=late)


def _lagged_products(signal: np.ndarray, blocks: int) -> np.ndarray:
    """Mean products of deviations at each lag, by stretch of time: shape (block, lag)."""
    length = signal.size // blocks
    # The first block of a series with a trend has another mean than the last: the common one makes that a correlation.
    pieces = deviations(signal)[: blocks * length].reshape(blocks, length)
    size = scipy.fft.next_fast_len(2 * length, real=True)
    spectrum = scipy.fft.rfft(pieces, size, axis=1)
    products = scipy.fft.irfft(spectrum * spectrum.conj(), size, axis=1)[:, : max(length // 4, 2)]
    return products / (length - np.arange(products.shape[1]))


def _slopes(covariance: np.ndarray) -> np.ndarray:
    return covariance[1:] / covariance[0] if covariance[0] > 0 else np.zeros(covariance.size - 1)


def _decay(slopes: np.ndarray, start: tuple[float, float]) -> tuple[float, float]:
    """Amplitude and ratio of ``amplitude ratio^k``, k = 1, 2, ..., by least squares; of two slopes exactly."""
    lags = np.arange(1, slopes.size + 1)

    def residual(given: np.ndarray) -> np.ndarray:
        return given[0] * given[1] ** lags - slopes

    def slope(given: np.ndarray) -> np.ndarray:
        return np.stack([given[1] ** lags, given[0] * lags * given[1] ** (lags - 1)], axis=1)

    # A ratio above 1 can be of a series that grows; lags of thousands must not overflow.
    high = 1 + 5 / lags[-1]
    found = scipy.optimize.least_squares(
        residual, [start[0], min(start[1], high)], slope, bounds=([0.0, 0.0], [np.inf, high * (1 + 1e-9)])
    )
    return float(found.x[0]), float(found.x[1])
