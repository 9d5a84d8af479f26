"""Record of a monitor: the states of a training, one after the other, and the series of a few variables."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from critlearn.dynamics import Dynamics, analyze_series
from critlearn.equilibrium import TOLERANCE
from critlearn.monitoring.distribution import Distribution
from critlearn.monitoring.increments import PeriodIncrements
from critlearn.monitoring.updates import UpdateSeries
from critlearn.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

UPDATES = "updates"
"""Name of the distribution of the optimiser's updates, beside those of fluctuations."""


@dataclass(frozen=True, eq=False, repr=False)
class MonitoredState(Result):
    """State at one step: distributions of fluctuations, and the fraction of variables at equilibrium.

    Parameters
    ----------
    step
        Number of steps of the optimiser so far.
    training_seconds
        Time of training until then, without measuring.
    cost_seconds
        Time that was needed to measure it.
    rates
        Learning rates of the optimiser's groups.
    distributions
        By name: per-sample fluctuations at unit rate (``all`` or another quantity of `measure`), and ``updates``, those
        of the next step of the optimiser, where there was one.
    equilibrium_fraction
        Share of the variables that are not frozen with ``|drift| <= 0.1 fluctuation`` over the samples; None where
        nothing could be measured.
    frozen
        Variables that no sample moves.
    problem
        Why nothing could be measured; None otherwise.
    samples
        Number of samples on which it was measured; 0 in records of earlier versions, which took all.
    """

    step: int
    training_seconds: float
    cost_seconds: float
    rates: tuple[float, ...]
    distributions: Mapping[str, Distribution]
    equilibrium_fraction: float | None
    frozen: int | None
    problem: str | None = None
    samples: int = 0

    def summary(self) -> str:
        """One line for the state, and one for each distribution."""
        if self.problem is not None:
            return f"step {self.step}: {self.problem}"
        if self.step == 0:
            # An untrained network is at no equilibrium, whatever its drifts are.
            lines = ["step 0, before the training"]
        else:
            lines = [f"step {self.step}: {self.equilibrium_fraction:.1%} of the variables at equilibrium"]
        return "\n".join(lines + [f"  {name} {part.summary()}" for name, part in self.distributions.items()])


@dataclass(frozen=True, eq=False, repr=False)
class MonitorRecord(Result):
    """Fluctuations and equilibrium during a training.

    Fits are made when they are first asked for, by `to_dict`, `to_dataframe`, a figure or a state's
    ``distributions[name].fit``, unless they were made during training already.

    Parameters
    ----------
    states
        In the order of their steps.
    series
        Values of a few variables over time.
    samples, data_samples
        Number of samples on which fluctuations were measured, always the same ones, and of those in the data set; a
        state for which time did not pay has fewer.
    cadence
        When it was measured, in a sentence.
    steps
        Steps of the optimiser.
    training_seconds, monitor_seconds
        Time of training, and time of everything that the monitor did during it, start and end included.
    increments
        Increments of the variables of the series, counted by layer and by period; periods double in length.
    """

    bulky_fields = ("increments",)
    derived_values = ("overhead", "fraction_without_drift")

    states: tuple[MonitoredState, ...]
    series: UpdateSeries
    samples: int
    data_samples: int
    cadence: str
    steps: int
    training_seconds: float
    monitor_seconds: float
    increments: tuple[PeriodIncrements, ...] = ()

    @property
    def overhead(self) -> float:
        """Time of the monitor over the time of training."""
        return self.monitor_seconds / self.training_seconds if self.training_seconds > 0 else math.inf

    @property
    def fraction_without_drift(self) -> float:
        """Equilibrium fraction that would be found if no variable drifted at all.

        The mean over ``n`` random samples is off by ``S / sqrt(n)``, so that it is ``erf(0.1 sqrt(n / 2))`` for normal
        means (with the finite data set's smaller error), and 1 if all data are measured.
        """
        # Samples drawn without replacement: the variance of their mean shrinks by the share that is not measured.
        left = 1 - self.samples / self.data_samples
        return 1.0 if left <= 0 else math.erf(TOLERANCE * math.sqrt(self.samples / left / 2))

    def to_dataframe(self) -> "pd.DataFrame":
        """Row for each state and distribution."""
        import pandas as pd

        kept = ("axis", "count", "zeros", "exponent", "ci95", "decades", "verdict")
        rows = []
        for state in self.states:
            state_values = {
                "step": state.step,
                "training_seconds": state.training_seconds,
                "samples": state.samples,
                "equilibrium_fraction": state.equilibrium_fraction,
            }
            for name, part in state.distributions.items():
                values = part.to_dict()
                low, high = values.get("ci95") or (None, None)
                chosen = {key: values.get(key) for key in kept if key != "ci95"}
                rows.append({**state_values, "distribution": name, **chosen, "ci_low": low, "ci_high": high})
        return pd.DataFrame(rows)

    def dynamics(self, *, seed: int = 0) -> Dynamics:
        """What the series says over time: tails, avalanches of updates and correlations, beside surrogates.

        It is that of the longest stretch of successive steps. The axis is time: these exponents are others than those
        of fluctuations over samples.

        Raises
        ------
        InvalidInputError
            If there are fewer than 100 steps, or nothing has changed.
        """
        steps, values = self.series.longest_stretch()
        found = analyze_series(values, seed=seed)
        return replace(found, training=(int(steps[0]), int(steps[-1]), self.steps))

    def increments_table(self) -> "pd.DataFrame":
        """Tail of the increments of each layer in each period, in a row.

        Columns ``sampled_low`` and ``sampled_high`` are the statistical part of the interval, by which periods are told
        apart; ``ci_low`` and ``ci_high`` contain the systematic part, which is that of a tail that bends.
        """
        import pandas as pd

        rows = []
        for part in self.increments:
            fit = part.fit
            low, high = (fit and fit.ci95_total) or (None, None)
            sampled_low, sampled_high = (fit and fit.ci95) or (None, None)
            rows.append(
                {
                    "layer": part.layer,
                    "first_step": part.first_step,
                    "last_step": part.last_step,
                    "count": part.sketch.count,
                    "exponent": None if fit is None else fit.exponent,
                    "sampled_low": sampled_low,
                    "sampled_high": sampled_high,
                    "ci_low": low,
                    "ci_high": high,
                    "verdict": None if fit is None else str(fit.grade),
                }
            )
        return pd.DataFrame(rows)

    def plot_increments(self) -> "Figure":
        """Exponents of the tails of increments through training, a curve with its band for each layer."""
        from critlearn.figures.monitor import increments_figure

        return increments_figure(self.increments_table())

    def plot(self) -> "Figure":
        """Exponents and equilibrium fraction over the steps of training."""
        from critlearn.figures.monitor import monitor_figure

        return monitor_figure(self.to_dataframe(), self.fraction_without_drift)

    def summary(self) -> str:
        """Number of states, when they were measured, the overhead, and the last state."""
        lines = [
            f"{len(self.states)} states in {self.steps} steps, on {self.samples} of {self.data_samples} samples",
            f"measured {self.cadence}",
            f"overhead {self.overhead:.1%} of {self.training_seconds:.3g} s of training",
        ]
        return "\n".join(lines + ([self.states[-1].summary()] if self.states else []))
