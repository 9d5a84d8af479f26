"""Channels: maps ``l(x) = ln|delta|`` from an input to the fluctuation that it induces, with two derivatives."""

import math
import sys
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from critlearn.compositions import Asymptote
from critlearn.errors import InvalidInputError
from critlearn.prediction.densities.margin_density import Points

_LARGEST: Final = math.sqrt(sys.float_info.max)
"""Weight whose square is the largest finite number."""


@runtime_checkable
class Channel(Protocol):
    """Protocol of a map from an input to the logarithm of the fluctuation that it induces."""

    def log_fluctuation(self, x: Points) -> Points:
        """``l(x) = ln|delta|``, same shape; ``-inf`` where the fluctuation vanishes."""

    def derivatives(self, x: Points) -> tuple[Points, Points]:
        """``dl/dx`` and ``d2l/dx2``."""

    @property
    def singular(self) -> tuple[float, ...]:
        """Inputs at which the fluctuation vanishes or ``l`` has a kink."""


@runtime_checkable
class ErrorSignal(Protocol):
    """Protocol of a composition, or a designed loss: logarithm of the error signal and its derivatives."""

    @property
    def name(self) -> str:
        """Name for messages."""

    def log_error_signal(self, y: Points, t: float = 1) -> Points:
        """``lambda(y)``."""

    def log_error_derivatives(self, y: Points, t: float = 1) -> tuple[Points, Points]:
        """``lambda'`` and ``lambda''``."""

    def singular_points(self, t: float = 1) -> tuple[float, ...]:
        """Outputs at which the error signal vanishes, diverges or has a kink."""

    def asymptotic(self, t: float = 1) -> Asymptote:
        """Exponent where fluctuations become small."""


@dataclass(frozen=True)
class LogChannel:
    """Identity channel, whose input is ``ln|delta|`` itself."""

    def log_fluctuation(self, x: Points) -> Points:
        """The input."""
        return x

    def derivatives(self, x: Points) -> tuple[Points, Points]:
        """1 and 0."""
        return np.ones_like(x), np.zeros_like(x)

    @property
    def singular(self) -> tuple[float, ...]:
        """Empty: the identity has no singular points."""
        return ()


@dataclass(frozen=True)
class BiasChannel:
    """Channel of an output bias: ``l(x) = ln lr + lambda(w x + b)``, with ``w x + b`` the margin.

    Parameters
    ----------
    composition
        Activation and loss.
    weight, bias
        The margin as a linear function of the input; 1 and 0 if the input is the margin itself.
    log_rate
        ``ln`` of the learning rate.
    target
        Target of the composition; for the class 1 the pre-activation is the margin.

    Raises
    ------
    InvalidInputError
        If the square of the weight, which the curvature has as a factor, is no finite number.
    """

    composition: ErrorSignal
    weight: float = 1.0
    bias: float = 0.0
    log_rate: float = 0.0
    target: float = 1.0

    def __post_init__(self) -> None:
        """Check the weight."""
        if not abs(self.weight) < _LARGEST:
            raise InvalidInputError(
                f"a prediction takes a weight below {_LARGEST:.2g}; got {self.weight:.3g}: train with a smaller "
                "learning rate"
            )

    def log_fluctuation(self, x: Points) -> Points:
        """``ln|delta|``."""
        return self.log_rate + self.composition.log_error_signal(self.weight * x + self.bias, self.target)

    def derivatives(self, x: Points) -> tuple[Points, Points]:
        """Slope and curvature of ``ln|delta|``."""
        first, second = self.composition.log_error_derivatives(self.weight * x + self.bias, self.target)
        return self.weight * first, self.weight**2 * second

    @property
    def singular(self) -> tuple[float, ...]:
        """The kink of activations at ``y = 0``, and the zeros and poles of the error signal."""
        margins = self.composition.singular_points(self.target)
        return tuple((margin - self.bias) / self.weight for margin in margins)


@dataclass(frozen=True)
class WeightChannel:
    """Channel of the weight on a single input: fluctuation of the bias times ``|x|``."""

    error: BiasChannel

    def log_fluctuation(self, x: Points) -> Points:
        """``ln|delta|``."""
        with np.errstate(divide="ignore"):
            return self.error.log_fluctuation(x) + np.log(np.abs(x))

    def derivatives(self, x: Points) -> tuple[Points, Points]:
        """Slope and curvature of ``ln|delta|``."""
        first, second = self.error.derivatives(x)
        with np.errstate(divide="ignore"):
            return first + 1 / x, second - 1 / x**2

    @property
    def singular(self) -> tuple[float, ...]:
        """Singular points of the error, and the input 0, at which the fluctuation vanishes."""
        return (*self.error.singular, 0.0)


def inverse_slope(channel: Channel, x: float) -> float:
    """``1/l'`` at one input; NaN where the slope vanishes or is not finite."""
    first, _ = channel.derivatives(np.array([x]))
    return float(1 / first[0]) if math.isfinite(first[0]) and first[0] != 0 else math.nan
