"""Updates of the optimiser: of all variables in one step, and of a few variables in many steps."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from critlearn.fluctuations import GROUPS
from critlearn.fluctuations.counting.protocol import counter_for
from critlearn.fluctuations.quantities import check_name
from critlearn.monitoring.criteria import RESOLVED_SPACINGS
from critlearn.monitoring.distribution import Distribution
from critlearn.monitoring.increments import IncrementCounter, PeriodIncrements
from critlearn.numerics.log_sketch import LogSketch
from critlearn.results import Result

_MOST_BLOCKS: Final = 512
"""Blocks that are kept, the last 131,072 steps: 64 MB of 64 values of 64 bits. What comes before is counted only."""

_BLOCK: Final = 256
"""Successive steps of a series between two checks that it keeps within its share of the time.

Updates need successive steps, so that a series stops and goes on by blocks: of this length only 1 in 256 is lost. Where
it has to pause, it goes on by twice as many blocks each time: avalanches need long stretches.
"""


def update_distribution(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Distribution:
    """Distribution over variables of ``|q(t+1) - q(t)|``, momentum, adaptive rates and weight decay included.

    Entries with the same first index, which are a unit's, stay in one group of the bootstrap. The stored values have
    been rounded: below eight spacings of the largest of them an update is mostly rounding, and kept out of fits.

    Parameters
    ----------
    before, after
        Values of the trainable variables, by name.

    Raises
    ------
    InvalidInputError
        If a value is not finite.
    """
    sketches = []
    floor = 0.0
    for name, old in before.items():
        new = after[name].detach()
        change = (new.double() - old.double()).reshape(len(old) if old.dim() else 1, -1)
        # A row is a unit, by the first index: its entries share a group.
        rows = torch.arange(len(change), device=change.device)
        counter = counter_for(change.device, GROUPS, exact=True)
        counter.add_values(change, torch.zeros(len(change), dtype=torch.float64, device=change.device), rows % GROUPS)
        sketches.append(counter.sketch())
        # Spacing of the numbers at the largest value: each stored value is rounded by up to half of it.
        floor = max(floor, float(new.abs().max()) * torch.finfo(new.dtype).eps)
    return Distribution(
        LogSketch.pooled(sketches), "variables", math.log(RESOLVED_SPACINGS * floor) if floor > 0 else None
    )


@dataclass(frozen=True, eq=False, repr=False)
class UpdateSeries(Result):
    """Values of a few variables, step by step: their updates are distributed over time.

    Parameters
    ----------
    entries
        Flat indices of the entries, by name of the variable.
    values
        Their values, in the precision in which they are stored, by name.
    steps
        Steps after which they were taken, ascending; not all, where that would have taken too long.
    """

    derived_values = ("axis", "step_count")
    bulky_fields = ("values", "steps")

    entries: Mapping[str, Int64[np.ndarray, " entry"]] = field(default_factory=dict)
    values: Mapping[str, Float64[np.ndarray, "step entry"]] = field(default_factory=dict)
    steps: Int64[np.ndarray, " step"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    axis = "time"

    @property
    def step_count(self) -> int:
        """Number of steps at which values were taken."""
        return len(self.steps)

    def summary(self) -> str:
        """Number of variables and of steps."""
        return f"{sum(map(len, self.entries.values()))} variables after each of {self.step_count} steps"

    def longest_stretch(self) -> tuple[Int64[np.ndarray, " step"], Float64[np.ndarray, "step variable"]]:
        """Longest stretch of successive steps, the last of equal ones, and the values of all variables during it."""
        if not len(self.steps) or not self.values:
            return self.steps[:0], np.zeros((0, 1))
        ends = np.append(np.flatnonzero(np.diff(self.steps) != 1) + 1, len(self.steps))
        lengths = np.diff(ends, prepend=0)
        # The last: early in a training, a series is one of the approach.
        stop = int(ends[::-1][np.argmax(lengths[::-1])])
        chosen = slice(stop - int(lengths.max()), stop)
        return self.steps[chosen], np.concatenate([part[chosen] for part in self.values.values()], axis=1)

    def updates(self, name: str) -> Float64[np.ndarray, "update entry"]:
        """``q(t+1) - q(t)`` of a variable's chosen entries wherever both steps were taken.

        Raises
        ------
        InvalidInputError
            If there is no series of that name.
        """
        check_name(name, {known: 0 for known in self.entries})
        return np.diff(self.values[name], axis=0)[np.diff(self.steps) == 1]


class SeriesRecorder:
    """Records the values of a few entries after each step, on the device of the variables.

    Parameters
    ----------
    variables
        Trainable variables by name.
    entries
        Flat indices of the entries, by name.
    """

    def __init__(self, variables: Mapping[str, Tensor], entries: Mapping[str, Int64[np.ndarray, " entry"]]) -> None:
        self._entries = dict(entries)
        self._taken = [
            (name, variables[name], torch.from_numpy(index).to(variables[name].device))
            for name, index in entries.items()
        ]
        self._blocks: deque[tuple[list[int], dict[str, Tensor]]] = deque(maxlen=_MOST_BLOCKS)
        self._counter = IncrementCounter()
        self._steps: list[int] = []
        self._buffers: dict[str, Tensor] = {}
        self._seconds, self._recorded = 0.0, 0
        # Blocks that are paid for, and those of the stretch after the next pause.
        self._paid, self._next_stretch, self._paused = 1, 2, False

    def due(self, pays: Callable[[float], bool]) -> bool:
        """Whether to record the next step.

        Parameters
        ----------
        pays
            Whether so many seconds of recording are within the share of the time.
        """
        if 0 < len(self._steps) < _BLOCK or self._paid:
            return True
        if not self._paused:
            if pays(self._seconds):
                return True
            self._paused = True
        price = self._next_stretch * _BLOCK * self._seconds / self._recorded
        if not pays(self._seconds + price):
            return False
        self._paid, self._paused = self._next_stretch, False
        self._next_stretch = min(2 * self._next_stretch, _MOST_BLOCKS)
        return True

    def take(self, step: int) -> None:
        """Record the values after a step."""
        if not self._taken:
            return
        start = time.perf_counter()
        if not self._steps or len(self._steps) == _BLOCK:
            self._start_block()
            self._paid = max(self._paid - 1, 0)
        row = len(self._steps)
        for name, value, index in self._taken:
            torch.take(value.detach(), index, out=self._buffers[name][row])
        self._steps.append(step)
        self._recorded += 1
        self._seconds += time.perf_counter() - start

    def series(self) -> UpdateSeries:
        """Series recorded so far."""
        blocks = [*self._blocks, (self._steps, self._buffers)] if self._steps else list(self._blocks)
        return UpdateSeries(
            self._entries,
            {
                name: np.concatenate(
                    [buffers[name][: len(steps)].double().cpu().numpy() for steps, buffers in blocks]
                    or [np.zeros((0, len(index)))]
                )
                for name, index in self._entries.items()
            },
            np.array([step for steps, _ in blocks for step in steps], dtype=np.int64),
        )

    def increments(self) -> tuple[PeriodIncrements, ...]:
        """Increments counted so far, by layer and period."""
        counter = self._counter.copy()
        counter.add(self._steps, _arrays(self._steps, self._buffers))
        return counter.periods()

    def _start_block(self) -> None:
        """Move the full block to the CPU, count its increments, and begin another."""
        if self._steps:
            kept = {name: buffer.cpu() for name, buffer in self._buffers.items()}
            self._blocks.append((self._steps, kept))
            self._counter.add(self._steps, _arrays(self._steps, kept))
        self._steps = []
        self._buffers = {name: value.detach().new_empty((_BLOCK, len(index))) for name, value, index in self._taken}


def _arrays(steps: list[int], buffers: Mapping[str, Tensor]) -> dict[str, Float64[np.ndarray, "step entry"]]:
    """Rows of buffers that are filled."""
    return {name: buffer[: len(steps)].double().cpu().numpy() for name, buffer in buffers.items()}
