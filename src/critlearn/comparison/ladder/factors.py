"""Factors of every fluctuation, and the predictions that follow from them if they are independent of each other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from critlearn.comparison.criteria import ONE_PATH, REACHES
from critlearn.comparison.ladder.level import COMPOSITION, GAUSSIAN, MARGINS, USES, USES_WITHOUT_MARGINS
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import Fluctuations
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.prediction import Prediction, PushForward
from critlearn.prediction.criteria import TOLERANCE
from critlearn.prediction.error_values import ErrorValues
from critlearn.prediction.prediction import with_limits
from critlearn.prediction.product import convolve, shifted
from critlearn.prediction.push_forward.channel import ErrorSignal
from critlearn.prediction.push_forward.push_forward import push_forward_parts

_DENSITIES: Final = {
    COMPOSITION: "uniform {what}",
    GAUSSIAN: "Gaussian {what} of each class",
    MARGINS: "the density of {number} {what}",
}
"""Densities of the levels that predict, in words."""

NO_PATH: Final = "all path factors are zero: so are the fluctuations"
"""Why a quantity is not predicted."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the fluctuations of every quantity: what the output errors depend on, and the path factors.

    Parameters
    ----------
    values
        What the errors of the samples depend on.
    paths
        Path factors: changes under errors of size 1.
    trained_with
        Name of the composition with which the network was trained, if `values` are those of another.
    scale
        Factor by which the output of the network is multiplied, and with it margins and path factors.
    """

    values: ErrorValues
    paths: Fluctuations
    trained_with: str | None = None
    scale: float = 1.0

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels that predict: without margins none is of the composition alone."""
        return (COMPOSITION, GAUSSIAN, MARGINS) if self.values.has_margins else (GAUSSIAN, MARGINS)

    @property
    def uses(self) -> Mapping[int, str]:
        """What each level uses, in words."""
        if not self.values.has_margins:
            return USES_WITHOUT_MARGINS
        what = self.values.kind
        return {level: words.replace("margins", what) for level, words in USES.items()}

    def error_law(self, level: int) -> PushForward:
        """Distribution of the error by a level."""
        if level == COMPOSITION:
            return self.uniform_law(REACHES[0])
        if level not in self._error_laws:
            made = {GAUSSIAN: self.values.gaussian, MARGINS: self.values.kernel}
            self._error_laws[level] = push_forward_parts(made[level]())
        return self._error_laws[level]

    @cached_property
    def _error_laws(self) -> dict[int, PushForward]:
        """Distributions that have been made, by level."""
        return {}

    def uniform_law(self, beyond: float) -> PushForward:
        """Distribution of the error at uniform margins that reach beyond the samples' by a part of their range."""
        if beyond not in self._uniform_laws:
            self._uniform_laws[beyond] = push_forward_parts(self.values.uniform(beyond))
        return self._uniform_laws[beyond]

    @cached_property
    def _uniform_laws(self) -> dict[float, PushForward]:
        """Distributions that have been made, by reach."""
        return {}

    def under(self, composition: ErrorSignal) -> "Factors":
        """Factors with the errors of another composition, at the same margins and path factors.

        Raises
        ------
        InvalidInputError
            If the samples have no margins, or some have no error and therefore no path factor.
        """
        return Factors(self.values.under(composition), self.paths, self.trained_with or self.values.name)

    def scaled(self, scale: float) -> "Factors":
        """Factors of the network with its output multiplied by a factor."""
        return replace(self, values=self.values.scaled(scale), scale=self.scale * scale)

    def prediction(self, name: str, level: int) -> Prediction:
        """Prediction of a quantity by a level from 0 to 2, from all samples.

        Raises
        ------
        InvalidInputError
            If there is no such level, or all path factors are zero.
        """
        law, paths = self.law(name, level), self.paths[name]
        values = self.values
        source = f"{values.name} with {_DENSITIES[level].format(number=values.values.size, what=values.what)}"
        if self.trained_with is not None:
            times = "" if self.scale == 1 else f", its output times {self.scale:.3g}"
            source += f" of the network trained with {self.trained_with}{times}"
        if level != COMPOSITION and not self.is_constant(name):
            source += f", times {paths.count:,} path factors of other samples"
        return with_limits(law, self.values.limits, TOLERANCE, source)

    def is_constant(self, name: str) -> bool:
        """Whether the path factor of a quantity is the same for all samples that have an error, and all variables."""
        paths = self.paths[name]
        reach = paths.log_range
        # Of a sample without any error no path factor is known, and zero is counted.
        unknown = paths.count * self.values.zeros
        return reach is not None and reach[1] - reach[0] <= ONE_PATH and paths.zeros <= unknown + 0.5

    def law(self, name: str, level: int) -> PushForward:
        """Distribution of the fluctuations of a quantity by a level from 0 to 2.

        Raises
        ------
        InvalidInputError
            If there is no such level, or all path factors are zero.
        """
        if level not in self.levels:
            allowed = ", ".join(map(str, self.levels))
            raise InvalidInputError(f"levels of {self.values.name} that predict are {allowed}; got {level}")
        error, paths = self.error_law(level), self.paths[name]
        if paths.log_range is None:
            raise InvalidInputError(NO_PATH)
        # A path factor that is one number, or taken at its mean, moves density and caustics as they are.
        constant = level == COMPOSITION or self.is_constant(name)
        return shifted(error, mean_log(paths)) if constant else convolve(error, paths)


def mean_log(paths: LogSketch) -> float:
    """Mean of ``ln|c|``."""
    counts = paths.counts
    mean = float(counts @ (0.5 * (paths.edges[1:] + paths.edges[:-1])) / counts.sum())
    # That of a single output is 1, which bins tell from numbers half a bin away at best.
    return 0.0 if abs(mean) < 0.5 * BIN_WIDTH else mean
