"""A power law on its window as a distribution, with the methods that users of SciPy know."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.power_law_mass import Logs, PowerLawMass
from critlearn.inference.laws.tabulated_mass import TabulatedMass
from critlearn.numerics.window import Window, exp_or_infinity, format_exp
from critlearn.results import Result

_SLACK: Final = 1e-12
"""Rounding, relative to ``ln x``, by which a number may miss an end of the window and still be that end."""

Values = Any
"""Number for a number, array for an array, as SciPy returns them."""


@dataclass(frozen=True, repr=False, init=False)
class FittedLaw(Result):
    """Law ``p(x) ~ x^-k``, perhaps times ``exp(-x / scale)``, normalised on its window.

    As SciPy has it: numbers give numbers and arrays arrays; the density is 0 outside the window; ``cdf`` is
    ``P(X <= x)`` and ``ccdf``, SciPy's ``sf``, is ``P(X > x) = 1 - cdf``, exact where it is far below the resolution of
    1. The law is that of values on the window, as `powerlaw`'s is of values above its ``xmin``.

    Parameters
    ----------
    exponent
        ``k``, any real number if both ends are finite.
    lower, upper
        Ends of the window; 0 and infinity are laws without an end there. Of a law on integers, the first and the last.
    scale
        Scale of an exponential cut-off; infinite without one.
    discrete
        Whether it is a law on integers: ``pdf`` is then the probability of ``x``.

    Raises
    ------
    InvalidInputError
        If the ends are not ascending, or a law of this exponent cannot be normalised without an end.

    >>> law = FittedLaw(2.5, 1.0)
    >>> round(float(law.ppf(0.5)), 9), law.pdf([0.5, 1.0]).tolist(), f"{law.ccdf(1e100):.3g}"
    (1.587401052, [0.0, 1.5], '1e-150')
    """

    exponent: float
    log_lower: float
    log_upper: float
    log_scale: float
    discrete: bool

    def __init__(
        self,
        exponent: float,
        lower: float,
        upper: float = math.inf,
        *,
        scale: float = math.inf,
        discrete: bool = False,
    ) -> None:
        if not (0 <= lower < math.inf and lower <= upper and scale > 0):
            raise InvalidInputError(
                f"a law needs 0 <= lower < upper and a positive scale; got {lower!r}, {upper!r} and {scale!r}"
            )
        if discrete:
            lower, upper = math.ceil(lower), math.floor(upper) if math.isfinite(upper) else upper
        logs = (math.log(value) if value > 0 else -math.inf for value in (lower, upper, scale))
        self._set(exponent, *logs, discrete=discrete)

    @classmethod
    def from_logs(
        cls,
        exponent: float,
        log_lower: float,
        log_upper: float = math.inf,
        *,
        log_scale: float = math.inf,
        discrete: bool = False,
    ) -> "FittedLaw":
        """Law whose window and scale are given by natural logarithms, as they may be no floats."""
        law = object.__new__(cls)
        law._set(exponent, log_lower, log_upper, log_scale, discrete=discrete)
        return law

    def _set(self, exponent: float, log_lower: float, log_upper: float, log_scale: float, *, discrete: bool) -> None:
        """Set the fields, and raise if they are no law."""
        values = (float(exponent), float(log_lower), float(log_upper), float(log_scale))
        for name, value in zip(("exponent", "log_lower", "log_upper", "log_scale"), values, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "discrete", bool(discrete))
        ascending = log_lower <= log_upper if discrete else log_lower < log_upper
        if not (math.isfinite(exponent) and ascending) or math.isnan(log_scale):
            raise InvalidInputError(f"a law needs an exponent and ascending ends; got {self.summary()}")
        if discrete and log_lower < 0:
            raise InvalidInputError(f"a law on integers begins at 1 or above; got {self.summary()}")
        if math.isinf(log_upper) and math.isinf(log_scale) and not exponent > 1:
            raise InvalidInputError(f"a power law to infinity needs an exponent above 1; got {self.summary()}")
        if math.isinf(log_lower) and not exponent < 1:
            raise InvalidInputError(f"a power law down to zero needs an exponent below 1; got {self.summary()}")

    @property
    def lower(self) -> float:
        """Lower end of the window; 0.0 where it is below the smallest float."""
        return self._size(self.log_lower)

    @property
    def upper(self) -> float:
        """Upper end of the window; infinite where it is above the largest float."""
        return self._size(self.log_upper)

    def _size(self, log_value: float) -> float:
        """Size of a logarithm, an integer for a law on integers."""
        value = exp_or_infinity(log_value)
        return float(round(value)) if self.discrete and math.isfinite(value) else value

    @cached_property
    def _mass(self) -> PowerLawMass | TabulatedMass:
        """Masses in ``u = ln x``; of integers, between the half-integers around them."""
        ends = self.log_lower, self.log_upper
        if self.discrete:
            last = math.log(self.upper + 0.5) if math.isfinite(self.upper) else self.log_upper
            return TabulatedMass(self.exponent, math.log(self.lower - 0.5), last, self.log_scale, discrete=True)
        if math.isfinite(self.log_scale):
            return TabulatedMass(self.exponent, *ends, self.log_scale)
        return PowerLawMass(1 - self.exponent, *ends)

    def log_density(self, log_x: Logs) -> Logs:
        """Logarithm of the density in ``u = ln x``; of ``x P(x)`` for a law on integers."""
        return np.asarray(self._mass.log_density(log_x) - self._mass.log_total)

    def log_ccdf(self, log_x: Logs) -> Logs:
        """``ln P(X > x)`` by ``ln x``, for sizes that are no floats."""
        above = np.minimum(self._mass.log_above(self._clipped(log_x)) - self._mass.log_total, 0.0)
        return np.where(log_x < self.log_lower, 0.0, above)

    def pdf(self, x: ArrayLike) -> Values:
        """Density at ``x``; for a law on integers the probability of ``x``, 0 between integers."""
        return _elementwise(self._pdf, x)

    def _pdf(self, x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        u = _log(x)
        shown = np.isfinite(u)
        if self.discrete:
            shown &= x == np.rint(x)
        inside = np.clip(np.where(shown, u, self._anchor), self.log_lower, self.log_upper)
        # An end but for rounding is the end.
        shown &= np.abs(inside - np.where(shown, u, 0.0)) <= _SLACK * np.maximum(1.0, np.abs(inside))
        with np.errstate(over="ignore"):
            return np.where(shown, np.exp(self.log_density(inside) - np.where(shown, u, 0.0)), 0.0)

    def pmf(self, x: ArrayLike) -> Values:
        """Probability of the integer ``x``.

        Raises
        ------
        InvalidInputError
            If the law is continuous.
        """
        if not self.discrete:
            raise InvalidInputError("a continuous law has a density, pdf, and no pmf")
        return self.pdf(x)

    def cdf(self, x: ArrayLike) -> Values:
        """``P(X <= x)``."""
        return _elementwise(self._cdf, x)

    def _cdf(self, x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        return np.exp(np.minimum(self._mass.log_below(self._clipped(_log(x))) - self._mass.log_total, 0.0))

    def ccdf(self, x: ArrayLike) -> Values:
        """``P(X > x)``: SciPy's ``sf``."""
        return _elementwise(lambda values: np.exp(self.log_ccdf(_log(values))), x)

    def ppf(self, q: ArrayLike) -> Values:
        """Quantile; for integers the smallest one whose ``cdf`` is at least ``q``, and for 0 the one before all."""
        return _elementwise(self._ppf, q)

    def _ppf(self, q: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        with np.errstate(over="ignore"):
            x = np.exp(self.log_ppf(q))
        # Through the logarithm an integer comes back but for rounding.
        return np.rint(x) if self.discrete else x

    def log_ppf(self, q: Float64[np.ndarray, "..."]) -> Logs:
        """``ln`` of the quantile, for windows below the smallest float; NaN where ``q`` is no probability."""
        known = (q >= 0) & (q <= 1)
        share = np.where(known, q, 0.5)
        u = self._mass.quantile(share)
        if self.discrete:
            with np.errstate(divide="ignore"):
                u = np.log(self._integer_quantile(share, u))
        else:
            u = np.clip(u, self.log_lower, self.log_upper)
            u = np.where(share == 0, self.log_lower, np.where(share == 1, self.log_upper, u))
        return np.where(known, u, np.nan)

    def _integer_quantile(self, share: Float64[np.ndarray, "..."], u: Logs) -> Float64[np.ndarray, "..."]:
        """Smallest integer whose ``cdf`` is at least a share, next to the place where the integral reaches it."""
        with np.errstate(over="ignore"):
            x = np.clip(np.rint(np.exp(u)), self.lower, self.upper)
        # An integral crosses the share in the right integer or, by rounding, in its neighbour.
        x = np.where(self._cdf(x) < share, np.minimum(x + 1, self.upper), x)
        x = np.where((x > self.lower) & (self._cdf(x - 1) >= share), x - 1, x)
        return np.where(share == 0, self.lower - 1, np.where(share == 1, self.upper, x))

    def rvs(
        self, size: int | tuple[int, ...] | None = None, random_state: int | np.random.Generator | None = None
    ) -> Values:
        """Draw values, one number if no size is given; a seed or a generator makes them the same each time."""
        return self.ppf(np.random.default_rng(random_state).random(size))

    @property
    def _anchor(self) -> float:
        """Place inside the window."""
        return self.log_lower if math.isfinite(self.log_lower) else min(self.log_upper, self.log_scale)

    def _clipped(self, u: Logs) -> Logs:
        """``u`` on the window; for integers at the half-integer after the last that is not above ``exp(u)``."""
        if not self.discrete:
            return np.clip(u, self.log_lower, self.log_upper)
        with np.errstate(over="ignore"):
            x = np.exp(np.clip(u, -1.0, None))
        # ln and exp of an integer may fall short of it by rounding.
        return np.log(np.clip(np.floor(x * (1 + _SLACK)), self.lower - 1, self.upper) + 0.5)

    def summary(self) -> str:
        """One line, e.g. ``x^-1.5 on [0.1, inf]``."""
        ends = ("0" if end == -math.inf else "inf" if end == math.inf else format_exp(end) for end in
                (self.log_lower, self.log_upper))  # fmt: skip
        cutoff = f" exp(-x/{format_exp(self.log_scale)})" if math.isfinite(self.log_scale) else ""
        kind = " (integers)" if self.discrete else ""
        return f"x^-{self.exponent:.4g}{cutoff} on [{', '.join(ends)}]{kind}"


def law_on_window(
    exponent: float, window: Window, counts: GroupedCounts, *, log_scale: float | None = None
) -> FittedLaw:
    """Law of a fit to counts on a window of their cells: open where the fit has no end.

    Parameters
    ----------
    exponent, window, counts
        The fit, and what was fitted.
    log_scale
        ``ln`` of the scale of a cut-off, with which the law goes on from the lower end to infinity.
    """
    start, stop = counts.cells_of(window)
    below, above = counts.is_open(start, stop)
    first = counts.cells.first_integer
    if first is None:
        low, high = float(counts.edges[start]), float(counts.edges[stop])
    else:
        low, high = math.log(first[start]), math.log(first[stop] - 1)
    return FittedLaw.from_logs(
        exponent,
        -math.inf if below and first is None else low,
        math.inf if above or log_scale is not None else high,
        log_scale=math.inf if log_scale is None else log_scale,
        discrete=first is not None,
    )


def _log(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Logarithms, ``-inf`` for what is not positive."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(np.nan_to_num(x, nan=1.0, posinf=np.inf), 0.0))


def _elementwise(function: Callable[[np.ndarray], np.ndarray], x: ArrayLike) -> Values:
    """Values of a function of flat arrays for numbers and arrays of any shape; NaN for NaN."""
    values = np.asarray(x, dtype=np.float64)
    flat = values.ravel()
    return np.where(np.isnan(flat), np.nan, function(flat)).reshape(values.shape)[()]
