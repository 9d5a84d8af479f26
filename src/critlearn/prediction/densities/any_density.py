"""Densities from any source: a frozen SciPy distribution, a column of data, a mixture, or a text that names them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.integrate
import scipy.stats
from jaxtyping import Float64

from critlearn.errors import DataError, InvalidInputError, unknown_name
from critlearn.prediction.criteria import PROBABILITY_ERROR
from critlearn.prediction.densities.margin_density import (
    EmpiricalDensity,
    InputDensity,
    MarginDensity,
    Points,
    parse_density,
)

_FILE: Final = re.compile(r"(.*?\.csv)(?::(.*))?", re.IGNORECASE)

_NAMED: Final = ("normal", "uniform", "laplace")
_TERM: Final = re.compile(r"\s*(?:([0-9.eE+-]+)\s*\*)?\s*([A-Za-z_]\w*\([^()]*\))\s*")


@dataclass(frozen=True, eq=False)
class ScipyDensity:
    """Density of a frozen continuous distribution of `scipy.stats`.

    Raises
    ------
    InvalidInputError
        If it is not one, or does not integrate to 1.
    """

    law: Any

    def __post_init__(self) -> None:
        """Raise if the distribution is not continuous and frozen, or does not integrate to 1."""
        if not (hasattr(self.law, "pdf") and hasattr(self.law, "ppf") and hasattr(self.law, "cdf")):
            raise InvalidInputError(
                f"a density is a frozen continuous distribution of scipy.stats, data, or a mixture; got {self.law!r}"
            )
        low, high = self.support
        middle = low + 1.0 if math.isfinite(low) else (high - 1.0 if math.isfinite(high) else 0.0)
        if math.isfinite(low) and math.isfinite(high):
            middle = 0.5 * (low + high)
        with np.errstate(all="ignore"):
            total = sum(
                scipy.integrate.quad(self.law.pdf, start, stop, limit=200)[0]
                for start, stop in ((low, middle), (middle, high))
            )
            by_cdf = float(self.law.cdf(high) - self.law.cdf(low))
        # An integrable singularity makes the quadrature inexact, but not the distribution function.
        if abs(total - 1) > PROBABILITY_ERROR and (abs(total - 1) > 0.01 or abs(by_cdf - 1) > PROBABILITY_ERROR):
            raise InvalidInputError(f"the density {self} integrates to {total:.6g}, not to 1")

    def __str__(self) -> str:
        """Name with its parameters."""
        distribution = getattr(self.law, "dist", None)
        if distribution is None:
            return repr(self.law)
        parameters = [f"{value:g}" for value in self.law.args]
        parameters += [f"{name}={value:g}" for name, value in self.law.kwds.items()]
        return f"{distribution.name}({','.join(parameters)})"

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support, possibly infinite."""
        low, high = self.law.support()
        return float(low), float(high)

    def log_density(self, x: Points) -> Points:
        """``ln p(x)``; ``-inf`` outside the support."""
        return np.asarray(self.law.logpdf(x))

    def log_density_slope(self, x: Points) -> Points:
        """``d ln p / dx`` by central differences of fourth order.

        The step is a thousandth of the interquartile range, or of the distance to the median if that is larger: a heavy
        tail changes over distances of that size, and a smaller step would show only rounding.
        """
        lower, middle, upper = (float(self.law.ppf(q)) for q in (0.25, 0.5, 0.75))
        step = 1e-3 * np.maximum(upper - lower, np.abs(x - middle))
        # All four points stay inside the support, outside which the logarithm is -inf.
        low, high = self.support
        step_here = np.minimum(step, 0.4 * np.minimum(x - low, high - x))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = [self.law.logpdf(x + factor * step_here) for factor in (-2, -1, 1, 2)]
            slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step_here)
        return np.where(np.isfinite(slope), slope, 0.0)

    def cumulative(self, x: Points) -> Points:
        """Probability of values up to ``x``."""
        return np.asarray(self.law.cdf(x))

    def survival(self, x: Points) -> Points:
        """Probability of values above ``x``."""
        return np.asarray(self.law.sf(x))

    def quantile(self, probability: Points) -> Points:
        """Inverse of `cumulative`."""
        return np.asarray(self.law.ppf(probability))

    def sample(self, size: int, generator: np.random.Generator) -> Float64[np.ndarray, " size"]:
        """Independent draws."""
        return np.asarray(self.law.rvs(size=size, random_state=generator), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """Weighted sum of densities.

    Raises
    ------
    InvalidInputError
        If the weights are negative or do not add up to 1.
    """

    weights: tuple[float, ...]
    parts: tuple[MarginDensity, ...]

    def __post_init__(self) -> None:
        """Raise if the weights are negative or do not add up to 1."""
        if len(self.weights) != len(self.parts) or not self.parts:
            raise InvalidInputError(f"a mixture needs a weight for each of its {len(self.parts)} parts")
        total = math.fsum(self.weights)
        if min(self.weights) < 0 or not abs(total - 1) <= PROBABILITY_ERROR:
            raise InvalidInputError(
                f"a mixture needs weights that are not negative and add up to 1; {self} integrates to {total:.6g}"
            )

    def __str__(self) -> str:
        """Text that `density_from` reads back, if it reads that of each part."""
        return "+".join(f"{weight:g}*{part}" for weight, part in zip(self.weights, self.parts, strict=True))

    def _sum(self, values: Sequence[Points]) -> Points:
        return np.asarray(sum(weight * value for weight, value in zip(self.weights, values, strict=True)))

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support, possibly infinite."""
        return min(part.support[0] for part in self.parts), max(part.support[1] for part in self.parts)

    def log_density(self, x: Points) -> Points:
        """``ln p(x)``."""
        logs = [part.log_density(x) for part in self.parts]
        with np.errstate(divide="ignore"):
            weighted = [np.log(weight) + log for weight, log in zip(self.weights, logs, strict=True)]
        return np.asarray(np.logaddexp.reduce(weighted, axis=0))

    def log_density_slope(self, x: Points) -> Points:
        """``d ln p / dx``: the parts' slopes, weighted by their densities."""
        total = self.log_density(x)
        slope = np.zeros(np.shape(x))
        for weight, part in zip(self.weights, self.parts, strict=True):
            with np.errstate(invalid="ignore"):
                share = np.nan_to_num(weight * np.exp(part.log_density(x) - total))
            slope = slope + share * part.log_density_slope(x)
        return slope

    def cumulative(self, x: Points) -> Points:
        """Probability of values up to ``x``."""
        return self._sum([part.cumulative(x) for part in self.parts])

    def survival(self, x: Points) -> Points:
        """Probability of values above ``x``."""
        return self._sum([part.survival(x) for part in self.parts])

    def quantile(self, probability: Points) -> Points:
        """Inverse of `cumulative`, by bisection between the parts' quantiles."""
        ends = [part.quantile(probability) for part in self.parts]
        low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
        # 80 halvings: from any interval of ordinary numbers to rounding.
        for _ in range(80):
            middle = 0.5 * (low + high)
            below = self.cumulative(np.asarray(middle)) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    def sample(self, size: int, generator: np.random.Generator) -> Float64[np.ndarray, " size"]:
        """Independent draws."""
        return self.quantile(generator.random(size))


def density_from(given: Any) -> MarginDensity:
    """Make a density from a density, a frozen SciPy distribution, an array of values, or a text.

    Text is a sum of terms ``weight*family(numbers)``, the families being ``uniform(low,high)``, ``normal(mean,sd)``,
    ``laplace(mean,scale)`` and the continuous distributions of `scipy.stats` with their parameters in order, such as
    ``t(3)``; or ``FILE.csv:COLUMN``.

    Raises
    ------
    InvalidInputError
        If it describes no density.
    DataError
        If a file or column cannot be read.

    >>> density_from("0.5*normal(-1,1)+0.5*normal(1,1)").cumulative(np.array([0.0])).tolist()
    [0.5]
    """
    if isinstance(given, str):
        return _from_text(given)
    if isinstance(given, MarginDensity):
        return given
    if hasattr(given, "pdf"):
        return _named(given) or ScipyDensity(given)
    if hasattr(given, "pmf"):
        raise _discrete(getattr(getattr(given, "dist", given), "name", type(given).__name__))
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"a density is a text, a frozen continuous distribution of SciPy, or values; got {type(given).__name__}"
        ) from None
    return EmpiricalDensity(values)


def _named(law: Any) -> InputDensity | None:
    """Convert a frozen SciPy normal, Laplace or uniform law to `InputDensity`, exact in its tails; None for others."""
    name = {"norm": "normal", "laplace": "laplace", "uniform": "uniform"}.get(
        getattr(getattr(law, "dist", None), "name", "")
    )
    if name is None or not law.support()[0] < law.support()[1]:
        return None
    place, scale = (float(one) for one in law.dist._parse_args(*law.args, **law.kwds)[1:])
    return InputDensity(name, place, place + scale if name == "uniform" else scale)


def _discrete(name: str) -> InvalidInputError:
    return InvalidInputError(f'the distribution "{name}" is discrete and has no density; give a continuous one')


def _from_text(text: str) -> MarginDensity:
    file = _FILE.fullmatch(text)
    if file is not None:
        return EmpiricalDensity(_column(Path(file.group(1)), file.group(2) or ""))
    weights, parts, at = [], [], 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            break
        weights.append(_number(match.group(1) or "1", text))
        parts.append(_family(match.group(2)))
        at = match.end()
        if at < len(text) and text[at] == "+":
            at += 1
        else:
            break
    if at != len(text) or not parts or text.endswith("+"):
        raise InvalidInputError(
            f'density "{text}" is not read from column {at + 1} on; allowed are sums of WEIGHT*FAMILY(NUMBERS), as '
            '"0.3*normal(0,1)+0.7*t(3)", with uniform(low,high), normal(mean,sd), laplace(mean,scale) or a continuous '
            "distribution of scipy.stats, and FILE.csv:COLUMN"
        )
    return parts[0] if len(parts) == 1 and weights == [1.0] else MixtureDensity(tuple(weights), tuple(parts))


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(f'density "{whole}" needs numbers as weights; got "{text}"') from None


def _family(text: str) -> MarginDensity:
    name, _, rest = text.partition("(")
    law = getattr(scipy.stats, name, None)
    if name in _NAMED:
        return parse_density(text)
    if isinstance(law, scipy.stats.rv_discrete):
        raise _discrete(name)
    if not isinstance(law, scipy.stats.rv_continuous):
        continuous = [other for other in dir(scipy.stats) if _continuous(other)]
        raise unknown_name("input density", name, [*_NAMED, *continuous])
    numbers = [_number(part, text) for part in rest.rstrip(")").split(",") if part.strip()]
    try:
        frozen = law(*numbers)
        frozen.support()
        proper = bool(np.isfinite(frozen.ppf(0.5)))
    except TypeError as problem:
        raise InvalidInputError(f'density "{text}": {" ".join(str(problem).split())}') from None
    if not proper:
        raise InvalidInputError(f'density "{text}" is no density: its parameters are out of range')
    return ScipyDensity(frozen)


def _continuous(name: str) -> bool:
    return isinstance(getattr(scipy.stats, name, None), scipy.stats.rv_continuous)


def _column(path: Path, name: str) -> Float64[np.ndarray, " n"]:
    """Read a column of a CSV file; the only column if none is named."""
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as problem:
        raise DataError(f'"{path}" cannot be read: {" ".join(str(problem).split())}') from None
    if not name and table.shape[1] == 1:
        name = str(table.columns[0])
    if name not in table.columns:
        raise unknown_name("column", name, [str(other) for other in table.columns])
    try:
        return table[name].to_numpy(dtype=np.float64)
    except ValueError:
        raise DataError(f'column "{name}" of "{path}" holds what is not a number') from None
