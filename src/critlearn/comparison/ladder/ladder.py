"""Ladder of a network: predictions of every quantity that use more and more of it, held against what is measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from critlearn.comparison.agreement import Agreement, Bounds, both, standard_error
from critlearn.comparison.criteria import (
    DISTANCE,
    FEWEST_SAMPLES,
    LEAST_PREDICTED_SHARE,
    LEAST_REACH,
    LEAST_SAMPLES,
    LEAST_SHARE,
    MARGIN,
    REACHES,
    SETTLED,
    TAIL,
)
from critlearn.comparison.ladder import halves as from_halves
from critlearn.comparison.ladder.anatomy import Anatomy, anatomy_of, contribution
from critlearn.comparison.ladder.distance import Distance, distance_of
from critlearn.comparison.ladder.error_values import OutputState
from critlearn.comparison.ladder.factors import Factors, mean_log
from critlearn.comparison.ladder.halves import Halves
from critlearn.comparison.ladder.level import (
    COMPOSITION,
    GAUSSIAN,
    JOINT,
    MARGINS,
    USES,
    Level,
)
from critlearn.comparison.ladder.tail_theorem import TailTheorem, tail_theorem
from critlearn.comparison.predicted_exponent import predicted_on, quantile_window
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations
from critlearn.inference import PowerLawFit
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window
from critlearn.prediction import Prediction
from critlearn.prediction.error_values import ErrorValues
from critlearn.prediction.product import shifted


@dataclass(frozen=True, eq=False)
class Ladder:
    """Predictions of all levels for every quantity of a network.

    Parameters
    ----------
    state
        Output errors of all samples, and what they depend on.
    measured
        Fluctuations.
    paths
        Path factors: changes under errors of size 1.
    joint
        Changes under errors of displaced margins, each with the path factor of its own sample; None if they were not
        counted.

    Raises
    ------
    InvalidInputError
        If there are too few samples, or all errors are the same.
    """

    state: OutputState
    measured: Fluctuations
    paths: Fluctuations
    joint: Fluctuations | None = None

    def __post_init__(self) -> None:
        """Raise if nothing can be predicted."""
        samples = len(self.state.log_error)
        if samples < FEWEST_SAMPLES:
            raise InvalidInputError(f"predictions need {FEWEST_SAMPLES} samples or more; got {samples}")
        self._values.check()

    @property
    def levels_known(self) -> tuple[int, ...]:
        """Levels that this network has: without margins none is of the composition alone."""
        known = self.factors.levels
        return known if self.joint is None else (*known, JOINT)

    @cached_property
    def factors(self) -> Factors:
        """What the levels that predict are made of."""
        return Factors(self.state.values, self.paths)

    @property
    def _values(self) -> ErrorValues:
        return self.state.values

    @cached_property
    def _samples(self) -> int:
        return len(self.state.log_error)

    def prediction(self, name: str, level: int) -> Prediction:
        """Prediction of a quantity by a level from 0 to 2, from all samples; see `Factors.prediction`."""
        return self.factors.prediction(name, level)

    def levels(self, name: str, fit: PowerLawFit) -> tuple[Level, ...]:
        """Levels of a quantity, held against its measurement and the fit to it."""
        if self.paths[name].log_range is None or self.measured[name].log_range is None:
            return ()
        return tuple(self._level(name, level, fit) for level in self.levels_known)

    def anatomy(self, name: str, fit: PowerLawFit) -> Anatomy | None:
        """Anatomy of a measured exponent on its window; None where a counterfactual has no exponent there.

        Of a law with cut-off, on the part of the window below the cut-off. The one path factor of the counterfactuals
        is the mean of ``ln|c|`` over all samples; where next to no errors times that lie on the window, the mean over
        the fluctuations that do. Errors that are nearly alike, as those of long sequences, have no exponent of their
        own on a window that path factors make: where they reach over less than half of it, there are no parts to tell.
        """
        window, path = _window_below_cutoff(fit), self.paths[name]
        if window is None or path.log_range is None or self.measured[name].log_range is None:
            return None
        middle, made = self._middle(path, window), self._made(name)
        errors = self._values_from_halves[MARGINS]
        if not self._is_identity(name) and errors.reach < LEAST_REACH * (window.log_hi - window.log_lo):
            return None
        k1 = errors.shifted(middle).exponent(window)
        k2, k3 = made.levels[MARGINS].exponent(window), made.measured.exponent(window)
        if self._is_identity(name):
            # Nothing is multiplied, and nothing can depend on it: what differs is rounding to bins.
            k1 = k2 = k3
        if k1 is None or k2 is None or k3 is None:
            return None
        if not self._values.has_margins:
            return anatomy_of(None, k1, k2, k3, window)
        alone = self._alone(name, window)
        return anatomy_of(None if alone is None else (alone, np.zeros_like(k1[1])), k1, k2, k3, window)

    def _middle(self, path: LogSketch, window: Window) -> float:
        """Logarithm of the path factor that stands for all on a window."""
        errors, mean = self._values_from_halves[MARGINS], mean_log(path)
        below = np.concatenate([[0.0], np.cumsum(0.5 * (errors.halves[0].mass + errors.halves[1].mass))])
        centres = 0.5 * (path.edges[1:] + path.edges[:-1])

        def share(factor: Float64[np.ndarray, "*bin"]) -> Float64[np.ndarray, "*bin"]:
            """Share of the samples whose error times a factor lies on the window."""
            low, high = (np.interp(end - factor, errors.edges, below) for end in (window.log_lo, window.log_hi))
            return np.asarray(high - low)

        there = path.counts * share(centres)
        if share(np.array([mean]))[0] >= max(LEAST_SHARE, LEAST_SAMPLES / self._samples) or not there.sum() > 0:
            return mean
        return float(there @ centres / there.sum())

    def tail(self, name: str, window: Window | None = None) -> TailTheorem | None:
        """Tail theorem of a quantity: which of errors and path factors rules there, and whether the measurement agrees.

        Parameters
        ----------
        name
            Name of the quantity.
        window
            Tail of its fluctuations; by default the small ones, from their 0.1% to their 5% quantile.

        Returns
        -------
        TailTheorem or None
            None where nothing was measured, neither errors nor path factors have a tail, or the path factor is the same
            for all samples: it then has nothing to say.
        """
        path, own = self.paths[name], self.measured[name]
        if path.log_range is None or own.log_range is None or self._is_identity(name):
            return None
        window = quantile_window(own, *TAIL) if window is None else window
        measured = None if window is None else self._made(name).measured.exponent(window)
        if window is None or measured is None:
            return None
        errors = self._values_from_halves[MARGINS].shifted(mean_log(path))
        error = errors.exponent(window) if errors.share(window) >= LEAST_PREDICTED_SHARE else None
        return tail_theorem(error, self._halves(path), measured, window)

    def distance(self, name: str, level: int) -> Distance:
        """Distance of a level above 0 from the measurement of a quantity, and its sampling error."""
        made = self._made(name)
        return distance_of(made.levels[level], made.measured, log_floor=self.measured.log_floor)

    def _level(self, name: str, level: int, fit: PowerLawFit) -> Level:
        """One level of a quantity."""
        if level == COMPOSITION:
            return self._composition(name, fit)
        made = self._made(name)
        apart = self.distance(name, level)
        exponent, error = self._exponent(name, level, fit, made)
        if level == JOINT or (level == MARGINS and self._is_identity(name)):
            outcome, needed = None, None
        else:
            outcome, needed = _outcome(apart, exponent, error, fit, self._samples)
        return Level(
            level, self.factors.uses[level], exponent, error, apart.value, apart.noise, apart.p_value, outcome, needed
        )

    def _composition(self, name: str, fit: PowerLawFit) -> Level:
        """Level of the composition alone, which says an exponent on the window and no distribution."""
        window = _window_below_cutoff(fit)
        exponent = None if window is None else self._alone(name, window)
        error = _standard_error(fit)
        if exponent is None or fit.exponent is None or error is None:
            return Level(COMPOSITION, USES[COMPOSITION], exponent, None, None, None, None, Agreement.CANNOT_TELL, None)
        bounds = Bounds.of_error(exponent - fit.exponent, error)
        outcome = bounds.agreement(MARGIN)
        needed = bounds.needed(MARGIN, self._samples) if outcome is Agreement.CANNOT_TELL else None
        return Level(COMPOSITION, USES[COMPOSITION], exponent, error, None, None, None, outcome, needed)

    def _alone(self, name: str, window: Window) -> float | None:
        """Exponent of uniform margins and one path factor on a window; None where there is none.

        The margins reach so far that nothing more changes; where errors saturate it changes without end.
        """
        middle, last = self._middle(self.paths[name], window), None
        for reach in REACHES:
            exponent = predicted_on(shifted(self.factors.uniform_law(reach), middle), window)
            if exponent is not None and last is not None and abs(exponent - last) <= SETTLED:
                return exponent
            last = exponent
        return None

    def _exponent(self, name: str, level: int, fit: PowerLawFit, made: "_Made") -> tuple[float | None, float | None]:
        """Exponent of a level on the measured window, and the standard error of its difference from the measured."""
        if fit.window is None:
            return None, None
        joint = self.joint if level == JOINT else None
        there, measured = made.levels[level].exponent(fit.window), made.measured.exponent(fit.window)
        if fit.cutoff is None and fit.exponent is not None and there is not None and measured is not None:
            # Both on bins that are joined, which moves both alike.
            apart = contribution(there, measured)
            return fit.exponent + apart.value, apart.standard_error
        whole = self.factors.law(name, level) if joint is None else joint[name]
        exponent = predicted_on(whole, fit.window, cutoff=fit.cutoff is not None)
        if exponent is None:
            return None, None
        if fit.cutoff is not None:
            # The prediction is about as uncertain as the measurement, as both are made of as many samples.
            own = _standard_error(fit)
            return exponent, None if own is None else own * math.sqrt(2)
        return exponent, None

    @cached_property
    def _groups(self) -> int:
        """Number of groups of samples that all counts have."""
        every = (*self.measured.values(), *self.paths.values(), *(self.joint or {}).values())
        return min(sketch.groups for sketch in every)

    @cached_property
    def _joined(self) -> int:
        """Number of the sketches' bins that are joined."""
        spans = []
        for name in self.paths:
            reaches = [from_halves.resolved(part[name]).log_range for part in (self.measured, self.paths)]
            spans.append(sum(reach[1] - reach[0] for reach in reaches if reach is not None))
        return from_halves.bins_joined(max(spans, default=0.0))

    def _halves(self, sketch: LogSketch, missing: Float64[np.ndarray, " group"] | None = None) -> Halves:
        return from_halves.of_sketch(sketch.in_fewer_groups(self._groups), self._joined, missing)

    @cached_property
    def _values_from_halves(self) -> dict[int, Halves]:
        """Distributions of the error by level, from either half."""
        return {
            GAUSSIAN: from_halves.of_gaussian_values(self._values, self._groups, self._joined),
            MARGINS: from_halves.of_values(self._values, self._groups, self._joined),
        }

    def _is_identity(self, name: str) -> bool:
        """Whether the path factor is the same for all samples: the error itself is then what is measured."""
        return self.factors.is_constant(name)

    def _times(self, law: Halves, paths: Halves, name: str) -> Halves:
        """Distribution of errors times path factors of other samples."""
        # One factor for all moves the distribution, and spreads it over no bins.
        return law.shifted(mean_log(self.paths[name])) if self._is_identity(name) else from_halves.product(law, paths)

    @cached_property
    def _last_made(self) -> dict[str, "_Made"]:
        return {}

    def _made(self, name: str) -> "_Made":
        """Distributions of a quantity from either half; those of the last quantity are kept."""
        if name not in self._last_made:
            self._last_made.clear()
            group = from_halves.sample_groups(self._samples, self._groups)
            without = np.bincount(group[np.isneginf(self.state.log_error)], minlength=self._groups)
            rows = self.measured.samples // self._samples
            paths = self._halves(self.paths[name], without * float(self.measured.variables[name] * rows))
            levels = {level: self._times(law, paths, name) for level, law in self._values_from_halves.items()}
            if self.joint is not None:
                levels[JOINT] = self._halves(self.joint[name])
            self._last_made[name] = _Made(self._halves(self.measured[name]), levels)
        return self._last_made[name]


@dataclass(frozen=True, eq=False)
class _Made:
    """Distributions of a quantity from either half: measured, and of each level that has one."""

    measured: Halves
    levels: Mapping[int, Halves]


def _outcome(
    apart: Distance, exponent: float | None, error: float | None, fit: PowerLawFit, samples: int
) -> tuple[Agreement, int | None]:
    """Outcome of a level by its distance and, on a window, by its exponent; and the samples that would decide."""
    outcome, numbers = apart.bounds.agreement(DISTANCE), []
    if outcome is Agreement.CANNOT_TELL:
        numbers.append(apart.bounds.needed(DISTANCE, samples, apart.by_chance))
    if fit.window is not None and fit.exponent is not None:
        if exponent is None or error is None:
            # The level has next to nothing where the fluctuations are: that decides, or the distance does.
            return both(outcome, Agreement.CANNOT_TELL), None
        bounds = Bounds.of_error(exponent - fit.exponent, error)
        of_exponent = bounds.agreement(MARGIN)
        if of_exponent is Agreement.CANNOT_TELL:
            numbers.append(bounds.needed(MARGIN, samples))
        outcome = both(outcome, of_exponent)
    known = [number for number in numbers if number is not None]
    decides = outcome is Agreement.CANNOT_TELL and len(known) == len(numbers) > 0
    return outcome, max(known) if decides else None


def _standard_error(fit: PowerLawFit) -> float | None:
    """Standard error of a measured exponent; None without an interval."""
    return None if fit.ci95 is None else standard_error(fit.ci95)


def _window_below_cutoff(fit: PowerLawFit) -> Window | None:
    """Window of a fit, ending at its cut-off."""
    if fit.window is None or fit.cutoff is None:
        return fit.window
    high = min(fit.window.log_hi, math.log(fit.cutoff.scale))
    return Window.from_logs(fit.window.log_lo, high) if high > fit.window.log_lo else None
