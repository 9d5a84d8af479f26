"""Correlations of a signal in time: spectrum, its slope at low frequencies, and autocorrelation time."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.fft
import scipy.optimize
import scipy.signal
from jaxtyping import Float64

from critlearn.dynamics.avalanches import as_activity, deviations
from critlearn.dynamics.criteria import BANDWIDTH, FLATTEST_FITTED, RESOLVED, SOKAL_WINDOW, STEEPEST_FITTED
from critlearn.errors import InvalidInputError
from critlearn.results import Result

_SEGMENTS: Final = 8
"""Stretches whose spectra are averaged for a picture; the slope is fitted to that of the whole signal."""

_FEWEST: Final = 72
"""Steps of a slope: 16 frequencies, by which white noise and a slope of 1 differ by three standard errors."""


@dataclass(frozen=True, repr=False)
class SpectralSlope(Result):
    """Slope beta of ``S(f) ~ f^-beta`` at low frequencies.

    Parameters
    ----------
    slope, standard_error
        Beta and its error by the asymptotic theory; NaN where there is none.
    band
        Frequencies of the fit, in cycles per step.
    bend
        Slope of the upper three quarters of the band less that of the lowest quarter.
    bend_error
        Error of that; a bend of several errors says that there is no power law in the band.
    reason
        Why there is no slope; None otherwise.
    """

    slope: float
    standard_error: float
    band: tuple[float, float]
    bend: float
    bend_error: float
    reason: str | None = None

    def summary(self) -> str:
        """One line: the slope, its band and how it bends."""
        if math.isnan(self.slope):
            return f"spectrum: {self.reason or 'no power at low frequencies'}"
        low, high = self.band
        return (
            f"spectrum ~ f^{-self.slope:.2f} +- {self.standard_error:.2f} for f in [{low:.2g}, {high:.2g}], bend "
            f"{self.bend:+.2f} +- {self.bend_error:.2f}"
        )


@dataclass(frozen=True, repr=False)
class AutocorrelationTime(Result):
    """Number of steps that are worth one independent step, ``1 + 2 sum rho(t)``.

    Parameters
    ----------
    time, standard_error
        The time and its error.
    resolved
        Whether the signal is longer than 50 of them; otherwise the time is a lower bound.
    """

    time: float
    standard_error: float
    resolved: bool

    def summary(self) -> str:
        """One line."""
        more = "" if self.resolved else ", at least: the series is too short"
        return f"autocorrelation time {self.time:.3g} +- {self.standard_error:.2g} steps{more}"


def power_spectrum(signal: Any) -> tuple[Float64[np.ndarray, " frequency"], Float64[np.ndarray, " frequency"]]:
    """Frequencies, in cycles per step, and spectral density by Welch's method, without frequency 0."""
    values = as_activity(signal)
    frequency, power = scipy.signal.welch(values, nperseg=max(values.size // _SEGMENTS, 2))
    return frequency[1:], power[1:]


def spectral_slope(signal: Any) -> SpectralSlope:
    """Fit the slope of the spectrum at low frequencies by the local Whittle likelihood (Robinson 1995).

    It is the likelihood of a periodogram, whose values scatter as much as their size; least squares on a logarithmic
    plot are biased. A signal with a slope above 1.2 is fitted by its increments, whose slope is smaller by 2; one with
    a slope below -0.6 by its sum over time, whose slope is larger by 2. Slopes from -3 to 3 are measured so; of steeper
    ones it says that they are.

    Raises
    ------
    InvalidInputError
        If the signal is not a finite one over time that changes, of 72 steps or more.
    """
    values = deviations(signal)
    if values.size < _FEWEST:
        raise InvalidInputError(f"a spectral slope needs at least {_FEWEST} steps; got {values.size}")
    number = int(values.size**BANDWIDTH)
    slope = _whittle(values, 1, number)
    added = 0.0
    if slope > STEEPEST_FITTED:
        values, added = np.diff(values), 2.0
        slope = _whittle(values, 1, number)
    elif slope < FLATTEST_FITTED:
        # The sum of a mean that is known with an error is a straight line.
        values, added = scipy.signal.detrend(np.cumsum(values)), -2.0
        slope = _whittle(values, 1, number)
    band = (1 / values.size, number / values.size)
    # What is steeper still is so after that, too.
    if (added > 0 and slope > STEEPEST_FITTED) or (added < 0 and slope < FLATTEST_FITTED):
        steeper = "3: take the increments" if added > 0 else "-3: take sums over time"
        return SpectralSlope(
            math.nan, math.nan, band, math.nan, math.nan, f"the slope is {'above' if added > 0 else 'below'} {steeper}"
        )
    quarter = number // 4
    low, high = _whittle(values, 1, quarter), _whittle(values, quarter + 1, number)
    bend_error = math.hypot(_error(1, quarter), _error(quarter + 1, number))
    return SpectralSlope(added + slope, _error(1, number), band, high - low, bend_error)


def _error(first: int, last: int) -> float:
    """Standard error of a slope by frequencies number `first` to `last`, by the spread of their logarithms.

    It goes to the ``m^-1/2`` of Robinson for the first m, and is larger for bands that do not begin at the first.
    """
    logs = np.log(np.arange(first, last + 1))
    return float(((logs - logs.mean()) ** 2).sum() ** -0.5)


def _whittle(values: np.ndarray, first: int, last: int) -> float:
    """Slope by frequencies number `first` to `last` of the periodogram."""
    power = np.abs(scipy.fft.rfft(values - values.mean()))[first : last + 1] ** 2
    # A trend without noise, or a strict period, has nothing at these frequencies.
    if not power.sum() > 0:
        return math.nan
    logs = np.log(np.arange(first, first + power.size))
    # Only the slope counts: frequencies and powers may be in any unit.
    logs, power = logs - logs.mean(), power / power.mean()

    def objective(slope: float) -> float:
        return float(np.log((np.exp(slope * logs) * power).mean()))

    return float(scipy.optimize.minimize_scalar(objective, bounds=(-2.5, 3.5), method="bounded").x)


def autocorrelation(signal: Any) -> Float64[np.ndarray, " lag"]:
    """Autocorrelation at lags 0, 1, ..., of the deviations from the mean."""
    values = deviations(signal)
    size = scipy.fft.next_fast_len(2 * values.size, real=True)
    spectrum = scipy.fft.rfft(values, size)
    covariance = scipy.fft.irfft(spectrum * spectrum.conj(), size)[: values.size]
    return covariance / covariance[0]


def autocorrelation_time(signal: Any) -> AutocorrelationTime:
    """Integrated autocorrelation time, summed up to a window, and its error.

    The window is five times the time that correlations would have with their signs left out: five times the time
    itself (Sokal 1997) of positive ones, and long enough for correlations that alternate or oscillate.

    >>> autocorrelation_time(np.random.default_rng(0).standard_normal(10_000)).resolved
    True
    """
    rho = autocorrelation(signal)
    sums, decay = (2 * np.cumsum(part) - 1 for part in (rho, np.abs(rho)))
    inside = np.arange(decay.size) >= SOKAL_WINDOW * decay
    window = int(np.argmax(inside)) if inside.any() else decay.size - 1
    resolved = bool(sums[window] > 0 and rho.size > RESOLVED * max(sums[window], decay[window]))
    if not resolved:
        # All lags together have the sum 0, as the mean is that of the series: the largest sum is the bound.
        window = int(np.argmax(sums))
    time = float(sums[window])
    error = abs(time) * math.sqrt(2 * (2 * window + 1) / rho.size)
    return AutocorrelationTime(time, error, resolved)
