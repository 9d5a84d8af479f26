"""When to measure during training: at every n-th step, or as often as a share of the training time pays for."""

import math
from dataclasses import dataclass
from typing import Final, Protocol

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number, check_integer

SHARE: Final = 0.03
"""Time of measuring in units of that of training; what it costs beside, in caches and memory, comes on top."""

_GROWTH: Final = math.sqrt(2.0)
"""From one step that is measured to the next: two for each doubling."""


@dataclass
class Clock:
    """Seconds of training, of the start, and of measuring since then; and what the last measurement took."""

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
        """Whether the series, which have taken so many seconds, may go on."""
        ...

    @property
    def told(self) -> str:
        """What it did, in a sentence."""
        ...


class EveryStep:
    """Each multiple of a number of steps, whatever it costs.

    Raises
    ------
    InvalidInputError
        If the number is no positive integer.
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
        """Always."""
        return True

    @property
    def told(self) -> str:
        """What it did."""
        return f"at every multiple of {self._every} steps, at the first step and the last, whatever it took"


class WithinShare:
    """Steps in geometric progression, each as soon as all measuring since the start, with a last one, is paid for.

    The start is the price of having a monitor: compiled kernels are loaded then. If it had to be paid for first, there
    would be nothing of the first minute of training.

    Parameters
    ----------
    share
        Greatest time of measuring since the start in units of the time of training.

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
        """Whether the step's turn has come and it is paid for."""
        if step < self._next or clock.spent + 2 * clock.last_cost > self._share * clock.training:
            return False
        self._made += 1
        self._late += step > self._next
        self._next = max(step + 1, math.ceil(step * _GROWTH))
        return True

    def pays_for_series(self, seconds: float, clock: Clock) -> bool:
        """Up to a quarter of the share."""
        return seconds <= 0.25 * self._share * clock.training

    @property
    def told(self) -> str:
        """What it did."""
        return (
            f"at the first step, the last, and {self._made} between: the next is due when the number of steps has "
            f"grown by a factor of 1.41, and made once all measuring since the start takes no more than "
            f"{self._share:.3g} of the time of training; {self._late} of them were later than due"
        )
