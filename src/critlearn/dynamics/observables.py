"""Everything that is measured on one activity: avalanches at a threshold, and correlations in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
from jaxtyping import Float64

from critlearn.dynamics.avalanches import Avalanches, find_avalanches, joined, waiting_times
from critlearn.dynamics.branching import BranchingRatio, branching_ratio
from critlearn.dynamics.crackling import CracklingRelation, MeanSize, crackling_relation, mean_size
from critlearn.dynamics.criteria import TREND_BLOCKS
from critlearn.dynamics.shape import ShapeCollapse, shape_collapse
from critlearn.dynamics.spectrum import AutocorrelationTime, SpectralSlope, autocorrelation_time, spectral_slope
from critlearn.errors import InvalidInputError
from critlearn.inference import Grade, PowerLawFit, fit_power_law
from critlearn.inference.criteria import FEWEST
from critlearn.numerics.notation import estimate_text
from critlearn.results import Result


@dataclass(frozen=True, repr=False)
class AvalancheStatistics(Result):
    """Avalanches above one threshold, with their exponents.

    Parameters
    ----------
    quantile, threshold
        Share of the time steps that are not above the threshold, and the threshold.
    count
        Number of avalanches.
    sizes, durations, waiting
        Fits of sizes, of durations, and of the times between steps above the threshold; None where there is none.
    mean_size, relation
        Mean size of a duration, and the crackling-noise relation.
    """

    quantile: float
    threshold: float
    count: int
    sizes: PowerLawFit | None
    durations: PowerLawFit | None
    waiting: PowerLawFit | None
    mean_size: MeanSize
    relation: CracklingRelation | None

    def summary(self) -> str:
        """A line for each exponent."""
        lines = [f"{self.count} avalanches above {self.threshold:.4g} (quantile {self.quantile:.3g})"]
        for name, fit in (("sizes", self.sizes), ("durations", self.durations), ("waiting times", self.waiting)):
            lines.append(f"{name}: {fit_text(fit)}")
        lines.append(self.mean_size.summary())
        return "\n".join(lines if self.relation is None else [*lines, self.relation.summary()])


@dataclass(frozen=True, repr=False)
class ActivityStatistics(Result):
    """An activity: its avalanches, their shapes, its correlations in time, and whether it has a trend.

    Parameters
    ----------
    trend_p_value
        Probability that a series without a trend has mean ranks, of stretches of time, that rise or fall as much
        (Kendall): below a thousandth there is one.
    """

    avalanches: AvalancheStatistics
    shapes: ShapeCollapse
    branching: BranchingRatio
    spectrum: SpectralSlope
    autocorrelation: AutocorrelationTime
    trend_p_value: float

    def summary(self) -> str:
        """A line for each observable."""
        parts: tuple[Result, ...] = (*(self.avalanches, self.shapes, self.branching, self.spectrum),)
        lines = [part.summary() for part in (*parts, self.autocorrelation)]
        return "\n".join([*lines, f"trend: p = {self.trend_p_value:.2g}"])


def fit_text(fit: PowerLawFit | None) -> str:
    """Exponent with its interval and grade, or why there is none."""
    if fit is None:
        return "too few"
    if fit.exponent is None or fit.ci95_total is None or fit.decades is None or fit.grade is Grade.TOO_FEW:
        return str(fit.grade)
    return f"exponent {estimate_text(fit.exponent, fit.ci95_total)} over {fit.decades:.1f} decades ({fit.grade})"


def avalanche_statistics(
    activity: Float64[np.ndarray, " time"], quantile: float, seed: int = 0
) -> tuple[AvalancheStatistics, Avalanches]:
    """Find avalanches above a quantile of an activity, and fit their laws.

    Errors are over blocks of neighbouring avalanches where these depend on each other.
    """
    return pooled_statistics([activity], quantile, seed)


def pooled_statistics(
    activities: Sequence[Float64[np.ndarray, " time"]],
    quantile: float,
    seed: int = 0,
) -> tuple[AvalancheStatistics, Avalanches]:
    """Find the avalanches of several activities, each above its own quantile, and fit their laws to all together."""
    thresholds = [float(np.quantile(activity, quantile)) for activity in activities]
    pairs = list(zip(activities, thresholds, strict=True))
    found = joined([find_avalanches(activity, threshold) for activity, threshold in pairs])
    sizes = _fit(found.sizes, seed)
    durations = _fit(found.durations.astype(np.float64), seed)
    waiting = _fit(np.concatenate([waiting_times(*pair) for pair in pairs]).astype(np.float64), seed)
    window = None if durations is None or durations.window is None else durations.window
    mean = mean_size(found, window)
    relation = None if sizes is None or durations is None else crackling_relation(sizes, durations, mean)
    return AvalancheStatistics(quantile, found.threshold, len(found), sizes, durations, waiting, mean, relation), found


def activity_statistics(
    activity: Float64[np.ndarray, " time"],
    quantile: float,
    seed: int = 0,
    replicas: Sequence[Float64[np.ndarray, " time"]] = (),
) -> ActivityStatistics:
    """Measure everything on an activity; avalanches also on replicas of it, which have its correlations."""
    statistics, found = pooled_statistics([activity, *replicas], quantile, seed)
    return ActivityStatistics(
        statistics,
        shape_collapse(found, seed),
        branching_ratio(activity, seed),
        spectral_slope(activity),
        autocorrelation_time(activity),
        _trend_p_value(activity),
    )


def _trend_p_value(activity: Float64[np.ndarray, " time"]) -> float:
    """P-value of Kendall's rank correlation between time and the mean rank of the activity in a stretch of it."""
    ranks = scipy.stats.rankdata(activity)
    means = [part.mean() for part in np.array_split(ranks, min(TREND_BLOCKS, activity.size // 10))]
    # Ranks are bounded: a few large values, of which a heavy tail is made, are no trend.
    return float(np.nan_to_num(scipy.stats.kendalltau(np.arange(len(means)), means).pvalue, nan=1.0))


def _fit(values: np.ndarray, seed: int) -> PowerLawFit | None:
    """Fit with what only further computation needs left out; None of so few values that their interval says nothing."""
    if values.size < FEWEST:
        return None
    try:
        return replace(fit_power_law(values, seed=seed), counts=None)
    except InvalidInputError:
        return None
