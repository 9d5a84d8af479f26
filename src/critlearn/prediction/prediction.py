"""Prediction of fluctuations: density, exponent and window, from a composition and a density alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.notation import power_text
from critlearn.numerics.truncated_power_law import exponent_on
from critlearn.numerics.window import Window
from critlearn.prediction.product import convolve
from critlearn.prediction.push_forward.caustics import Caustic
from critlearn.prediction.push_forward.push_forward import PushForward
from critlearn.prediction.scaling_window import Limit, scaling_anywhere, scaling_near
from critlearn.results import Result


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Result):
    """Predicted distribution of the fluctuations of one quantity, with its exponent and window.

    Parameters
    ----------
    exponent
        ``k`` of ``p(delta) ~ delta^-k`` on the window; None if there is no window of half a decade.
    exact
        The exponent as a rational number, if it is the exact limit of the composition.
    window
        Interval on which the predicted local exponent stays within the tolerance of the exponent.
    tolerance
        Largest distance of the local exponent from the exponent in the window.
    distribution
        Predicted distribution of ``ln|delta|``.
    source
        Composition and density from which the prediction was made, in words.
    """

    exponent: float | None
    exact: str | None
    window: Window | None
    tolerance: float
    distribution: PushForward
    source: str

    @property
    def caustics(self) -> tuple[Caustic, ...]:
        """Fluctuation sizes at which the predicted density diverges."""
        return self.distribution.caustics

    def exponent_on(self, window: Window) -> float | None:
        """Exponent of the power law nearest to the predicted density on a window; None if it has nothing there."""
        even = self.distribution.even()
        try:
            return exponent_on(even.edges, even.mass, window)
        except InvalidInputError:
            # The window lies outside of the bins.
            return None

    def to_dict(self) -> dict[str, Any]:
        """Exponent, window and caustics as plain values, None where there is none.

        The ends of the window are included as natural logarithms too, as the lower one may be below the smallest float.
        """
        return {
            "exponent": self.exponent,
            "exact": self.exact,
            "window": [self.window.lo, self.window.hi] if self.window else None,
            "log_window": [self.window.log_lo, self.window.log_hi] if self.window else None,
            "decades": self.window.decades if self.window else None,
            "tolerance": self.tolerance,
            "zeros": self.distribution.zeros,
            "caustics": [caustic.to_dict() for caustic in self.caustics],
            "source": self.source,
        }

    def curve(self) -> dict[str, list[float | None]]:
        """Density and local exponent over ``ln|delta|``, at about 2,000 points."""
        every = slice(None, None, max(1, self.distribution.mass.size // 2000))
        unknown = np.full(self.distribution.mass.size, np.nan)
        kappa, data = (
            unknown if part is None else part
            for part in (self.distribution.intrinsic_exponent, self.distribution.data_term)
        )
        return {
            "log_delta": _plain(self.distribution.centres[every]),
            "log_density": _plain(self.distribution.log_density[every]),
            "exponent": _plain(self.distribution.local_exponent[every]),
            "kappa": _plain(kappa[every]),
            "data_term": _plain(data[every]),
        }

    def summary(self) -> str:
        """One phrase, e.g. ``delta^-1 (exact) on [1e-05, 0.1] (4.0 decades)``."""
        if self.exponent is None or self.window is None:
            return "no power law over half a decade or more"
        value = power_text("delta", self.exact or f"{self.exponent:.3f}")
        return f"{value}{' (exact)' if self.exact else ''} on {self.window.summary()}"


def _plain(values: Float64[np.ndarray, " n"]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def check_settings(lr: float, tolerance: float) -> None:
    """Raise if the learning rate or the tolerance is not a positive number.

    Raises
    ------
    InvalidInputError
        If one is not positive and finite.
    """
    for name, value in (("learning rate", lr), ("tolerance", tolerance)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidInputError(f"the {name} must be positive and finite; got {value}")


def predict_product(error: Prediction, factor: LogSketch, what: str = "activities") -> Prediction:
    """Predict the fluctuations of weights: the error of the unit times the activity at the other end of the weight.

    The two are assumed to be independent, so that the distributions of their logarithms convolve (theory, products).

    Parameters
    ----------
    error
        Prediction for the bias of the unit.
    factor
        Activities ``|a_j|`` over samples and units; exact zeros are left out, as they make the fluctuation zero.
    what
        What the factors are, in words.
    """
    distribution = convolve(error.distribution, factor)
    source = f"{error.source}, times {factor.count:,} {what} taken to be independent of it"
    return with_limits(distribution, [], error.tolerance, source)


def with_limits(distribution: PushForward, limits: Sequence[Limit], tolerance: float, source: str) -> Prediction:
    """Make a prediction with a known limit if the local exponent reaches it, else with the widest constant."""
    scaling = scaling_near(distribution, limits, tolerance) or scaling_anywhere(distribution, tolerance)
    if scaling is None:
        return Prediction(None, None, None, tolerance, distribution, source)
    return Prediction(scaling.exponent, scaling.exact, scaling.window, tolerance, distribution, source)
