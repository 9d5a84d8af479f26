"""Increments of a few variables of each layer, counted period by period: their tails through a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.dynamics import fit_tail
from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.inference import PowerLawFit
from critlearn.numerics.log_sketch import LogSketch
from critlearn.results import Result

_GROUPS: Final = 64
"""Stretches of time that a bootstrap resamples."""

_ROWS: Final = 16
"""Successive steps of one stretch: longer than updates remember each other, unless momentum is large."""


@dataclass(frozen=True, eq=False, repr=False)
class PeriodIncrements(Result):
    """Increments of the chosen variables of a layer during one period of a training.

    Parameters
    ----------
    layer
        Name of the layer.
    first_step, last_step
        Steps between which they were taken; periods double in length.
    sketch
        Their counts, by stretch of time; the axis is time, of the variables together.
    """

    layer: str
    first_step: int
    last_step: int
    sketch: LogSketch

    bulky_fields = ("sketch",)
    derived_values = ("fit",)

    @cached_property
    def fit(self) -> PowerLawFit | None:
        """Fit of the tail, made when it is first used; None where nothing has changed."""
        return fit_tail(self.sketch)

    def summary(self) -> str:
        """Layer, period and exponent in one line."""
        tail = "nothing has changed" if self.fit is None else self.fit.summary()
        return f"{self.layer}, steps {self.first_step} to {self.last_step}: {tail}"


class IncrementCounter:
    """Counts the increments of blocks of successive steps: what it keeps grows with the logarithm of the steps."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, int], PeriodIncrements] = {}
        self._rows = 0

    def add(self, steps: list[int], values: Mapping[str, Float64[np.ndarray, "step entry"]]) -> None:
        """Count a block of successive steps, of values by name of the variable."""
        if len(steps) < 2:
            return
        group = (self._rows + np.arange(len(steps) - 1)) // _ROWS % _GROUPS
        self._rows += len(steps) - 1
        first, last = steps[0], steps[-1]
        for name, held in values.items():
            change = np.diff(held, axis=0)
            # Training that has diverged is told by the states.
            if not np.isfinite(change).all():
                continue
            sketch = LogSketch.from_values(change.ravel(), np.repeat(group, change.shape[1]), _GROUPS)
            key = (layer_of(name), last.bit_length())
            before = self._counted.get(key)
            if before is None:
                self._counted[key] = PeriodIncrements(key[0], first, last, sketch)
            else:
                merged = before.sketch.merge(sketch)
                self._counted[key] = PeriodIncrements(key[0], before.first_step, last, merged)

    def periods(self) -> tuple[PeriodIncrements, ...]:
        """Everything counted so far, layer by layer."""
        return tuple(self._counted.values())

    def copy(self) -> "IncrementCounter":
        """Counter that goes on by itself."""
        other = IncrementCounter()
        other._counted, other._rows = dict(self._counted), self._rows
        return other
