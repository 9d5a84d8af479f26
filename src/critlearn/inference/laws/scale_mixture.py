"""Gaussian numbers whose scales are lognormal: what pooling over variables of different scales looks like."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float64

from critlearn.inference.counts.cells import FAR, Cells

_REACH: Final = 8.0
"""Standard deviations up to which scales are summed over: beyond, their weight is below rounding."""

_STEP: Final = 0.4
"""Step of the trapezoidal rule, in ln|delta|: its error falls as ``exp(-pi^2 / (2 step))``, here to 5e-6."""

_MOST_NODES: Final = 1001
"""Nodes of the sum over scales at most: a width of 25, which spans hundreds of decades, is still exact."""

_VARIANCE: Final = math.pi**2 / 8
"""Variance of ``ln|z|`` for a standard normal ``z``."""

_MEAN: Final = -0.5 * (math.log(2.0) + float(np.euler_gamma))
"""Mean of ``ln|z|`` for a standard normal ``z``, -0.635."""

_LEAST_WIDTH: Final = 0.05
"""Width of the narrowest mixture: it cannot be told from a single Gaussian."""


@dataclass(frozen=True)
class ScaleMixture:
    """Law of ``|delta| = exp(m + s n) |z|`` with ``n`` and ``z`` standard normal and independent.

    A mixture of Gaussians over scales: none of them has a heavy tail, and together they are close to a power law over
    a decade or two (theory, inference).
    """

    log_scale: float
    width: float

    def log_masses(self, edges: Float64[np.ndarray, " edge"]) -> Float64[np.ndarray, " cell"]:
        """Logarithms of the probabilities between edges in ``ln delta``.

        ``P(|delta| < d | n) = erf(d / (sqrt(2) exp(m + s n)))``, summed over ``n`` by the trapezoidal rule; above the
        scale by its complement.
        """
        count = min(2 * math.ceil(_REACH * max(self.width, 1.0) / _STEP) + 1, _MOST_NODES)
        nodes = np.linspace(-_REACH, _REACH, count)
        weights = np.exp(-0.5 * nodes**2)
        reduced = edges[:, None] - self.log_scale - self.width * nodes
        # At exp(6) the complement is zero long since: the bound prevents overflow and changes nothing.
        size = np.exp(np.minimum(reduced, 6.0)) / math.sqrt(2.0)
        below, above = scipy.special.erf(size), scipy.special.erfc(size)
        # Differences of erf below the scale and of erfc above it: neither cancels.
        inside = np.where(size[:-1] < 0.5, below[1:] - below[:-1], above[:-1] - above[1:])
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(inside, 0.0) @ (weights / weights.sum()))

    @classmethod
    def fitted(
        cls, cells: Cells, counts: Float64[np.ndarray, " cell"], *, bounded_below: bool = False
    ) -> "ScaleMixture":
        """Mixture of maximum likelihood on all counts; if bounded, normalised above the first cell's lower edge."""
        share = counts / counts.sum()
        mean = float(share @ cells.centres)
        variance = float(share @ (cells.centres - mean) ** 2)
        filled = counts > 0

        def loss(parameters: np.ndarray) -> float:
            law = cls(float(parameters[0]), max(math.exp(parameters[1]), _LEAST_WIDTH))
            value = float(share[filled] @ law.log_masses(cells.edges)[filled])
            if bounded_below:
                value -= float(law.log_masses(np.array([cells.edges[0], cells.edges[-1] + FAR]))[0])
            # A finite number, as the simplex compares values and NaN compares with nothing.
            return -value if math.isfinite(value) else 1e300

        start = [mean - _MEAN, 0.5 * math.log(max(variance - _VARIANCE, _LEAST_WIDTH**2))]
        found = scipy.optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9})
        return cls(float(found.x[0]), max(math.exp(float(found.x[1])), _LEAST_WIDTH))
