"""Densities of inputs and margins in one dimension, which predictions push forward."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Float64
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError, unknown_name
from critlearn.prediction.densities.bandwidth import bandwidth_of

Points = Float64[np.ndarray, "..."]


@runtime_checkable
class MarginDensity(Protocol):
    """Protocol of a probability density on the line; arrays of any shape in and out."""

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support, possibly infinite."""

    def log_density(self, x: Points) -> Points:
        """``ln p(x)``."""

    def log_density_slope(self, x: Points) -> Points:
        """``d ln p / dx``: the data term of the local exponent."""

    def cumulative(self, x: Points) -> Points:
        """Probability of values up to ``x``."""

    def survival(self, x: Points) -> Points:
        """Probability of values above ``x``, exact where it is tiny."""

    def quantile(self, probability: Points) -> Points:
        """Inverse of `cumulative`."""


_FAMILIES: Final[dict[str, tuple[Any, tuple[str, str]]]] = {
    "uniform": (scipy.stats.uniform, ("low", "high")),
    "normal": (scipy.stats.norm, ("mean", "standard deviation")),
    "laplace": (scipy.stats.laplace, ("mean", "scale")),
}
_CALL: Final = re.compile(r"\s*([A-Za-z_]+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class InputDensity:
    """Density of a named family: ``uniform(low, high)``, ``normal(mean, sd)`` or ``laplace(mean, scale)``.

    Raises
    ------
    InvalidInputError
        If the family is unknown or the parameters describe no density.
    """

    family: str
    first: float
    second: float

    def __post_init__(self) -> None:
        """Raise if the parameters describe no density."""
        if self.family not in _FAMILIES:
            raise unknown_name("input density", self.family, _FAMILIES)
        names = _FAMILIES[self.family][1]
        if not (math.isfinite(self.first) and math.isfinite(self.second)):
            raise InvalidInputError(f"{self} needs finite numbers")
        smallest = self.first if self.family == "uniform" else 0.0
        if not self.second > smallest:
            bound = f"{names[0]} < {names[1]}" if self.family == "uniform" else f"{names[1]} > 0"
            raise InvalidInputError(f"{self} is no density: it needs {bound}")

    def __str__(self) -> str:
        """Text that `parse_density` reads back."""
        return f"{self.family}({self.first!r},{self.second!r})"

    @cached_property
    def _law(self) -> Any:
        scale = self.second - self.first if self.family == "uniform" else self.second
        return _FAMILIES[self.family][0](loc=self.first, scale=scale)

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support, possibly infinite."""
        low, high = self._law.support()
        return float(low), float(high)

    def log_density(self, x: Points) -> Points:
        """``ln p(x)``; ``-inf`` outside the support."""
        return np.asarray(self._law.logpdf(x))

    def log_density_slope(self, x: Points) -> Points:
        """``d ln p / dx`` inside the support."""
        if self.family == "uniform":
            return np.zeros_like(x)
        if self.family == "normal":
            return (self.first - x) / self.second**2
        return np.sign(self.first - x) / self.second

    def cumulative(self, x: Points) -> Points:
        """Probability of values up to ``x``."""
        return np.asarray(self._law.cdf(x))

    def survival(self, x: Points) -> Points:
        """Probability of values above ``x``."""
        return np.asarray(self._law.sf(x))

    def quantile(self, probability: Points) -> Points:
        """Inverse of `cumulative`."""
        return np.asarray(self._law.ppf(probability))

    def sample(self, size: int, generator: np.random.Generator) -> Float64[np.ndarray, " size"]:
        """Independent draws."""
        return np.asarray(self._law.rvs(size=size, random_state=generator), dtype=np.float64)


def parse_density(text: str) -> InputDensity:
    """Parse a density from text such as ``normal(0, 1)``, as on the command line.

    Raises
    ------
    InvalidInputError
        If the text is not ``family(number,number)``; the message lists what is allowed.

    >>> parse_density("laplace(1, 0.7)").support
    (-inf, inf)
    """
    allowed = ", ".join(f"{name}({','.join(names)})" for name, (_, names) in _FAMILIES.items())
    match = _CALL.fullmatch(text)
    if match is None:
        raise InvalidInputError(f'input density "{text}" is not one of {allowed}')
    family, arguments = match.groups()
    if family not in _FAMILIES:
        raise unknown_name("input density", family, _FAMILIES)
    try:
        numbers = [float(argument) for argument in arguments.split(",")]
    except ValueError:
        raise InvalidInputError(f'input density "{text}" needs numbers, as in {allowed}') from None
    if len(numbers) != 2:
        raise InvalidInputError(f'input density "{text}" needs two numbers, as in {allowed}')
    return InputDensity(family, *numbers)


FEWEST: Final = 10
"""Values from which a density is estimated."""

_CENTRES: Final = 512
"""Number of observations above which they are binned on a grid, which then has fewer points."""

_FINEST: Final = 4000
"""Largest ratio of the range of the data to a given bandwidth: the grid of centres stays below 20,000 points."""

_REFLECTED: Final = 9.0
"""Distance from an end, in bandwidths, within which kernels are reflected: beyond it exp(-81/2) = 3e-18 is left."""


@dataclass(frozen=True, init=False, eq=False)
class EmpiricalDensity:
    """Density of observed margins, by a Gaussian kernel estimate.

    The bandwidth is that of `bandwidth_of` for the *slope* of the density, because the slope enters the local exponent.
    Many observations are first binned on a grid with a spacing of a fifth of a bandwidth, which changes the estimate by
    less than its own error. The estimate ends at the lowest and the highest observation, where kernels are reflected:
    otherwise a density that ends abruptly would be smeared out; one that decays to zero is not affected.

    Parameters
    ----------
    observations
        The margins.
    bandwidth
        Standard deviation of the kernels, if it is not to be chosen.

    Raises
    ------
    InvalidInputError
        If there are fewer than 10 finite, not all equal, observations.
    """

    support: tuple[float, float]
    centres: Float64[np.ndarray, " centre"]
    weights: Float64[np.ndarray, " centre"]
    bandwidth: float
    count: int

    def __init__(self, observations: ArrayLike, *, bandwidth: float | None = None) -> None:
        values = np.sort(np.asarray(observations, dtype=np.float64).ravel())
        if values.size < FEWEST or not np.isfinite(values).all() or values[0] == values[-1]:
            raise InvalidInputError(
                f"a density of margins needs at least {FEWEST} finite, not all equal, values; got {values.size}"
            )
        if bandwidth is None:
            bandwidth = bandwidth_of(values)
        else:
            bandwidth = max(bandwidth, float(values[-1] - values[0]) / _FINEST)
        if values.size > _CENTRES:
            step = bandwidth / 5
            index, counts = np.unique(np.round(values / step).astype(np.int64), return_counts=True)
            values = np.asarray(index * step, dtype=np.float64)
            weights = np.asarray(counts / counts.sum(), dtype=np.float64)
        else:
            weights = np.full(values.size, 1 / values.size, dtype=np.float64)
        ends = float(np.min(observations)), float(np.max(observations))
        # Kernels near an end get a mirror image beyond it, which returns the mass that they would lose there.
        near = [np.abs(values - end) < _REFLECTED * bandwidth for end in ends]
        mirrored = [2 * end - values[close] for end, close in zip(ends, near, strict=True)]
        weights = np.concatenate([weights, *(weights[close] for close in near)], dtype=np.float64)
        values = np.concatenate([values, *mirrored])
        object.__setattr__(self, "support", ends)
        object.__setattr__(self, "centres", values)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bandwidth", bandwidth)
        object.__setattr__(self, "count", int(np.size(observations)))

    def _scaled(self, x: Points) -> Float64[np.ndarray, "... centre"]:
        return (np.asarray(x)[..., None] - self.centres) / self.bandwidth

    def log_density(self, x: Points) -> Points:
        """``ln p(x)``."""
        # Summed in logarithms, which far from all observations do not underflow.
        exponent = -0.5 * self._scaled(x) ** 2
        norm = self.bandwidth * math.sqrt(2 * math.pi)
        inside = np.asarray(scipy.special.logsumexp(exponent, axis=-1, b=self.weights)) - math.log(norm)
        return np.where((x >= self.support[0]) & (x <= self.support[1]), inside, -np.inf)

    def log_density_slope(self, x: Points) -> Points:
        """``d ln p / dx``."""
        scaled = self._scaled(x)
        # Mean of the kernels' slopes, weighted by their densities: a softmax of logarithms cannot be 0 / 0.
        share = scipy.special.softmax(-0.5 * scaled**2 + np.log(self.weights), axis=-1)
        return -np.asarray((share * scaled).sum(axis=-1)) / self.bandwidth

    def cumulative(self, x: Points) -> Points:
        """Probability of values up to ``x``."""
        low, _ = self.support
        start = np.array(low)
        return np.where(x > low, self._sum_of(scipy.special.ndtr, x) - self._sum_of(scipy.special.ndtr, start), 0.0)

    def survival(self, x: Points) -> Points:
        """Probability of values above ``x``."""
        _, high = self.support
        ends = self._sum_of(_above, np.array(high))
        return np.where(x < high, self._sum_of(_above, x) - ends, 0.0)

    def _sum_of(self, share: Callable[[Points], Points], x: Points) -> Points:
        return np.asarray((self.weights * share(self._scaled(x))).sum(axis=-1))

    def quantile(self, probability: Points) -> Points:
        """Inverse of `cumulative`, by interpolation on a grid with a spacing of 1/20 bandwidth."""
        low, high = self.support
        grid = np.linspace(low, high, int((high - low) / self.bandwidth * 20) + 2)
        return np.asarray(np.interp(probability, self.cumulative(grid), grid))


def _above(scaled: Points) -> Points:
    return np.asarray(scipy.special.ndtr(-scaled))
