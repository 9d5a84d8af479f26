"""Masses of laws without closed forms, from a table of panels: an exponential cut-off, or sums over integers.

Every panel's mass is a sum of positive numbers, and both tails are sums of panels, so that no digits cancel, whatever
the exponent; incomplete gamma and zeta functions exist for some exponents only. Single integers are panels of their
own as far as it takes. Beyond, a sum is the integral of ``f - f''/24`` between half-integers (Euler and Maclaurin).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.laws.power_law_mass import Logs, PowerLawMass, log_power_mass

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
"""Gauss points of a panel, which make it exact to the last digits."""

_STEP: Final = 0.25
"""Width of panels in ``u`` below the cut-off, and 1 in ``x / scale`` above: the law bends little on them."""

_VANISHED: Final = 760.0
"""Logarithm by which a law must have fallen to be zero in floats."""

_NO_CUTOFF: Final = 40.0
"""Distance below the scale, in ``u``, from which on ``exp(-x / scale)`` is 1 in floats."""

_LARGEST_LOG: Final = 709.0
"""Logarithm of nearly the largest float: a law without an end is tabulated up to here."""

_SMOOTH: Final = 2e-3
"""Relative change of the law from one integer to the next up to which integrals replace sums: the terms left out are
``7 f''''/5760``, 2e-14 of the mass.
"""

_NEWTON_STEPS: Final = 80
"""Steps at most: as many as halving alone needs for all digits, and more than Newton's method ever does."""

_CHUNK: Final = 1 << 15
"""Values whose panels are integrated at a time: 16 nodes each, 4 MiB."""


@dataclass(frozen=True, eq=False)
class TabulatedMass:
    """Law ``x^-k exp(-x / scale)`` of real numbers or integers, between two ends in ``u = ln x``.

    Parameters
    ----------
    exponent
        ``k``.
    lower, upper
        Ends, one of which may be infinite; of integers those half an integer beyond the first and the last.
    log_scale
        ``ln scale``; infinite without a cut-off.
    discrete
        Whether the law is one of integers.
    """

    exponent: float
    lower: float
    upper: float
    log_scale: float = math.inf
    discrete: bool = False

    @property
    def _theta(self) -> float:
        return 1 - self.exponent

    @property
    def _anchor(self) -> float:
        """Place from which logarithms are measured, as large ones would lose digits."""
        return self.lower if math.isfinite(self.lower) else min(self.log_scale, self.upper)

    def log_density(self, u: Logs) -> Logs:
        """Logarithm of the integrand in ``u``; of integers, of ``x`` times their probability."""
        fall = np.exp(u - self.log_scale) - math.exp(self._anchor - self.log_scale)
        return np.asarray(self._theta * (u - self._anchor) - fall)

    def _log_integrand(self, u: Logs) -> Logs:
        """`log_density`; for integers less the term that turns their sum into an integral."""
        if not self.discrete:
            return self.log_density(u)
        # f'/f = -(k/x + 1/scale), and f''/f = (f'/f)^2 + k/x^2.
        change = self.exponent * np.exp(-u) + math.exp(-self.log_scale)
        return np.asarray(self.log_density(u) + np.log1p(-(change**2 + self.exponent * np.exp(-2 * u)) / 24))

    @cached_property
    def _integers(self) -> Float64[np.ndarray, " integer"]:
        """Integers that are panels of their own."""
        if not self.discrete:
            return np.zeros(0)
        first, last = round(math.exp(self.lower) + 0.5), math.exp(min(self.upper, _LARGEST_LOG)) - 0.25
        rate = math.exp(-self.log_scale)
        smooth_from = (abs(self.exponent) + 3) / (0.5 * _SMOOTH)
        stop = smooth_from if rate < 0.5 * _SMOOTH else first + _VANISHED / rate
        return np.arange(first, math.floor(min(stop, last)) + 1, dtype=np.float64)

    @cached_property
    def _edges(self) -> Float64[np.ndarray, " edge"]:
        """Ends of all panels in ``u``: of single integers, then of smooth ones."""
        single = np.log(np.append(self._integers - 0.5, self._integers[-1:] + 0.5))
        start = float(single[-1]) if single.size else self.lower
        if not self.discrete:
            start = max(start, self.log_scale - _NO_CUTOFF)
        stop = min(self.upper, _LARGEST_LOG)
        if math.isfinite(self.log_scale):
            stop = min(self.upper, self.log_scale + math.log(math.exp(start - self.log_scale) + _VANISHED))
        bend = min(max(start, self.log_scale), stop)
        panels = math.ceil((bend - start) / _STEP * max(1.0, abs(self._theta) / 4))
        parts = [single[:-1], np.linspace(start, bend, panels + 1)]
        if stop > bend:
            first, last = math.exp(bend - self.log_scale), math.exp(stop - self.log_scale)
            parts.append(self.log_scale + np.log(np.linspace(first, last, math.ceil(last - first) + 1)[1:]))
        return np.concatenate(parts)

    @cached_property
    def _log_masses(self) -> Logs:
        """Logarithms of the panels' masses, between those of what lies before the first and after the last."""
        single, edges = len(self._integers), self._edges
        u = np.log(self._integers)
        before, after = (np.array([-math.inf]) for _ in range(2))
        if self.lower < edges[0]:
            before = self._before_table(edges[:1])
        if math.isinf(self.upper) and math.isinf(self.log_scale):
            after = log_power_mass(self._theta, edges[-1:] - self._anchor, math.inf)
        # A density in u holds the factor x that a sum over integers does not.
        return np.concatenate(
            [before, self.log_density(u) - u, self._integrals(edges[single:-1], edges[single + 1 :]), after]
        )

    def _before_table(self, u: Logs) -> Logs:
        """``ln`` of the mass below ``u``, where the cut-off is not felt."""
        low, high = self.lower - self._anchor, np.maximum(u, self.lower) - self._anchor
        return log_power_mass(self._theta, low, high) + math.exp(self._anchor - self.log_scale)

    def _integrals(self, low: Logs, high: Logs) -> Logs:
        """Logarithms of integrals over smooth panels or parts of them."""
        half = 0.5 * (high - low)
        values = self._log_integrand(0.5 * (low + high)[:, None] + half[:, None] * _NODES)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(half) + np.logaddexp.reduce(values + np.log(_WEIGHTS), axis=1))

    @cached_property
    def _log_up_to(self) -> Logs:
        """Logarithms of the masses below each edge."""
        return np.logaddexp.accumulate(self._log_masses)[:-1]

    @cached_property
    def _log_from(self) -> Logs:
        """Logarithms of the masses above each edge."""
        return np.logaddexp.accumulate(self._log_masses[::-1])[::-1][1:]

    @cached_property
    def log_total(self) -> float:
        """``ln`` of the whole mass."""
        return float(np.logaddexp.reduce(self._log_masses))

    def log_below(self, u: Logs) -> Logs:
        """``ln`` of the mass below ``u``, which for integers is half an integer beyond one."""
        return _in_chunks(self._below, u)

    def log_above(self, u: Logs) -> Logs:
        """``ln`` of the mass above ``u``, as for `log_below`."""
        return _in_chunks(self._above, u)

    def _panel(self, u: Logs) -> np.ndarray:
        """Index of the panel that holds ``u``."""
        return np.clip(np.searchsorted(self._edges, u, side="right") - 1, 0, len(self._edges) - 2)

    def _below(self, u: Logs) -> Logs:
        edges, at = self._edges, self._panel(u)
        part = np.full(u.shape, -math.inf)
        smooth = at >= len(self._integers)
        inside = np.clip(u, edges[at], edges[at + 1])[smooth]
        part[smooth] = self._integrals(edges[at][smooth], inside)
        mass = np.where(u >= edges[-1], self.log_total, np.logaddexp(self._log_up_to[at], part))
        return np.where(u < edges[0], self._before_table(u), mass)

    def _above(self, u: Logs) -> Logs:
        edges, at = self._edges, self._panel(u)
        part = self._log_masses[at + 1].copy()
        smooth = at >= len(self._integers)
        inside = np.clip(u, edges[at], edges[at + 1])[smooth]
        part[smooth] = self._integrals(inside, edges[at + 1][smooth])
        mass = np.where(u >= edges[-1], -math.inf, np.logaddexp(self._log_from[at + 1], part))
        low = np.clip(u, self.lower, edges[0])
        shift = math.exp(self._anchor - self.log_scale)
        rest = log_power_mass(self._theta, low - self._anchor, edges[0] - self._anchor) + shift
        before = np.logaddexp(self._log_from[0], rest)
        return np.where(u < edges[0], before, mass)

    def quantile(self, share: Float64[np.ndarray, "..."]) -> Logs:
        """Place ``u`` below which a share of the mass lies; the middle of an integer's panel."""
        return _in_chunks(self._quantile, share)

    def _quantile(self, share: Float64[np.ndarray, " n"]) -> Logs:
        """Newton's method for the logarithm of the nearer tail, kept inside the panel."""
        edges, upper = self._edges, share > 0.5
        with np.errstate(divide="ignore"):
            target = np.where(upper, np.log1p(-share), np.log(share)) + self.log_total
        at = np.searchsorted(self._log_up_to, target, side="right") - 1
        at[upper] = len(edges) - 1 - np.searchsorted(self._log_from[::-1], target[upper])
        low, high = (edges[np.clip(at, 0, len(edges) - 2) + step] for step in (0, 1))
        u = 0.5 * (low + high)
        moving = (at >= len(self._integers)) & (at < len(edges) - 1)
        for _ in range(_NEWTON_STEPS):
            if not moving.any():
                break
            x, right = u[moving], upper[moving]
            mass = np.empty_like(x)
            mass[right], mass[~right] = self._above(x[right]), self._below(x[~right])
            excess = np.where(right, -1.0, 1.0) * (mass - target[moving])
            low[moving], high[moving] = np.where(excess < 0, x, low[moving]), np.where(excess > 0, x, high[moving])
            new = x - excess * np.exp(mass - self._log_integrand(x))
            # A step leaves half the square of the excess; by rounding a small one may lead out of the bracket.
            small = (np.abs(excess) <= 1e-7) | (np.abs(new - x) <= 1e-15 * np.abs(x))
            outside = ~((new > low[moving]) & (new < high[moving])) & ~small
            u[moving] = np.where(outside, 0.5 * (low[moving] + high[moving]), new)
            moving[moving] = ~small
        before = at < 0
        if before.any():
            law = PowerLawMass(self._theta, self.lower, float(edges[0]))
            u[before] = law.quantile(np.exp(target[before] - self._log_up_to[0]))
        return np.where(share >= 1, self.upper, u)


def _in_chunks(function: Callable[[np.ndarray], np.ndarray], values: Logs) -> Logs:
    """Values of a function of many numbers, without large arrays in between."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    parts = [function(flat[at : at + _CHUNK]) for at in range(0, flat.size, _CHUNK)]
    return (np.concatenate(parts) if parts else flat).reshape(np.shape(values))
