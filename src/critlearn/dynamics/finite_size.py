"""Size of a system as the ruler of criticality: susceptibility, and curves of many sizes that collapse on one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.interpolate
import scipy.ndimage
import scipy.optimize
from jaxtyping import Float64

from critlearn.dynamics.avalanches import as_activity
from critlearn.dynamics.spectrum import autocorrelation_time
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, as_real_array, check_seed
from critlearn.results import Result

_REPLICATES: Final = 40
"""Replicates of the errors of a collapse, each a search: they give the errors to an eighth."""

_TRIED: Final = 300
"""Places, drawn at random about the start, at which a collapse is tried: some seven along each of three directions."""

_SEARCHES: Final = 6
"""The best of these places from which a search begins, beside the start itself."""

_STRAY: Final = 1.0
"""How far from the start exponents are tried: critical exponents of known models lie between -2 and 2."""

_OVERLAP: Final = 0.5
"""Share of the points that must lie where another curve reaches: curves that are scaled apart always agree."""

_BETWEEN: Final = 16
"""Places in each interval of x at which the variance of a spline is tabulated, to a percent."""

_LEAST_ERROR: Final = 1e-12
"""Least error, in units of the largest value: squares of smaller ones vanish, and values are hardly known better."""


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
        Their standard errors; 0 for a critical point that was given. A quality above 1 has widened them by its root.
    quality
        Mean square distance of the points from the curves of the other sizes, in their errors: 1 or somewhat less for a
        collapse, much more for none (Houdayer and Hartmann 2004).
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

    Its error counts one independent value for each autocorrelation time; where the series does not last 50 of them, it
    is as large as the susceptibility itself at least.

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
    error = squares.std() * math.sqrt(1 / values.size)
    if np.ptp(squares) > 0:
        found = autocorrelation_time(squares)
        error *= math.sqrt(max(found.time, 1.0))
        # Of a series that its correlations outlast, not even the order is known.
        error = error if found.resolved else max(error, squares.mean())
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

    Each point is compared with splines through the curves of the other sizes, whose weights contain what the splines
    may miss between their points. The search begins at the start and at the best of many places about it.

    Parameters
    ----------
    curves
        By the size of the system: x, ascending, y and the standard errors of y.
    start
        Where the search begins: a, b, and x_c unless that is given. Exponents are looked for within 1 of these, and
        critical points where there are curves, unless the search from the start leads elsewhere.
    critical_point
        x_c where it is known, such as 0 for a distribution; searched for if None.
    seed
        Of the places that are tried, and of the replicates, in which each y is displaced by its error.

    Raises
    ------
    InvalidInputError
        If there are fewer than two sizes, curves are no three lists of one length, x does not ascend, errors are not
        positive, a number is not finite, or no scaling is found at which half of the points meet curves of other sizes.
    """
    known = _curves(curves)
    if critical_point is not None and not math.isfinite(as_number(critical_point)):
        raise InvalidInputError(f"a critical point is a finite number; got {critical_point!r}")
    fixed = () if critical_point is None else (float(critical_point),)
    begin, free = as_real_array("the start of a search", start), 3 - len(fixed)
    if begin.shape != (free,) or not np.isfinite(begin).all():
        raise InvalidInputError(f"the search begins at {free} finite numbers here; got {start!r}")
    check_seed(seed)
    generator = np.random.default_rng(seed)
    low = min(curve.x[0] for curve in known)
    high = max(curve.x[-1] for curve in known)
    # First steps of a search: of exponents a tenth, of the critical point a twentieth of all x.
    steps = np.diag([0.1, 0.1, 0.05 * (high - low)][:free])

    def objective(chosen: np.ndarray, given: Sequence[_Curve] = known) -> float:
        return _Comparison.of(given, (*chosen, *fixed)).objective

    def search(first: np.ndarray, given: Sequence[_Curve] = known) -> np.ndarray:
        def of_these(chosen: np.ndarray) -> float:
            return objective(chosen, given)

        simplex = first + np.vstack([np.zeros(free), steps])
        return np.array(
            scipy.optimize.minimize(of_these, first, method="Nelder-Mead", options={"initial_simplex": simplex}).x
        )

    places = generator.uniform(-_STRAY, _STRAY, (_TRIED, free)) + begin
    places[:, 2:] = generator.uniform(low, high, places[:, 2:].shape)
    promising = places[np.argsort([objective(place) for place in places])[:_SEARCHES]]
    # Twice: a first simplex may have shrunk before it was at the bottom.
    minima = [search(search(first)) for first in (begin.astype(np.float64), *promising)]
    best = min(minima, key=objective)
    comparison = _Comparison.of(known, (*best, *fixed))
    if comparison.share < _OVERLAP:
        raise InvalidInputError(
            f"curves do not overlap: at best {comparison.share:.0%} of the points lie where another curve reaches; "
            "begin the search elsewhere, or give curves that overlap"
        )
    replicas = [search(best, [curve.displaced(generator) for curve in known]) for _ in range(_REPLICATES)]
    widened = max(comparison.quality, 1.0)
    errors = np.std(replicas, axis=0, ddof=1) * math.sqrt(widened)
    # Other minima, worse by no more than two standard errors of a mean square, may be the right one: two errors away.
    chance = widened * math.sqrt(8 / sum(curve.x.size for curve in known))
    as_good = np.array([place for place in minima if objective(place) <= comparison.objective + chance])
    errors = np.maximum(errors, np.abs(as_good - best).max(axis=0) / 2)
    a, b, c = (float(value) for value in (*best, *fixed))
    found = (float(errors[0]), float(errors[1]), 0.0 if fixed else float(errors[2]))
    scaled = {float(size): _scaled(float(size), curve, (a, b, c)) for size, curve in curves.items()}
    return ScalingCollapse(a, b, c, found, comparison.quality, scaled)


@dataclass(frozen=True, eq=False)
class _Curve:
    """Curve of one size, the spline through it, and a table of its variance.

    Parameters
    ----------
    log_size
        Logarithm of the size.
    x, y, error
        The points, y and errors in a unit that all curves share.
    spline
        Cubic spline through the points.
    places, variances
        A grid of x, and the variance of the spline there: by the errors of y, and by what it may miss between points.
    """

    log_size: float
    x: Float64[np.ndarray, " point"]
    y: Float64[np.ndarray, " point"]
    error: Float64[np.ndarray, " point"]
    spline: scipy.interpolate.CubicSpline
    places: Float64[np.ndarray, " place"]
    variances: Float64[np.ndarray, " place"]

    @classmethod
    def of(cls, size: float, x: np.ndarray, y: np.ndarray, error: np.ndarray) -> "_Curve":
        """Lay a spline through a curve."""
        fractions = np.arange(_BETWEEN) / _BETWEEN
        places = np.append((x[:-1, None] + np.diff(x)[:, None] * fractions).ravel(), x[-1])
        # What each y contributes to the spline there.
        weights = scipy.interpolate.CubicSpline(x, np.eye(x.size))(places)
        between = np.interp(places, x, _missed(x, y, error))
        variances = weights**2 @ error**2 + between**2
        return cls(math.log(size), x, y, error, scipy.interpolate.CubicSpline(x, y), places, variances)

    def displaced(self, generator: np.random.Generator) -> "_Curve":
        """Replicate in which each y is displaced by its error."""
        y = self.y + self.error * generator.standard_normal(self.y.size)
        return replace(self, y=y, spline=scipy.interpolate.CubicSpline(self.x, y))


def _missed(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> Float64[np.ndarray, " point"]:
    """What a spline may miss in the intervals beside each point: half of what one without that point misses there.

    The intervals are twice as wide without it; an error that falls with their width at all is half as large with it.
    """
    missed = np.zeros(x.size)
    for number in range(1, x.size - 1):
        kept = np.arange(x.size) != number
        weights = scipy.interpolate.CubicSpline(x[kept], np.eye(x.size - 1))(x[number])
        noise = weights**2 @ error[kept] ** 2 + error[number] ** 2
        missed[number] = 0.5 * math.sqrt(max((weights @ y[kept] - y[number]) ** 2 - noise, 0.0))
    # A point may lie by chance where the spline without it is right: its neighbours say more.
    return scipy.ndimage.maximum_filter1d(missed, 3)


@dataclass(frozen=True)
class _Comparison:
    """Comparison of each point with the curves of the other sizes, scaled by some exponents.

    Parameters
    ----------
    quality
        Mean square distance in units of its error.
    share
        Share of the points that could be compared.
    objective
        What a search makes least.
    """

    quality: float
    share: float
    objective: float

    @classmethod
    def of(cls, curves: Sequence[_Curve], chosen: Sequence[float]) -> "_Comparison":
        """Compare at exponents and a critical point."""
        a, b, critical = chosen
        squares, logs, number = 0.0, 0.0, 0
        for curve in curves:
            weight, mean = np.zeros((2, curve.x.size))
            for other in curves:
                if other is curve:
                    continue
                # Sizes of thousands, to a power that a search has strayed to, must not overflow.
                ratio = curve.log_size - other.log_size
                across, along = np.exp(np.clip([a * ratio, b * ratio], -300, 300))
                places = critical + (curve.x - critical) * across
                inside = (places >= other.places[0]) & (places <= other.places[-1])
                known = 1 / (along**2 * np.interp(places[inside], other.places, other.variances))
                weight[inside] += known
                mean[inside] += known * along * other.spline(places[inside])
            met = weight > 0
            own = curve.error[met] ** 2
            variance = own + 1 / weight[met]
            squares += float(((curve.y[met] - mean[met] / weight[met]) ** 2 / variance).sum())
            logs += float(np.log(variance / own).sum())
            number += int(met.sum())
        share = number / sum(curve.x.size for curve in curves)
        if share < _OVERLAP:
            # Larger than for any overlap, and smaller the more points meet a curve.
            return cls(math.inf, share, 1e300 * (1 - share))
        # The likelihood: without the logarithms, curves would be best compared where they are known worst.
        return cls(squares / number, share, (squares + logs) / number)


def _curves(curves: Mapping[float, tuple[Any, Any, Any]]) -> list[_Curve]:
    """Checked curves, with y in units of the largest."""
    if not isinstance(curves, Mapping) or len(curves) < 2 or not all(0 < as_number(size) < math.inf for size in curves):
        given = sorted(map(str, curves)) if isinstance(curves, Mapping) else type(curves).__name__
        raise InvalidInputError(f"a collapse needs curves by size, of two positive sizes or more; got {given}")
    checked = {size: _checked(size, curve) for size, curve in curves.items()}
    unit = max(float(max(np.abs(y).max(), error.max())) for _, y, error in checked.values())
    return [
        _Curve.of(float(size), x, y / unit, np.maximum(error / unit, _LEAST_ERROR))
        for size, (x, y, error) in checked.items()
    ]


def _checked(size: float, curve: tuple[Any, Any, Any]) -> tuple[np.ndarray, ...]:
    """Curve as three arrays."""
    name = f"the curve of size {size:g}"
    if not isinstance(curve, Sequence | np.ndarray) or len(curve) != 3:
        raise InvalidInputError(
            f"{name} must be x, y and errors, three lists of one length; got {type(curve).__name__}"
        )
    x, y, error = (as_real_array(name, part).astype(np.float64) for part in curve)
    if x.ndim != 1 or not x.shape == y.shape == error.shape:
        raise InvalidInputError(
            f"{name} must be x, y and errors, three lists of one length; got shapes "
            f"{x.shape}, {y.shape} and {error.shape}"
        )
    if x.size < 3 or not (np.isfinite([x, y, error]).all() and (np.diff(x) > 0).all() and (error > 0).all()):
        raise InvalidInputError(f"{name} needs three points or more, finite, of ascending x, with positive errors")
    return x, y, error


def _scaled(
    size: float, curve: tuple[Any, Any, Any], chosen: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curve as a function of the scaled variables."""
    a, b, critical = chosen
    x, y, error = _checked(size, curve)
    across, along = np.exp(np.clip([a * math.log(size), -b * math.log(size)], -300, 300))
    return (x - critical) * across, y * along, error * along
