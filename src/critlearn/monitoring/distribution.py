"""Distribution that a monitor has measured: its sketch, its axis, and the power-law fit."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.results import Result


@dataclass(frozen=True, eq=False, repr=False)
class Distribution(Result):
    """Measured distribution of ``|dq|``.

    Parameters
    ----------
    sketch
        The counts.
    axis
        Axis of the distribution: ``samples``, ``variables`` or ``samples x variables``.
    log_floor
        ``ln|dq|`` below which values are rounding error; None if there are none.
    """

    sketch: LogSketch
    axis: str
    log_floor: float | None

    @cached_property
    def fit(self) -> PowerLawFit | None:
        """Power-law fit, made when it is first used; None if every value is an exact zero."""
        return None if self.sketch.log_range is None else fit_power_law(self.sketch, log_floor=self.log_floor)

    def to_dict(self) -> dict[str, Any]:
        """Axis and fit as plain values; only the counts if every value is an exact zero."""
        values = {"count": self.sketch.count, "zeros": self.sketch.zeros} if self.fit is None else self.fit.to_dict()
        return {"axis": self.axis, **values}

    def summary(self) -> str:
        """The fit in one line, with the axis."""
        law = "every change is exactly zero" if self.fit is None else self.fit.summary()
        return f"over {self.axis}: {law}"
