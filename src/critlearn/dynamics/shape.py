"""Mean shapes of avalanches, and the exponent at which those of all durations collapse on one curve."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.optimize
from jaxtyping import Float64

from critlearn.dynamics.avalanches import Avalanches
from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import check_seed
from critlearn.results import Result

_POINTS: Final = 40
"""Points of a shape, from its beginning to its end."""

_SHORTEST: Final = 8
"""Duration from which on a shape has one: with fewer steps it is mostly its ends."""

_FEWEST: Final = 20
"""Avalanches of a bin of durations whose mean shape is known to a fifth or so."""

_MOST: Final = 4000
"""Avalanches whose shapes are taken, evenly spread over durations: more do not change an average that is seen."""

_BINS_PER_DECADE: Final = 8
_REPLICATES: Final = 50
"""Replicates of the error, which give it to a tenth."""


@dataclass(frozen=True, eq=False, repr=False)
class ShapeCollapse(Result):
    """Shapes ``<A>(t, T) = T^(gamma - 1) F(t / T)``.

    Parameters
    ----------
    exponent, standard_error
        Gamma at which they differ least, and its error by resampling avalanches; None with fewer than two durations.
    spread
        Standard deviation of the rescaled shapes about their mean over that mean: 0 for a perfect collapse.
    asymmetry
        Centre of mass of the mean shape less 1/2, in units of the duration: negative where avalanches rise fast.
    durations, shapes
        Mean duration of each bin, and its rescaled shape.
    """

    exponent: float | None
    standard_error: float | None
    spread: float | None
    asymmetry: float | None
    durations: Float64[np.ndarray, " bin"]
    shapes: Float64[np.ndarray, "bin point"]

    bulky_fields = ("durations", "shapes")

    def summary(self) -> str:
        """One line: the exponent and how well the shapes collapse."""
        if self.exponent is None:
            return "shape collapse: too few long avalanches"
        return (
            f"shapes collapse with gamma = {self.exponent:.2f} +- {self.standard_error:.2g}, to {self.spread:.0%} of "
            "their height"
        )


def shape_collapse(avalanches: Avalanches, seed: int = 0) -> ShapeCollapse:
    """Find the exponent at which mean shapes of different durations agree (Sethna et al. 2001, Marshall et al. 2016).

    Parameters
    ----------
    avalanches
        The avalanches; those of eight steps and more are used.
    seed
        Decides which are resampled, and which are taken where there are very many.

    Raises
    ------
    InvalidInputError
        If these are no avalanches, or the seed is not an integer from 0 on.
    """
    if not isinstance(avalanches, Avalanches):
        raise InvalidInputError(f"shapes are of what find_avalanches returns; got {type(avalanches).__name__}")
    check_seed(seed)
    generator = np.random.default_rng(seed)
    numbers = np.flatnonzero(avalanches.durations >= _SHORTEST)
    if numbers.size > _MOST:
        # The longest are the fewest: half of those taken are the longest.
        ordered = numbers[np.argsort(avalanches.durations[numbers], kind="stable")]
        drawn = generator.choice(ordered[: -_MOST // 2], _MOST - _MOST // 2, replace=False)
        numbers = np.concatenate([ordered[-_MOST // 2 :], drawn])
    durations = avalanches.durations[numbers].astype(np.float64)
    bins = np.round(np.log10(np.maximum(durations, 1.0)) * _BINS_PER_DECADE).astype(np.int64)
    shapes = np.array([_resampled(avalanches.profile(number)) for number in numbers.tolist()]).reshape(-1, _POINTS)
    members = [np.flatnonzero(bins == bin_) for bin_ in np.unique(bins)]
    members = [inside for inside in members if inside.size >= _FEWEST]
    if len(members) < 2:
        return ShapeCollapse(None, None, None, None, np.zeros(0), np.zeros((0, _POINTS)))

    def means(chosen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([durations[at].mean() for at in chosen]), np.array([shapes[at].mean(axis=0) for at in chosen])

    time, mean = means(members)
    exponent = _best(time, mean)
    resampled = ([generator.choice(at, at.size) for at in members] for _ in range(_REPLICATES))
    error = float(np.std([_best(*means(chosen)) for chosen in resampled], ddof=1))
    scaled = mean * time[:, None] ** (1 - exponent)
    curve = scaled.mean(axis=0)
    centre = float((curve * _places()).sum() / curve.sum()) - 0.5
    return ShapeCollapse(exponent, error, float(_spread(time, mean, exponent)), centre, time, scaled)


def _places() -> np.ndarray:
    """Times of the points of a shape, in units of the duration."""
    return (np.arange(_POINTS) + 0.5) / _POINTS


def _resampled(profile: np.ndarray) -> np.ndarray:
    """Shape at equal fractions of its duration."""
    return np.interp(_places(), (np.arange(profile.size) + 0.5) / profile.size, profile)


def _spread(time: np.ndarray, mean: np.ndarray, exponent: float) -> float:
    """Standard deviation of rescaled shapes about their mean, over the height of that."""
    scaled = mean * time[:, None] ** (1 - exponent)
    return float(np.sqrt(scaled.var(axis=0).mean()) / scaled.mean())


def _best(time: np.ndarray, mean: np.ndarray) -> float:
    found = scipy.optimize.minimize_scalar(
        lambda gamma: _spread(time, mean, gamma), bounds=(0.5, 4.0), method="bounded"
    )
    return float(found.x)
