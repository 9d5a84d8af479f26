"""Size of a system as the ruler of criticality: susceptibility, and curves of many sizes that collapse on one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.optimize

from critlearn.dynamics.avalanches import as_activity
from critlearn.dynamics.spectrum import autocorrelation_time
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number
from critlearn.results import Result

_REPLICATES: Final = 40
"""Replicates of the errors of a collapse, each a search: they give the errors to an eighth."""


@dataclass(frozen=True, repr=False)
class Susceptibility(Result):
    """Fluctuations of an order parameter, ``size (<a^2> - <a>^2)``, with their error."""

    value: float
    standard_error: float

    def summary(self) -> str:
        """One line."""
        return f"susceptibility {self.value:.3g} +- {self.standard_error:.2g}"


@dataclass(frozen=True, eq=False, repr=False)
class ScalingCollapse(Result):
    """Curves ``y = L^(b) F((x - x_c) L^(a))`` of systems of size L on one curve F.

    Parameters
    ----------
    x_exponent, y_exponent, critical_point
        a, b and x_c.
    errors
        Their standard errors; 0 for a critical point that was given.
    quality
        Mean square distance of the points from the common curve in their errors: near 1 for a collapse, much more for
        none (Houdayer and Hartmann 2004).
    curves
        Scaled curves by size: x, y and errors.
    """

    x_exponent: float
    y_exponent: float
    critical_point: float
    errors: tuple[float, float, float]
    quality: float
    curves: Mapping[float, tuple[np.ndarray, np.ndarray, np.ndarray]]

    bulky_fields = ("curves",)

    def summary(self) -> str:
        """One line: exponents, critical point and quality."""
        a, b, c = self.errors
        return (
            f"collapse with y L^({-self.y_exponent:+.3f} +- {b:.2g}) over (x - {self.critical_point:.4g} +- {c:.2g}) "
            f"L^({self.x_exponent:+.3f} +- {a:.2g}), quality {self.quality:.2f}"
        )


def susceptibility(order_parameter: Any, size: float) -> Susceptibility:
    """Variance over time of an order parameter per unit, times the number of units.

    Its error counts one independent value for each autocorrelation time.

    Raises
    ------
    InvalidInputError
        If the order parameter is not a finite signal that changes, or the size not a positive number.
    """
    values = as_activity(order_parameter)
    if not 0 < as_number(size) < math.inf:
        raise InvalidInputError(f"the size of a system is a positive number; got {size!r}")
    # Squares are taken in the unit of the largest value, where none overflows.
    unit = float(np.abs(values).max())
    values = values / unit
    squares = (values - values.mean()) ** 2
    time = autocorrelation_time(squares).time if np.ptp(squares) > 0 else 1.0
    error = squares.std() * math.sqrt(max(time, 1.0) / values.size)
    value = size * unit * float(squares.mean()) * unit
    if not 0 < value < math.inf:
        raise InvalidInputError(f"the square of an order parameter as large as {unit:.3g} is no float: scale it")
    return Susceptibility(value, size * unit * float(error) * unit)


def scaling_collapse(
    curves: Mapping[float, tuple[Any, Any, Any]],
    start: Sequence[float],
    *,
    critical_point: float | None = None,
    seed: int = 0,
) -> ScalingCollapse:
    """Find the exponents, and the critical point, at which curves of different sizes are one.

    Parameters
    ----------
    curves
        By the size of the system: x, ascending, y and the standard errors of y.
    start
        Where the search begins: a, b, and x_c unless that is given.
    critical_point
        x_c where it is known, such as 0 for a distribution; searched for if None.
    seed
        Of the replicates, in which each y is displaced by its error.

    Raises
    ------
    InvalidInputError
        If there are fewer than two sizes, curves are no three lists of one length, x does not ascend, or errors are not
        positive.
    """
    known = {float(size): _curve(size, curve) for size, curve in curves.items()}
    if len(known) < 2 or min(known) <= 0:
        raise InvalidInputError(f"a collapse needs two positive sizes or more; got {sorted(known)}")
    free = 3 if critical_point is None else 2
    if len(start) != free:
        raise InvalidInputError(f"the search begins at {free} numbers here; got {len(start)}")
    fixed = () if critical_point is None else (float(critical_point),)
    generator = np.random.default_rng(seed)

    def search(given: Mapping[float, tuple[np.ndarray, ...]], begin: Sequence[float]) -> np.ndarray:
        def objective(chosen: np.ndarray) -> float:
            return _quality(_scaled(given, (*chosen, *fixed)))

        return np.array(scipy.optimize.minimize(objective, begin, method="Nelder-Mead").x)

    best = search(known, start)
    # Once more from there: a first simplex may have shrunk before it was at the bottom.
    best = search(known, best.tolist())
    displaced = (
        {size: (x, y + error * generator.standard_normal(y.size), error) for size, (x, y, error) in known.items()}
        for _ in range(_REPLICATES)
    )
    errors = np.std([search(replica, best.tolist()) for replica in displaced], axis=0, ddof=1)
    a, b, c = (float(value) for value in (*best, *fixed))
    scaled = _scaled(known, (a, b, c))
    found = (float(errors[0]), float(errors[1]), 0.0 if fixed else float(errors[2]))
    return ScalingCollapse(a, b, c, found, _quality(scaled), scaled)


def _curve(size: float, curve: tuple[Any, Any, Any]) -> tuple[np.ndarray, ...]:
    """Curve as three arrays."""
    arrays = tuple(np.asarray(part, dtype=np.float64) for part in curve)
    if len(arrays) != 3 or any(part.ndim != 1 or part.shape != arrays[0].shape for part in arrays):
        raise InvalidInputError(f"the curve of size {size:g} must be x, y and errors, three lists of one length")
    x, y, error = arrays
    if x.size < 3 or not (np.isfinite(y).all() and (np.diff(x) > 0).all() and (error > 0).all()):
        raise InvalidInputError(
            f"the curve of size {size:g} needs three points or more, finite, of ascending x, with positive errors"
        )
    return arrays


def _scaled(
    curves: Mapping[float, tuple[np.ndarray, ...]], chosen: Sequence[float]
) -> dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Curves as functions of the scaled variables."""
    a, b, critical = chosen
    # Sizes of thousands, to a power that a search has strayed to, must not overflow.
    factors = {
        size: (np.exp(np.clip(a * np.log(size), -300, 300)), np.exp(np.clip(-b * np.log(size), -300, 300)))
        for size in curves
    }
    return {
        size: ((x - critical) * factors[size][0], y * factors[size][1], error * factors[size][1])
        for size, (x, y, error) in curves.items()
    }


def _quality(scaled: Mapping[float, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Mean square distance of points from the curve through their neighbours of the other sizes, in their errors.

    The neighbours on both sides of a point, from every other size that reaches there, are joined by a straight line.
    """
    total, number = 0.0, 0
    for size, (x, y, error) in scaled.items():
        sums = np.zeros((5, x.size))
        for other, (x2, y2, error2) in scaled.items():
            if other == size:
                continue
            place = np.searchsorted(x2, x)
            inside = (place > 0) & (place < x2.size)
            for neighbour in (place[inside] - 1, place[inside]):
                weight = error2[neighbour] ** -2.0
                distance = x2[neighbour] - x[inside]
                terms = (1, distance, y2[neighbour], distance**2, distance * y2[neighbour])
                sums[:, inside] += np.stack([weight * term for term in terms])
        weight, first, value, second, product = sums
        spread = weight * second - first**2
        kept = (weight > 0) & (spread > 1e-12 * weight * second)
        # The line is taken at the point itself, where the distance is zero.
        line = (second * value - first * product)[kept] / spread[kept]
        variance = second[kept] / spread[kept]
        total += float(((y[kept] - line) ** 2 / (error[kept] ** 2 + variance)).sum())
        number += int(kept.sum())
    points = sum(x.size for x, _, _ in scaled.values())
    # Curves that are scaled apart have no neighbours: half of the points must be compared, or anything would do.
    return total / number if number >= points / 2 else 1e6 * (1 + points - number)
