"""Distance of a prediction from a measurement, each made from one half of the samples, and its sampling error."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Float64

from critlearn.comparison.agreement import Bounds
from critlearn.comparison.criteria import LEVEL, RESAMPLED
from critlearn.comparison.ladder.halves import Half, Halves
from critlearn.numerics.log_sketch import LogSketch
from critlearn.prediction import Prediction


@dataclass(frozen=True)
class Distance:
    """Kolmogorov-Smirnov distance of ``ln|delta|``, or the difference of the shares of zeros if that is larger.

    Fluctuations that are not zero are compared among themselves: were most of them zeros, nothing could be far off.
    Both ways are averaged.

    Parameters
    ----------
    value
        Distance of the prediction from half A to the measurement of half B, and the other way round.
    by_chance
        Median of the distance if the prediction is right.
    noise
        Distance of the measurements of both halves.
    p_value
        Share of bootstrap samples, in which the prediction is right, that are as far apart.
    bounds
        Of the distance.
    """

    value: float
    by_chance: float
    noise: float
    p_value: float
    bounds: Bounds


def distance_of(predicted: Halves, measured: Halves, *, log_floor: float | None = None, seed: int = 0) -> Distance:
    """Distance of predictions from measurements, of which each is made from the other half.

    The difference of the two distribution functions is resampled by groups of samples: the same groups for all that is
    made from a half.

    Parameters
    ----------
    predicted, measured
        Distributions with the same groups of samples.
    log_floor
        Smallest ``ln|delta|`` that the measurement resolves: of values below it, which are rounding, only the number
        counts.
    seed
        Seed of the resampling.
    """
    first = min(predicted.first_bin, measured.first_bin)
    stop = max(part.first_bin + part.halves[0].mass.size for part in (predicted, measured))
    one, other = (part.on(first, stop - first) for part in (predicted, measured))
    unresolved = 0 if log_floor is None else int(np.searchsorted(other.edges[:-1], log_floor))
    compared = [[_compared(half, unresolved) for half in part.halves] for part in (one, other)]
    above = [[values for values, _ in part] for part in compared]
    apart = [above[1][1] - above[0][0], above[1][0] - above[0][1]]
    value = float(np.mean([np.abs(part).max() for part in apart]))
    noise = float(np.abs(above[1][0] - above[1][1]).max())
    drawn = _weights(seed, *(len(half.influence) for half in other.halves))
    # In single precision: its rounding is a millionth of the spread, and it takes half the time.
    spread = [
        [weight @ influence.astype(np.float32) for weight, (_, influence) in zip(drawn, part, strict=True)]
        for part in compared
    ]
    differences = [spread[1][1] - spread[0][0], spread[1][0] - spread[0][1]]
    null = 0.5 * sum(np.abs(part).max(axis=1) for part in differences)
    # At the place where the true difference is largest, the seen one is smaller by its own error at most.
    pointwise = 0.5 * (differences[0] * np.sign(apart[0]) + differences[1] * np.sign(apart[1]))
    upper, lower = float(_quantile(pointwise).max()), float(_quantile(null))
    p_value = float((1 + (null >= value).sum()) / (1 + null.size))
    return Distance(value, float(np.median(null)), noise, p_value, Bounds(value, lower, max(upper, 0.0)))


def distance_from(prediction: Prediction, measured: LogSketch) -> float:
    """Kolmogorov-Smirnov distance of a prediction from what was measured, exact zeros left out of both."""
    # Both cumulative distributions are linear within bins, so the union of the edges holds all extrema of their gap.
    predicted = prediction.distribution
    edges = np.union1d(predicted.edges, measured.edges)
    shares = []
    for own_edges, mass in ((predicted.edges, predicted.mass), (measured.edges, measured.counts)):
        below = np.concatenate([[0.0], np.cumsum(mass, dtype=np.float64)])
        shares.append(np.interp(edges, own_edges, below / below[-1]))
    return float(np.abs(shares[0] - shares[1]).max())


def _compared(half: Half, unresolved: int) -> tuple[Float64[np.ndarray, " place"], Float64[np.ndarray, "group place"]]:
    """What is compared of a distribution, and the influence of each group on it.

    The share of fluctuations that are not zero, and of these the probability of each bin and of all above it, without
    the first bins that are not resolved.
    """
    there = float(half.mass.sum())
    if not there > 0:
        places = half.mass.size - unresolved + 1
        return np.zeros(places), np.zeros((len(half.influence), places))
    share, change = half.mass / there, half.influence.sum(axis=1, keepdims=True)
    influence = (half.influence - change * share) / there
    above, influence = _above(share)[unresolved:], _above(influence)[:, unresolved:]
    return np.append(above, there), np.concatenate([influence, change], axis=1)


def _above(mass: Float64[np.ndarray, "*groups bin"]) -> Float64[np.ndarray, "*groups bin"]:
    """Probability of each bin and of all above it."""
    return np.flip(np.cumsum(np.flip(mass, axis=-1), axis=-1), axis=-1)


def _quantile(resampled: Float[np.ndarray, "resampled *place"]) -> Float[np.ndarray, "*place"]:
    """Quantile at 1 - `LEVEL` over the bootstrap samples, as of `numpy.quantile` and in a third of its time."""
    place, part = divmod((1 - LEVEL) * (len(resampled) - 1), 1)
    ordered = np.sort(resampled, axis=0)[int(place) : int(place) + 2]
    return np.asarray(ordered[0] + part * (ordered[-1] - ordered[0]))


@lru_cache(maxsize=4)
def _weights(seed: int, *groups: int) -> tuple[Float32[np.ndarray, "resampled group"], ...]:
    """Times that each group is drawn beyond once, by bootstrap sample, with the variance of independent groups.

    The spread between few groups is itself uncertain: its relative error is that of Student's t. One array for each
    half, the same for all quantities of a network.
    """
    generator, drawn = np.random.default_rng(seed), []
    for number in groups:
        counts = generator.multinomial(number, np.full(number, 1 / number), size=RESAMPLED)
        freedom = max(number - 1, 1)
        student = np.sqrt(freedom / generator.chisquare(freedom, size=(RESAMPLED, 1)))
        drawn.append(((counts - 1.0) * np.sqrt(number / freedom) * student).astype(np.float32))
        drawn[-1].flags.writeable = False
    return tuple(drawn)
