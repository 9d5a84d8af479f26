"""One measured distribution with its axis, and the power law that it does or does not follow."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from critlearn.inference import PowerLawFit, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.results import Result


@dataclass(frozen=True, eq=False, repr=False)
class Distribution(Result):
    """Sketch of ``|dq|`` with what one must know to read it.

    Parameters
    ----------
    sketch
        The counts.
    axis
        Over what it is distributed: ``samples``, ``variables`` or ``samples x variables``.
    log_floor
        ``ln|dq|`` below which values are rounding error; None if there are none.
    """

    sketch: LogSketch
    axis: str
    log_floor: float | None

    @cached_property
    def fit(self) -> PowerLawFit | None:
        """Power law and its verdict, made when it is first asked for; None where every value is an exact zero."""
        return None if self.sketch.log_range is None else fit_power_law(self.sketch, log_floor=self.log_floor)

    def to_dict(self) -> dict[str, Any]:
        """Axis, and the fit as plain values."""
        told = {"count": self.sketch.count, "zeros": self.sketch.zeros} if self.fit is None else self.fit.to_dict()
        return {"axis": self.axis, **told}

    def summary(self) -> str:
        """The fit in one line, with the axis."""
        law = "every change is exactly zero" if self.fit is None else self.fit.summary()
        return f"over {self.axis}: {law}"
