"""One sheet of a series: its tails, avalanches and correlations, beside those of its surrogates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from jaxtyping import Float64

from critlearn.dynamics.branching import BranchingRatio
from critlearn.dynamics.criteria import (
    MAIN_QUANTILE,
    QUANTILES,
    RESTS,
    STEPS_PER_THRESHOLD,
    SURROGATES,
    TAIL_SHARE,
)
from critlearn.dynamics.criticality import Criticality, conclusion, signs_of
from critlearn.dynamics.observables import (
    ActivityStatistics,
    AvalancheStatistics,
    activity_statistics,
    avalanche_statistics,
    fit_text,
)
from critlearn.dynamics.series import as_series, stream
from critlearn.dynamics.surrogates import phase_randomised, shuffled
from critlearn.errors import InvalidInputError, unknown_name
from critlearn.inference import Grade, PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.notation import estimate_text
from critlearn.numerics.validation import as_number, check_seed
from critlearn.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE: Final = "{:<17} {:>10}  {:<19} {:<19} {:<19} {:<5}  {}"
"""Columns of the table in a summary."""

ActivityOf = Literal["increments", "values"]
"""What the activity of a series is made of."""

_ACTIVITIES: Final[dict[ActivityOf, str]] = {
    "increments": "the size of increments, their root mean square over the variables",
    "values": "the values, summed over the variables",
}
"""Activities in words: all that stands below them is of these, and not of the series as it is."""


@dataclass(frozen=True, repr=False)
class Dynamics(Result):
    """What a series over time says.

    Parameters
    ----------
    steps, variables
        Shape of the series.
    activity_of
        What the activity is made of: ``increments`` or ``values``.
    values, increments
        Tails of the deviations of each variable from its median, and of its changes from step to step.
    observed, shuffled, phase_randomised
        What is measured on the activity, and the same on its surrogates. Avalanches with random phases are those of
        five signals together.
    thresholds
        Avalanches at other thresholds.
    signs
        Signs of criticality by name: there, not there, or None where the series does not tell.
    criticality
        What follows from them.
    seed
        Seed of surrogates and replicates.
    activity
        The activity itself.
    training
        Of a series that a monitor recorded: its first step, its last one, and the number of steps of the training.
    """

    steps: int
    variables: int
    activity_of: ActivityOf
    values: PowerLawFit | None
    increments: PowerLawFit | None
    observed: ActivityStatistics
    shuffled: ActivityStatistics
    phase_randomised: ActivityStatistics
    thresholds: tuple[AvalancheStatistics, ...]
    signs: dict[str, bool | None]
    criticality: Criticality
    seed: int
    activity: Float64[np.ndarray, " time"] = field(repr=False)
    training: tuple[int, int, int] | None = None

    bulky_fields = ("activity",)

    def extent(self) -> str:
        """Number of variables and of steps, and of how many steps of a training these are."""
        number = "1 variable" if self.variables == 1 else f"{self.variables:,} variables"
        if self.training is None:
            return f"{number} over {self.steps:,} steps"
        first, last, total = self.training
        if first <= 1 and last == total:
            return f"{number} over all {total:,} steps of a training"
        return f"{number} over {self.steps:,} of the {total:,} steps of a training ({first:,} to {last:,})"

    def summary(self) -> str:
        """A line for each observable, surrogates and thresholds beside."""
        words = {True: "yes", False: "no", None: "cannot tell"}
        signs = ", ".join(f"{name}: {words[there]}" for name, there in self.signs.items())
        lines = [f"{self.extent()}: {self.criticality} ({signs})"]
        lines += [f"tail of values: {fit_text(self.values)}", f"tail of increments: {fit_text(self.increments)}"]
        lines += [f"of {_ACTIVITIES[self.activity_of]}:", self.observed.summary()]
        lines += ["", *self._table()]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """Exponents of avalanches of the series, of its surrogates, and at other thresholds, a line for each."""
        columns = ("", "avalanches", "sizes", "durations", "waiting", "gamma", "branching")
        parts = (("series", self.observed), ("shuffled", self.shuffled), ("phases at random", self.phase_randomised))
        lines = [_LINE.format(*columns).rstrip()]
        lines += [_row(name, part.avalanches, part.branching) for name, part in parts]
        lines += [_row(f"quantile {row.quantile:g}", row, None) for row in self.thresholds]
        return [*lines, f"Avalanches with phases at random are those of {SURROGATES} signals together."]

    def plot(self) -> "Figure":
        """Activity, distributions of avalanches beside those of the surrogates, mean sizes, shapes and spectrum."""
        from critlearn.dynamics.picture import picture

        made = {
            "series": (self.observed, self.activity),
            "shuffled": (self.shuffled, shuffled(self.activity, self.seed)),
            "phases at random": (self.phase_randomised, phase_randomised(self.activity, self.seed)),
        }
        return picture(made, self.thresholds)


def _row(name: str, row: AvalancheStatistics, ratio: BranchingRatio | None) -> str:
    """Line of the table of surrogates and thresholds."""
    exponents = [_exponent(fit) for fit in (row.sizes, row.durations, row.waiting)]
    gamma = "-" if row.mean_size.exponent is None else f"{row.mean_size.exponent:.2f}"
    branching = "-" if ratio is None or ratio.ratio is None else f"{ratio.ratio:.3f}"
    return _LINE.format(name, row.count, *exponents, gamma, branching).rstrip()


def _exponent(fit: PowerLawFit | None) -> str:
    """Exponent with its interval where there are enough data."""
    if fit is None or fit.exponent is None or fit.ci95_total is None or fit.grade is Grade.TOO_FEW:
        return "-"
    return estimate_text(fit.exponent, fit.ci95_total)


def analyze_series(
    series: Any,
    *,
    activity: ActivityOf = "increments",
    times: Any = None,
    quantile: float | None = None,
    quantiles: Sequence[float] = QUANTILES,
    seed: int = 0,
) -> Dynamics:
    """Measure everything that a series over time tells, beside its surrogates.

    The axis is time. A distribution over time is another object than one over samples, or over variables at one time:
    their exponents need not agree.

    Parameters
    ----------
    series
        Values of shape (time,) or (time, variable), also in a file (``numpy.load(..., mmap_mode="r")``), which is read
        in blocks.
    activity
        The activity whose avalanches and correlations are measured: root mean square over the variables of the
        ``increments`` of a step, for the state of a system; or the sum over the variables of the ``values``, for series
        that are activities themselves, such as counts of events.
    times
        Times of the steps, which must be equally spaced; taken for granted if None.
    quantile
        Quantile of the activity that is the threshold of the avalanches judged. If None, 0 for an activity that rests
        at its least value for a twentieth of the time, otherwise the 0.75 quantile.
    quantiles
        Quantiles at which avalanches are compared.
    seed
        Seed of surrogates and replicates.

    Raises
    ------
    InvalidInputError
        If the series has fewer than 100 steps, does not change, holds NaN, or has no equally spaced times; there are
        more thresholds than it has data for; or an argument is out of range.
    """
    if activity not in ("increments", "values"):
        raise unknown_name("activity", str(activity), ("increments", "values"))
    check_seed(seed)
    array = as_series(series, times)
    if not isinstance(quantiles, Iterable):
        raise InvalidInputError(f"quantiles is a list of numbers; got {quantiles!r}")
    _check_quantiles((*quantiles, *(() if quantile is None else (quantile,))), len(array))
    streamed = stream(array)
    signal = streamed.activity if activity == "increments" else streamed.total
    if np.ptp(signal) == 0:
        raise InvalidInputError(f"the activity is {signal[0]:g} at every step: take the other kind of activity")
    chosen = _resting(signal) if quantile is None else quantile
    observed = activity_statistics(signal, chosen, seed)
    # A signal with random phases never rests: it is above its threshold for as long as the series is above its own.
    below = float((signal <= observed.avalanches.threshold).mean())
    reordered = activity_statistics(shuffled(signal, seed), chosen, seed)
    first, *others = (phase_randomised(signal, seed + number) for number in range(SURROGATES))
    turned = activity_statistics(first, below, seed, others)
    signs = signs_of(observed, (reordered, turned))
    return Dynamics(
        steps=len(array),
        variables=array.shape[1],
        activity_of=activity,
        values=fit_tail(streamed.values, seed),
        increments=fit_tail(streamed.increments, seed),
        observed=observed,
        shuffled=reordered,
        phase_randomised=turned,
        thresholds=tuple(avalanche_statistics(signal, level, seed)[0] for level in quantiles),
        signs=signs,
        criticality=conclusion(signs),
        seed=seed,
        activity=signal,
    )


def fit_tail(sketch: LogSketch, seed: int = 0) -> PowerLawFit | None:
    """Fit the tail of the sizes in a sketch, in the largest 3% of them; None if all are zero."""
    if sketch.count == sketch.zeros:
        return None
    floor = sketch.quantile(1 - TAIL_SHARE)
    return fit_power_law(sketch, side="large", sign="absolute", log_floor=floor, seed=seed)


def _check_quantiles(quantiles: Sequence[float], steps: int) -> None:
    """Raise if a quantile is not one, or there are too many of them."""
    for value in quantiles:
        if not 0 <= as_number(value) < 1:
            raise InvalidInputError(f"the quantile of a threshold lies in [0, 1); got {value!r}")
    if len(quantiles) * STEPS_PER_THRESHOLD > steps:
        raise InvalidInputError(
            f"{len(quantiles)} thresholds are more than {steps} time steps tell apart: at most "
            f"{steps // STEPS_PER_THRESHOLD}"
        )


def _resting(signal: np.ndarray) -> float:
    """Quantile of the threshold: the share of rest, where the activity rests."""
    rest = float((signal == signal.min()).mean())
    # Inside the flat part of the distribution, where no interpolation leads away from it.
    return rest / 2 if rest >= RESTS else MAIN_QUANTILE
