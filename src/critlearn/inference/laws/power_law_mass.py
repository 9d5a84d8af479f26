"""Mass of a power law between two sizes, in logarithms and in closed form, for every real exponent.

In ``u = ln x`` the mass is ``int exp(theta u) du`` with ``theta = 1 - k``. Both tails come from the distance to their
own end, never by subtraction from 1, and ``theta = 0`` is the limit of the same formula.
"""

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float64

Logs = Float64[np.ndarray, "..."]


def log_power_mass(theta: float, low: Logs | float, high: Logs | float) -> Logs:
    """``ln int_low^high exp(theta u) du``; an end may be infinite where the integral exists.

    >>> float(log_power_mass(0.0, 0.0, np.e)), round(float(log_power_mass(-2.0, 1.0, np.inf)), 9)
    (1.0, -2.693147181)
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    size = abs(theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.where(high > low, high - low, 0.0)
        # exprel(-y) = (1 - exp(-y)) / y is exact for small y too, where the law is nearly log-uniform.
        bounded = np.log(length) + np.log(scipy.special.exprel(-size * length))
        mass = np.where(np.isinf(length), -np.log(size), bounded)
        # The largest value of the integrand is taken out, so that nothing overflows.
        return np.asarray(mass + (theta * np.where(theta > 0, high, low) if theta else 0.0))


@dataclass(frozen=True)
class PowerLawMass:
    """Power law ``exp(theta u)`` between two ends in ``u = ln x``, of which one may be infinite."""

    theta: float
    lower: float
    upper: float

    @property
    def _anchor(self) -> float:
        """Finite end from which distances are measured, as large logarithms would lose digits."""
        return self.lower if np.isfinite(self.lower) else self.upper

    @property
    def log_total(self) -> float:
        """``ln`` of the mass between the ends."""
        return float(self.log_below(np.asarray(self.upper)))

    def log_density(self, u: Logs) -> Logs:
        """Logarithm of the integrand."""
        return np.asarray(self.theta * (u - self._anchor))

    def log_below(self, u: Logs) -> Logs:
        """``ln`` of the mass between the lower end and ``u``."""
        return log_power_mass(self.theta, self.lower - self._anchor, u - self._anchor)

    def log_above(self, u: Logs) -> Logs:
        """``ln`` of the mass between ``u`` and the upper end."""
        return log_power_mass(self.theta, u - self._anchor, self.upper - self._anchor)

    def quantile(self, share: Float64[np.ndarray, "..."]) -> Logs:
        """Place ``u`` below which a share of the mass lies."""
        theta, length = self.theta, self.upper - self.lower
        with np.errstate(divide="ignore", invalid="ignore"):
            if theta > 0:
                # From the upper end, which holds the mass: exp(-theta length) may vanish.
                least = np.exp(-theta * length)
                u = self.upper + np.log(share + (1 - share) * least) / theta
                near = self.lower + np.log1p(share * np.expm1(theta * min(length, 1 / theta))) / theta
                return np.where(theta * length <= 1, near, u)
            if theta * length > -1e-300:
                return np.asarray(self.lower + share * length)
            rest = np.expm1(theta * length)
            low = np.log1p(share * rest)
            # Above the median 1 - share is exact, and log1p of nearly -1 is not.
            high = np.log((1 - share) + share * np.exp(theta * length))
            return np.asarray(self.lower + np.where((share > 0.5) & (theta * length < -1), high, low) / theta)
