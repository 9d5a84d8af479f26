"""Exponent of an ensemble of networks on one window, with the errors over networks and over samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.stats
from jaxtyping import Float64

from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST
from critlearn.inference.laws.window_fits import fit_window, resampled_theta
from critlearn.inference.window.cluster_bootstrap import group_weights
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.window import Window
from critlearn.results import Result

_REPLICATES: Final = 1000
"""Replicates of the bootstrap over groups: a variance is known to 4%."""


@dataclass(frozen=True, repr=False)
class EnsembleExponent(Result):
    """Exponents of power laws fitted to the networks of an ensemble on one window, their mean, and its interval.

    The exponent of network s is ``k + c + a_s + e_s``: ``a_s`` is what its seed changes, and the samples err by ``c``
    in all networks together and by ``e_s`` in this one alone. The mean of N networks then has the variance ``var(c) +
    (var(a) + var(e)) / N``. The variance among the exponents estimates ``var(a) + var(e)``, with N - 1 degrees of
    freedom. Drawing groups of samples anew, the same ones for all networks, gives the covariances of their exponents:
    two networks have ``var(c)`` in common, one network has ``var(c) + var(e)``. If every seed has data of its own,
    ``var(c)`` is 0 by itself. That networks trained on other samples would be others is in none of these errors.

    Parameters
    ----------
    exponents
        Exponent of each network; None where it has fewer than `FEWEST` fluctuations on the window.
    mean, sd
        Mean of the exponents, and their standard deviation.
    ci95
        95% interval of the mean: half widths by Student's t of both parts are added in quadrature; None with fewer
        than two networks or groups.
    seed_error
        Half of the 95% interval if there were only ``a``: what a fit to the pooled fluctuations lacks, whose bootstrap
        over groups has ``c`` and ``e`` already. A network with a share w of them weighs w there, so that the variance
        is ``var(a)`` times the sum of w^2, which is 1 / N for equal shares.
    """

    exponents: tuple[float | None, ...]
    mean: float | None
    sd: float | None
    ci95: tuple[float, float] | None
    seed_error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Exponents, mean, standard deviation and interval as plain values."""
        ends = None if self.ci95 is None else list(self.ci95)
        return {"exponents": list(self.exponents), "mean": self.mean, "sd": self.sd, "ci95": ends}

    def summary(self) -> str:
        """One line: the mean, its interval and the spread."""
        number = len(self.exponents) - self.exponents.count(None)
        if self.mean is None or self.sd is None or self.ci95 is None:
            return (
                f"{number} of {len(self.exponents)} networks with enough fluctuations on the window, too few to compare"
            )
        low, high = self.ci95
        return f"mean of {number} networks {self.mean:.3f} ({low:.3f} to {high:.3f}), standard deviation {self.sd:.2g}"


def ensemble_exponent(sketches: Sequence[LogSketch], window: Window | None, seed: int = 0) -> EnsembleExponent:
    """Exponent of an ensemble on a window whose ends lie on the grid of all sketches.

    Parameters
    ----------
    sketches
        Fluctuations of each network, in the same groups of samples.
    window
        Where to fit, as the fit to the pooled fluctuations has it; None if that has none.
    seed
        Seed of the replicates.
    """
    counts = [] if window is None else _on_window(sketches, window)
    fits = [fit_window(one, 0, len(one.cells)) if one.total >= FEWEST else None for one in counts]
    fits = fits or [None] * len(sketches)
    exponents = tuple(None if fit is None else fit.exponent for fit in fits)
    found = np.array([value for value in exponents if value is not None])
    if not found.size:
        return EnsembleExponent(exponents, None, None, None, None)
    mean = float(found.mean())
    fitted = [one for one, fit in zip(counts, fits, strict=False) if fit is not None]
    if found.size < 2 or fitted[0].groups < 2:
        return EnsembleExponent(exponents, mean, float(found.std(ddof=1)) if found.size > 1 else None, None, None)
    sd, number, groups = float(found.std(ddof=1)), found.size, fitted[0].groups
    common, own = _variances_over_samples(fitted, seed)
    of_seeds, of_groups = (float(scipy.stats.t(degrees).ppf(0.975)) for degrees in (number - 1, groups - 1))
    half = float(np.hypot(of_seeds * sd / number**0.5, of_groups * common**0.5))
    shares = np.array([one.total for one in fitted]) / sum(one.total for one in fitted)
    seed_error = of_seeds * (max(sd**2 - own, 0.0) * float((shares**2).sum())) ** 0.5
    return EnsembleExponent(exponents, mean, sd, (mean - half, mean + half), seed_error)


def _on_window(sketches: Sequence[LogSketch], window: Window) -> list[GroupedCounts]:
    """Counts of each sketch on the window, in the groups in which any of them has counted something."""
    first, stop = (round(end / BIN_WIDTH) for end in (window.log_lo, window.log_hi))
    cells = Cells.equal(first * BIN_WIDTH, BIN_WIDTH, stop - first)
    groups = max(sketch.groups for sketch in sketches)
    counts = np.zeros((len(sketches), groups, stop - first))
    for one, sketch in zip(counts, sketches, strict=True):
        begin, end = (min(max(at - sketch.first_bin, 0), sketch.bins) for at in (first, stop))
        at = begin + sketch.first_bin - first
        one[: sketch.groups, at : at + end - begin] = sketch.group_counts[:, begin:end]
    # As for a single sketch: a group without samples is none that could have been drawn.
    filled = np.logical_or.reduce([sketch.in_groups(groups).group_counts.any(axis=1) for sketch in sketches])
    return [GroupedCounts(cells, one[filled]) for one in counts]


def _variances_over_samples(counts: Sequence[GroupedCounts], seed: int) -> tuple[float, float]:
    """Variance over samples that two networks have in common on average, and that which each has alone."""
    groups = counts[0].groups
    weights = group_weights(groups, _REPLICATES, seed)
    theta: Float64[np.ndarray, "network replicate"]
    theta = np.stack([resampled_theta(one, weights, 0, len(one.cells)) for one in counts])
    theta = theta[:, np.isfinite(theta).all(axis=0)]
    # Drawing with replacement shrinks the variance of a mean over few groups.
    covariance = np.cov(theta, ddof=0) * groups / (groups - 1)
    networks = len(counts)
    total = float(np.trace(covariance)) / networks
    common = (float(covariance.sum()) / networks - total) / (networks - 1)
    return max(common, 0.0), total - common
