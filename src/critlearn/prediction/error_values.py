"""Values on which the output errors of samples depend: margins, outputs, residuals, or the errors themselves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from critlearn.errors import InvalidInputError
from critlearn.prediction.densities.margin_density import FEWEST, EmpiricalDensity, InputDensity, MarginDensity
from critlearn.prediction.limiting_exponents import distinct
from critlearn.prediction.push_forward.channel import BiasChannel, Channel, ErrorSignal, LogChannel
from critlearn.prediction.push_forward.push_forward import Part
from critlearn.prediction.scaling_window import Limit

_PROBES: Final = np.array([-31.0, -7.3, -2.1, -0.37, 0.21, 1.4, 3.3, 11.7])
"""Pre-activations at which the error signals of both classes are compared: both signs, small and saturated."""

UNDERSMOOTHED: Final = 0.5
"""Bandwidth of a kernel estimate in units of ``sd n^(-1/5)``: half of what is best for a density.

The bias of its distribution function, ``h^2 p'/2``, is then a tenth of the sampling error of 10,000 samples, so that
a test of the distribution does not reject the smoothing.
"""

_SAME: Final = 1e-9
"""Standard deviation of values, relative to their size, that is rounding."""

_NEIGHBOURS: Final = 0.5
"""Part of ``sqrt(n)`` values that lie between one and its k-th neighbour: a displacement so far moves the distribution
function by less than its sampling error, whatever the path factors make of the values."""


@dataclass(frozen=True, eq=False)
class ErrorValues:
    """Values on which the output errors of samples depend, with the maps from them to the errors' logarithms.

    Parameters
    ----------
    values
        Margins, outputs, residuals or ``ln|e|`` of the samples; a sample without any error has none (NaN).
    part
        Number of the channel of each sample.
    group
        Number of the class of each sample: margins of a class have a mean and a deviation of their own.
    channels
        Maps from a value to ``ln|delta|``, the learning rate included.
    limits
        Exponents of the composition where fluctuations become small.
    what
        What the values are, in words.
    name
        Composition, or loss.
    targets
        Class -1 or +1 of each sample, where the values are margins ``t y`` or outputs; 1 where they are margins of the
        true class, whose outputs are the margins; None where there are no classes.
    """

    values: Float64[np.ndarray, " sample"]
    part: Int64[np.ndarray, " sample"]
    group: Int64[np.ndarray, " sample"]
    channels: tuple[Channel, ...]
    limits: tuple[Limit, ...]
    what: str
    name: str
    targets: Float64[np.ndarray, " sample"] | None = None

    @property
    def has_margins(self) -> bool:
        """Whether the composition is told from the data: false where the values are the errors themselves."""
        return not isinstance(self.channels[0], LogChannel)

    @property
    def kind(self) -> str:
        """What the values are, in one word."""
        return "residuals" if "residuals" in self.what else "margins" if "margins" in self.what else "outputs"

    @property
    def zeros(self) -> float:
        """Share of the samples without any error."""
        return float(np.isnan(self.values).mean())

    def of(self, samples: Bool[np.ndarray, " sample"] | Int64[np.ndarray, " number"]) -> "ErrorValues":
        """Values of some samples."""
        targets = None if self.targets is None else self.targets[samples]
        return replace(
            self, values=self.values[samples], part=self.part[samples], group=self.group[samples], targets=targets
        )

    def of_existing(self, there: Bool[np.ndarray, " sample"]) -> "ErrorValues":
        """Values in which samples without any error have none."""
        return replace(self, values=np.where(there, self.values, np.nan))

    def under(self, composition: ErrorSignal) -> "ErrorValues":
        """Values on which the errors of the same samples depend under another composition, at the same margins.

        A margin of the true class of softmax is taken for the output of a composition with target 1: for a loss of that
        margin.

        Raises
        ------
        InvalidInputError
            If the samples have no margins, some of them have no error and therefore none, or too few are of a class.
        """
        if not isinstance(self.channels[0], BiasChannel) or self.targets is None:
            raise InvalidInputError(
                f"the errors of {self.name} depend on no margin of two classes, or of a true class, that another "
                "composition could take: predict the network trained with the other one"
            )
        missing = int(np.isnan(self.values).sum())
        if missing:
            raise InvalidInputError(
                f"{missing:,} of {self.values.size:,} samples have no error at all under {self.name}, so that their "
                "path factors are not known: start from a network whose loss has errors everywhere"
            )
        lr = math.exp(self.channels[0].log_rate)
        outputs = self.outputs
        if has_margin(composition) or bool((self.targets == 1).all()):
            found = values_of_margins(composition, outputs * self.targets, self.group, lr=lr)
        else:
            found = values_of_outputs(composition, outputs, self.targets, lr=lr)
        found.check()
        return replace(found, targets=self.targets)

    @property
    def outputs(self) -> Float64[np.ndarray, " sample"]:
        """Outputs of the samples; of softmax the margins of the true class, with target 1.

        Raises
        ------
        InvalidInputError
            If there are no targets of two classes.
        """
        if not isinstance(self.channels[0], BiasChannel) or self.targets is None:
            raise InvalidInputError(f"the errors of {self.name} are not those of an output of two classes")
        return self.values * self.targets if has_margin(self.channels[0].composition) else self.values

    def scaled(self, factor: float) -> "ErrorValues":
        """Values of a network whose output is multiplied by a positive factor, and with it all of its path factors."""
        channels = tuple(
            replace(channel, log_rate=channel.log_rate + math.log(factor))
            for channel in self.channels
            if isinstance(channel, BiasChannel)
        )
        return replace(self, values=self.values * factor, channels=channels)

    def log_fluctuations(self, values: Float64[np.ndarray, " sample"]) -> Float64[np.ndarray, " sample"]:
        """``ln|e|`` plus that of the learning rate for other values of the same samples; NaN stays NaN."""
        logs = np.full(values.shape, np.nan)
        for number, channel in enumerate(self.channels):
            own = (self.part == number) & ~np.isnan(values)
            logs[own] = channel.log_fluctuation(values[own])
        return logs

    def jittered(self, generator: np.random.Generator) -> Float64[np.ndarray, " sample"]:
        """Values drawn from a density: each sample's own, displaced by a normal number.

        Its deviation is the bandwidth of the kernel estimate, less where values lie closer together than that: values
        that many samples share, and the folds of a map, stay where they are.
        """
        displaced = self.values.copy()
        for number in range(len(self.channels)):
            own = (self.part == number) & ~np.isnan(self.values)
            if np.unique(self.values[own]).size > 1:
                density = _kernel(self.values[own])
                width = np.minimum(density.bandwidth, _to_neighbour(self.values[own]))
                displaced[own] += width * generator.normal(size=int(own.sum()))
                # Kernels are reflected at the ends.
                low, high = density.support
                displaced[own] = high - np.abs(high - (low + np.abs(displaced[own] - low)))
        return displaced

    def check(self) -> None:
        """Raise if densities of the values cannot be estimated.

        Raises
        ------
        InvalidInputError
            If the values of all samples are the same, or a channel has fewer than 10.
        """
        self.classes()
        numbers = np.bincount(self.part[~np.isnan(self.values)])
        few = numbers[(numbers > 0) & (numbers < FEWEST)]
        if few.size:
            raise InvalidInputError(f"a density of {self.what} needs {FEWEST} samples or more; got {few[0]}")

    def gaussian(self) -> list[Part]:
        """Normal densities with the mean and the standard deviation of each class."""
        return [
            Part(InputDensity("normal", mean, deviation), self.channels[part], share)
            for part, share, mean, deviation in self.classes()
        ]

    def classes(self) -> list[tuple[int, float, float, float]]:
        """Channel, share, mean and standard deviation of each class that has samples with errors.

        Raises
        ------
        InvalidInputError
            If the values of all samples are the same.
        """
        there = ~np.isnan(self.values)
        overall = float(self.values[there].std()) if there.any() else 0.0
        if not overall > _SAME * max(1.0, float(np.abs(self.values[there]).max(initial=0.0))):
            raise InvalidInputError(f"the {self.what} of all samples are the same: there is no density of them")
        found = []
        for group in np.unique(self.group[there]):
            own = there & (self.group == group)
            deviation = float(self.values[own].std())
            # A class of one sample, or of equal ones, is as wide as all: it has no deviation of its own.
            if not deviation > 0:
                deviation = overall
            share = float(own.sum() / there.sum())
            found.append((int(self.part[own][0]), share, float(self.values[own].mean()), deviation))
        return found

    def kernel(self) -> list[Part]:
        """Kernel estimate of the density for each channel.

        Raises
        ------
        InvalidInputError
            If a channel has fewer than 10 samples, or all of its values are the same.
        """
        return self.densities(_kernel)

    def uniform(self, beyond: float) -> list[Part]:
        """Uniform densities that reach beyond the values by a part of their range: the composition alone."""
        return self.densities(lambda values: _uniform(values, beyond))

    def densities(self, estimate: Callable[[Float64[np.ndarray, " n"]], MarginDensity]) -> list[Part]:
        """Density of the values of each channel that has some, estimated as a function of them says."""
        there = ~np.isnan(self.values)
        parts = []
        for number in np.unique(self.part[there]):
            own = self.values[there & (self.part == number)]
            parts.append(Part(estimate(own), self.channels[number], float(own.size / there.sum())))
        return parts


def has_margin(composition: ErrorSignal) -> bool:
    """Whether the error is the same function of the margin ``t y`` for both classes.

    True for an odd activation and a symmetric loss, false for an exponential or a softplus.
    """
    one, other = composition.log_error_signal(_PROBES, 1), composition.log_error_signal(-_PROBES, -1)
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-9))


def values_of_margins(
    composition: ErrorSignal,
    margins: Float64[np.ndarray, " sample"],
    classes: Int64[np.ndarray, " sample"] | None = None,
    *,
    lr: float = 1.0,
    what: str = "margins",
) -> ErrorValues:
    """Values that are margins, of one channel for all classes."""
    one = np.zeros(margins.size, dtype=np.int64)
    channel = BiasChannel(composition, log_rate=math.log(lr))
    limits = tuple(_limit(composition, 1.0))
    return ErrorValues(
        margins, one, one if classes is None else classes, (channel,), limits, f"output {what}", composition.name
    )


def values_of_outputs(
    composition: ErrorSignal,
    outputs: Float64[np.ndarray, " sample"],
    targets: Float64[np.ndarray, " sample"],
    *,
    lr: float = 1.0,
) -> ErrorValues:
    """Values on which the errors of a single output depend.

    Margins where the error is a function of the margin ``t y``, residuals where it is one of ``y - t``. Otherwise
    outputs, with a channel for each of two targets, or, for more targets, the logarithms of the errors.

    Raises
    ------
    InvalidInputError
        If shapes do not fit.
    """
    if outputs.shape != targets.shape or outputs.ndim != 1:
        raise InvalidInputError(
            f"one output and one target per sample are needed; got shapes {outputs.shape} and {targets.shape}"
        )
    values, group = np.unique(targets, return_inverse=True)
    classes = bool(np.isin(values, (-1.0, 1.0)).all())
    signs = 2.0 * targets - 1.0
    # Probabilities 0 and 1 are classes for a loss that takes them so.
    if (
        bool(np.isin(values, (0.0, 1.0)).all())
        and has_margin(composition)
        and _same_errors(composition, outputs, targets, outputs * signs)
    ):
        return replace(values_of_margins(composition, outputs * signs, group, lr=lr), targets=signs)
    if classes and has_margin(composition):
        return replace(values_of_margins(composition, outputs * targets, group, lr=lr), targets=targets)
    errors = composition.log_error_signal(outputs, targets)  # type: ignore[arg-type]
    residuals = outputs - targets
    # Shifted by 1, because the channels evaluate the error signal at target 1.
    if not classes and np.allclose(errors, composition.log_error_signal(residuals + 1.0, 1), rtol=1e-9, atol=1e-9):
        return values_of_margins(composition, residuals + 1.0, lr=lr, what="residuals")
    if values.size > 2:
        return values_of_errors(errors + math.log(lr), composition.name)
    channels = tuple(BiasChannel(composition, log_rate=math.log(lr), target=float(value)) for value in values)
    limits = distinct([limit for value in values for limit in _limit(composition, float(value))])
    what = "outputs, one density for each target"
    known = ErrorValues(outputs, group, group, channels, tuple(limits), what, composition.name)
    return replace(known, targets=targets) if classes else known


def _same_errors(
    composition: ErrorSignal,
    outputs: Float64[np.ndarray, " sample"],
    targets: Float64[np.ndarray, " sample"],
    margins: Float64[np.ndarray, " sample"],
) -> bool:
    """Whether the errors of outputs and targets are those of margins."""
    told = composition.log_error_signal(outputs, targets)  # type: ignore[arg-type]
    return bool(np.allclose(told, composition.log_error_signal(margins, 1), rtol=1e-9, atol=1e-9))


def values_of_errors(log_errors: Float64[np.ndarray, " sample"], name: str) -> ErrorValues:
    """Values that are the logarithms of the errors: composition and data are told together; ``-inf`` is no error."""
    one = np.zeros(log_errors.size, dtype=np.int64)
    values = np.where(np.isneginf(log_errors), np.nan, log_errors)
    return ErrorValues(values, one, one, (LogChannel(),), (), "output errors", name)


def _kernel(values: Float64[np.ndarray, " n"]) -> EmpiricalDensity:
    """Kernel estimate with too small rather than too large a bandwidth."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    # The robust deviation, so that outliers do not smooth the middle away.
    spread = min(float(values.std()), float(upper - lower) / 1.349 or math.inf)
    return EmpiricalDensity(values, bandwidth=UNDERSMOOTHED * spread * values.size ** (-1 / 5))


def _to_neighbour(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Distance of each value to its k-th neighbour, the nearer of the one above and the one below."""
    order = np.argsort(values)
    ordered, k = values[order], max(1, round(_NEIGHBOURS * values.size**0.5))
    gaps = ordered[k:] - ordered[:-k]
    end = np.full(k, np.inf)
    distance = np.empty_like(values)
    distance[order] = np.minimum(np.append(gaps, end), np.append(end, gaps))[: values.size]
    return distance


def _uniform(values: Float64[np.ndarray, " n"], beyond: float) -> InputDensity:
    """Uniform density that reaches beyond the values on both sides, by a part of their range."""
    low, high = float(values.min()), float(values.max())
    reach = beyond * (high - low or 1.0)
    return InputDensity("uniform", low - reach, high + reach)


def _limit(composition: ErrorSignal, target: float) -> Sequence[Limit]:
    limit = composition.asymptotic(target)
    return [] if limit.exponent is None else [Limit(limit.exponent, limit.exact)]
