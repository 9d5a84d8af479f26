"""Laws fitted to all data: a window on which one of them does as well needs no power law.

A short piece of any smooth density passes for a power law: the start of an exponential, a decade of a wide lognormal.
The alternatives on the window itself cannot tell, as they have become power laws there. A law that is fitted once, to
all of the data, can.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from critlearn.inference.counts.cells import FAR
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST_CELLS, WHOLE, WHOLLY_ACCEPTED, WINDOW_PARAMETERS
from critlearn.inference.laws.alternatives import (
    CUT_OFF,
    LAWS,
    Law,
    exponent_range,
    fit_law,
    slope_range,
    stretched_rates,
)
from critlearn.inference.laws.exponential_family import Family, Maximum, best_shape
from critlearn.inference.laws.lognormal import MOST_CELLS
from critlearn.inference.laws.scale_mixture import ScaleMixture
from critlearn.inference.laws.window_fits import WindowFit
from critlearn.results import Result

_NAMES: Final = ("lognormal", "exponential", "stretched exponential")
"""Alternatives that are fitted to all values; the others are power laws themselves."""

_SHAPES: Final = np.geomspace(0.05, 8.0, 24)
"""Shapes of a stretched exponential that are tried: from nearly a power law to steeper than a Gaussian."""


@dataclass(frozen=True, repr=False)
class Rival(Result):
    """A law fitted to all data, compared with the power law on its window.

    Parameters
    ----------
    name
        Which law.
    bic_gain
        Bayesian information criterion on the window, of the power law with its exponent and both ends less that of the
        law, of which nothing is fitted there; divided by the design effect of the groups. Positive: the law is better.
    exponent_range
        Change of the rival's own local exponent on the window.
    describes_all
        Whether a Kolmogorov-Smirnov test does not reject the rival on all values.
    """

    name: str
    bic_gain: float
    exponent_range: float
    describes_all: bool

    def as_good(self, tolerance: float) -> bool:
        """Whether it does as well as the power law, and is not that power law.

        A rival whose local exponent is constant within the tolerance is a power law on the window; it is a rival
        nevertheless if it describes all values, of which the power law describes some.
        """
        return self.bic_gain > 0 and (self.describes_all or self.exponent_range > 2 * tolerance)

    def summary(self) -> str:
        """One line: the law, and its gain on the window."""
        return f"{self.name} of all values, BIC gain {self.bic_gain:+.1f} on the window"


def rivals_of_all(
    counts: GroupedCounts, fit: WindowFit, *, bounded_below: bool, cutoff: bool = False
) -> tuple[Rival, ...]:
    """Lognormal, exponential, stretched exponential and mixture of scales, the best first, on the window of a fit.

    Empty if the window is too short.

    Parameters
    ----------
    counts, fit
        All data, and the power law on the window.
    bounded_below
        Whether nothing is known of values below those at hand (a resolution floor), so that laws start with them.
    cutoff
        Whether the law on the window is one with an exponential cut-off, to infinity.
    """
    joined = counts.joined(MOST_CELLS)
    start, stop = (int(np.abs(joined.edges - counts.edges[at]).argmin()) for at in (fit.start, fit.stop))
    if stop - start < FEWEST_CELLS:
        return ()
    below = 0.0 if bounded_below or counts.cells.first_integer is not None else FAR
    cells = joined.cells.extended(below, FAR)
    first = int(np.searchsorted(cells.edges, joined.edges[0] - 1e-12))
    everywhere = Family(cells, first, joined.pooled)
    window = Family(joined.cells.part(start, stop).extended(0.0, FAR if cutoff else 0.0), 0, joined.pooled[start:stop])
    share = joined.pooled / joined.pooled.sum()
    mean = float(share @ joined.cells.centres)
    variance = float(share @ (joined.cells.centres - mean) ** 2)
    nodes = window.cells.nodes[0] - mean
    power = window.maximise(0 * nodes, nodes[None], np.array([fit.theta]))
    if cutoff:
        power = fit_law(CUT_OFF, window, nodes, power)
    effect = fit.design_effect
    # The power law takes its parameters from the window and pays for them; nothing of a rival is fitted there, unless
    # the window holds nearly all values.
    penalty = 0.0 if fit.n >= WHOLE * counts.total else WINDOW_PARAMETERS * np.log(max(fit.n / effect, 1.0))
    effective = float(joined.pooled.sum()) / effect
    low, high = float(joined.edges[start]), float(joined.edges[stop])

    def rival(name: str, likelihood: float, change: float, masses: np.ndarray) -> Rival:
        """Make a rival of its likelihood and range of exponents on the window, and its masses on all cells."""
        gain = float(2 * (likelihood - power.log_likelihood) / effect + penalty)
        accepted = effective**0.5 * _distance(joined.pooled, masses) < WHOLLY_ACCEPTED
        return Rival(name, gain, change, accepted)

    rivals = []
    for law in (law for law in LAWS if law.name in _NAMES):
        best, shape = _fitted(law, everywhere, everywhere.cells.nodes[0] - mean, variance)
        there = window.evaluate(*law.terms(nodes, shape), best.coefficients)

        def log_density(
            u: np.ndarray, law: Law = law, shape: float = shape, coefficients: np.ndarray = best.coefficients
        ) -> np.ndarray:
            offset, basis = law.terms(u - mean, shape)
            return offset + coefficients @ basis

        change = exponent_range(log_density, low, high)
        rivals.append(rival(law.name, there.log_likelihood, change, np.exp(best.log_masses)))
    if counts.cells.first_integer is None:
        mixture = ScaleMixture.fitted(joined.cells, joined.pooled, bounded_below=bounded_below)
        masses = mixture.log_masses(window.cells.edges)
        # Normalised on the window, as the power law is.
        inside = masses[: stop - start] - np.logaddexp.reduce(masses)
        filled = window.pooled > 0
        likelihood = float(window.pooled[filled] @ inside[filled])
        densities = masses[: stop - start] - np.log(np.diff(window.cells.edges)[: stop - start])
        change = slope_range(densities, window.cells.centres[: stop - start])
        everything = mixture.log_masses(joined.edges)
        normalised = np.exp(everything - np.logaddexp.reduce(everything))
        rivals.append(rival("mixture of scales", likelihood, change, normalised))
    return tuple(sorted(rivals, key=lambda rival: -rival.bic_gain))


def _distance(pooled: np.ndarray, masses: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance between counts and probabilities of the same cells."""
    return float(np.abs(np.cumsum(pooled) / pooled.sum() - np.cumsum(masses)).max())


def _fitted(law: Law, family: Family, nodes: np.ndarray, variance: float) -> tuple[Maximum, float]:
    """Maximum over the coefficients and the shape, on all data."""

    # The nested one is the lognormal: it starts with the variance of the data.
    # A stretched exponential starts where it is best on all numbers.
    def maxima(shapes: np.ndarray, start: np.ndarray | None, enough: float) -> list[Maximum]:
        terms = [law.terms(nodes, shape) for shape in shapes.tolist()]
        offsets, bases = np.stack([offset for offset, _ in terms]), np.stack([basis for _, basis in terms])
        if start is None and law.nested:
            start = np.array([0.0, -0.5 / variance])
        starts = stretched_rates(family, bases)[:, None] if start is None else np.tile(start, (len(terms), 1))
        return family.maximise_each(offsets, bases, starts, enough)

    if law.shapes is None:
        return maxima(np.zeros(1), None, 0.0)[0], 0.0
    return best_shape(maxima, _SHAPES)
