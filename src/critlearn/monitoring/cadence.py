"""Cadence of measuring during training: every n steps, or as often as a share of the training time allows."""

import math
from dataclasses import dataclass
from typing import Final, Protocol

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, check_integer

SHARE: Final = 0.03
"""Time of measuring over the time of training; the cost of disturbed caches and memory comes on top.

Small beside the noise of training times; `docs/monitor_speed.md` shows what is measured within it.
"""

_GROWTH: Final = math.sqrt(2.0)
"""Ratio of a measured step to the one before: two measurements for each doubling of the number of steps."""


@dataclass
class Clock:
    """Times in seconds by which a cadence decides whether to measure.

    Parameters
    ----------
    training
        Time of training.
    start
        Time that the start of the monitor took.
    spent
        Time of all measurements since the start.
    last_cost
        Time of the last measurement.
    """

    training: float = 0.0
    start: float = 0.0
    spent: float = 0.0
    last_cost: float = 0.0


class Cadence(Protocol):
    """Decides whether a step is measured."""

    def due(self, step: int, clock: Clock) -> bool:
        """Whether to measure after this step."""
        ...

    def pays_for_series(self, seconds: float, clock: Clock) -> bool:
        """Whether the series may take so many seconds in all."""
        ...

    def pays_for_last(self, clock: Clock) -> bool:
        """Whether the state after the last step may be measured."""
        ...

    def seconds_of_a_state(self, clock: Clock) -> float:
        """Time after which a measurement takes no further samples."""
        ...

    @property
    def description(self) -> str:
        """Phrase that says at which steps it has measured."""
        ...


class EveryStep:
    """Measure at each multiple of a number of steps, whatever it costs.

    Raises
    ------
    InvalidInputError
        If the number is not a positive integer.
    """

    def __init__(self, every: int) -> None:
        check_integer("every", every)
        if every < 1:
            raise InvalidInputError(f"every must be at least 1 step; got {every}")
        self._every = every

    def due(self, step: int, clock: Clock) -> bool:
        """Whether the step is a multiple."""
        return step % self._every == 0

    def pays_for_series(self, seconds: float, clock: Clock) -> bool:
        """Return True: series go on whatever they cost."""
        return True

    def pays_for_last(self, clock: Clock) -> bool:
        """Return True: the last state is measured whatever it costs."""
        return True

    def seconds_of_a_state(self, clock: Clock) -> float:
        """Return infinity: all samples are measured."""
        return math.inf

    @property
    def description(self) -> str:
        """Phrase that says at which steps it has measured."""
        return f"at every multiple of {self._every} steps, at the first step and the last, whatever it took"


class WithinShare:
    """Measure at steps in geometric progression, each as soon as the share of the time allows it.

    The share must cover all measuring since the start, this measurement and a last one. The start itself, in which the
    network is looked at and compiled kernels are loaded, is not covered: otherwise nothing of the first minute of
    training would be measured. Nothing is measured before the first step.

    Parameters
    ----------
    share
        Greatest time of measuring since the start, over the time of training.

    Raises
    ------
    InvalidInputError
        If the share is not between 0 and 1.
    """

    def __init__(self, share: float = SHARE) -> None:
        if not 0 < as_number(share) < 1:
            raise InvalidInputError(f"the share of the time must be between 0 and 1; got {share}")
        self._share, self._next, self._late, self._made = share, 1, 0, 0

    def due(self, step: int, clock: Clock) -> bool:
        """Whether the step is due and the share allows to measure it."""
        if step == 0 or step < self._next or clock.spent + 2 * clock.last_cost > self._share * clock.training:
            return False
        self._made += 1
        self._late += step > self._next
        self._next = max(step + 1, math.ceil(step * _GROWTH))
        return True

    def pays_for_series(self, seconds: float, clock: Clock) -> bool:
        """Whether that is at most a quarter of the share."""
        # Most of the share is left for the measurements.
        return seconds <= 0.25 * self._share * clock.training

    def pays_for_last(self, clock: Clock) -> bool:
        """Whether the share of the time allows a measurement as long as the last one."""
        return clock.spent + clock.last_cost <= self._share * clock.training

    def seconds_of_a_state(self, clock: Clock) -> float:
        """A quarter of what the share gives so far: later states are paid for by the time until then."""
        return 0.25 * self._share * clock.training

    @property
    def description(self) -> str:
        """Phrase that says at which steps it has measured."""
        return (
            f"{self._made} times and at the end: the next is due when the number of steps has "
            f"grown by a factor of 1.41, and made once all measuring since the start takes no more than "
            f"{self._share:.3g} of the time of training; {self._late} of them were later than due"
        )
