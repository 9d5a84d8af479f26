"""Scale of a network's output at which a loss that it was not trained with is stationary."""

from typing import Final

import numpy as np
import scipy.optimize
from jaxtyping import Float64

from critlearn.compositions import OutputLoss
from critlearn.errors import InvalidInputError

_SCALES: Final = np.linspace(-7.0, 7.0, 57)
"""Logarithms of the scales that are looked at: a thousandth to a thousand, in steps of a quarter."""


def equilibrium_scale(
    loss: OutputLoss, outputs: Float64[np.ndarray, " sample"], targets: Float64[np.ndarray, " sample"]
) -> float:
    """Factor a of the outputs y at which the mean loss of ``a y`` is lowest: ``E[y dh/dy(a y)] = 0``.

    Raises
    ------
    InvalidInputError
        If the loss falls as far as a thousandth, or a thousand, times the outputs.
    """

    def slope(log_scale: float) -> float:
        sign, log_size = loss.log_output_error(np.exp(log_scale) * outputs, targets)
        return float(np.mean(sign * np.exp(log_size) * outputs))

    slopes = np.array([slope(float(scale)) for scale in _SCALES])
    # Where the loss stops falling; of several places the one nearest to the outputs as they are.
    lowest = np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] >= 0))
    if not lowest.size:
        raise InvalidInputError(
            f"{loss.name} has no lowest mean for any scale of the outputs from a thousandth to a thousand: take the "
            "margins as they are"
        )
    at = lowest[np.argmin(np.abs(_SCALES[lowest]))]
    return float(np.exp(scipy.optimize.brentq(slope, _SCALES[at], _SCALES[at + 1])))
