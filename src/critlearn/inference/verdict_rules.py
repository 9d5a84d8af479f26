"""The rules by which a fit gets its verdict; `FitVerdict` states them in words."""

import math
from dataclasses import dataclass

import numpy as np

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import (
    ACCEPTED,
    DECADE,
    FEWEST,
    LARGEST_DRIFT,
    MISSING_VALUES,
    MOST_BELOW_FLAT,
    MOST_EMPTY,
    REJECTED_AFTER_SEARCH,
    WHOLE,
    WIDEST_INTERVAL,
)
from critlearn.inference.laws.global_alternatives import Rival
from critlearn.inference.laws.lognormal import Lognormal
from critlearn.inference.laws.window_fits import WindowFit, cell_probabilities
from critlearn.inference.result import Basis, FitVerdict

Judgement = tuple[FitVerdict, str]
"""Verdict and the reason for it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence for the verdict on a window: counts, fit, tests and tolerance."""

    counts: GroupedCounts
    fit: WindowFit
    basis: Basis
    ci95: tuple[float, float]
    p_value: float
    search_repeated: bool
    lognormal: Lognormal | None
    rival: Rival | None
    tolerance: float

    @property
    def half_width(self) -> float:
        """Half the width of the 95% interval."""
        return 0.5 * (self.ci95[1] - self.ci95[0])


def judge(evidence: Evidence) -> Judgement:
    """Verdict on a window, and why."""
    counts, fit, lognormal = evidence.counts, evidence.fit, evidence.lognormal
    # On a sketch the user's window has moved inwards to edges of bins.
    spare = 2 * float(np.diff(counts.edges).max()) if counts.cells.width is not None else 1e-9
    if counts.width_of(fit.start, fit.stop) < DECADE - spare:
        return FitVerdict.NOT_RESOLVED, "the window is narrower than a decade"
    if evidence.half_width > WIDEST_INTERVAL:
        return FitVerdict.NOT_RESOLVED, f"the 95% interval is {evidence.half_width:.2f} wide to each side"
    doubt = _beyond_the_data(counts, fit) if evidence.basis is Basis.GIVEN else _no_law_of_its_own(evidence)
    if doubt is not None:
        return doubt
    if evidence.basis is Basis.EQUIVALENCE:
        return (
            FitVerdict.POWER_LAW,
            f"the local exponent stays within {evidence.tolerance:g} of a constant on the window",
        )
    if lognormal is not None and lognormal.preferred and abs(lognormal.drift) > 2 * evidence.tolerance:
        return FitVerdict.DRIFTING, f"a lognormal fits better, its exponent drifting by {lognormal.drift:+.2f}"
    searched = evidence.basis is Basis.SIGNIFICANCE
    if searched and lognormal is not None and lognormal.largest_drift > LARGEST_DRIFT:
        drift = lognormal.largest_drift
        return FitVerdict.NOT_RESOLVED, f"an exponent drifting by {drift:.1f} over the window cannot be excluded"
    # A window that was found has passed the test already, wider, and on other cells and replicates.
    least = REJECTED_AFTER_SEARCH if searched and not evidence.search_repeated else ACCEPTED
    # On a window that was searched for, a p-value that ignores the search is too large.
    kind = "" if not searched else (", search repeated" if evidence.search_repeated else " of the window as it is")
    if evidence.p_value >= least:
        return FitVerdict.POWER_LAW, f"not rejected on the window (KS p = {evidence.p_value:.2f}{kind})"
    return FitVerdict.REJECTED, f"rejected on the window (KS p = {evidence.p_value:.3f}{kind})"


def _beyond_the_data(counts: GroupedCounts, fit: WindowFit) -> Judgement | None:
    """Verdict on a user's window that lies in good part where there are no values, but the law would have some.

    Its exponent then says where the values end, not how they are distributed, and all too sharply.
    """
    filled = np.flatnonzero(counts.pooled[fit.start : fit.stop])
    masses = cell_probabilities(counts, fit.theta, fit.start, fit.stop)
    empty = float(masses[: filled[0]].sum() + masses[filled[-1] + 1 :].sum())
    if empty < MOST_EMPTY or empty * fit.n < MISSING_VALUES:
        return None
    values = counts.window(fit.start + int(filled[0]), fit.start + int(filled[-1]) + 1)
    return (
        FitVerdict.NOT_RESOLVED,
        f"the window reaches beyond the values, {values.summary()}, where the law would have {empty:.0%} of them",
    )


def _no_law_of_its_own(evidence: Evidence) -> Judgement | None:
    """Verdict on a window that was searched for, if it is a piece of a law that is no power law; else None."""
    rival, fit, counts = evidence.rival, evidence.fit, evidence.counts
    # By equivalence a window is a power law in practice whatever law it is a part of, and however large n is.
    if evidence.basis is Basis.SIGNIFICANCE and rival is not None and rival.bic_gain > 0:
        verdict = FitVerdict.DRIFTING if rival.name == "lognormal" else FitVerdict.NOT_RESOLVED
        article = "an" if rival.name[0] in "aeiou" else "a"
        return verdict, f"{article} {rival.name} fitted to all values does as well on the window"
    flat = abs(fit.exponent) <= max(2 * evidence.tolerance, evidence.half_width)
    below = float(counts.pooled[: fit.start].sum())
    if flat and below <= MOST_BELOW_FLAT * fit.n and fit.n < WHOLE * counts.total:
        return (
            FitVerdict.NOT_RESOLVED,
            "the density is flat at the smallest values, as any that is finite at zero",
        )
    return None


def central(counts: GroupedCounts) -> tuple[int, int]:
    """Cells that hold the central 99% of the fluctuations."""
    share = np.cumsum(counts.pooled) / counts.pooled.sum()
    start, stop = (int(np.searchsorted(share, q)) for q in (0.005, 0.995))
    return start, stop + 1


def judge_no_window(counts: GroupedCounts, whole: Lognormal | None, basis: Basis) -> Judgement:
    """Verdict where no window of a decade is acceptable, and why."""
    if basis is Basis.GIVEN:
        return FitVerdict.NOT_RESOLVED, f"the window holds fewer than {FEWEST} fluctuations, or all in one end bin"
    start, stop = central(counts)
    if counts.width_of(start, stop) < DECADE:
        return FitVerdict.NOT_RESOLVED, "the fluctuations span less than a decade"
    if whole is not None and whole.preferred and math.isfinite(whole.drift):
        return (
            FitVerdict.DRIFTING,
            f"no decade has a constant exponent; over the whole range it drifts by {whole.drift:+.2f}",
        )
    return FitVerdict.REJECTED, "no window of a decade is compatible with a power law"
