"""The rules by which a fit gets its grade; `Grade` states them in words."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import (
    ACCEPTED,
    DECADE,
    FEWEST,
    FEWEST_ON_WINDOW,
    LARGEST_DRIFT,
    MISSING_VALUES,
    MOST_BELOW_FLAT,
    MOST_EMPTY,
    REJECTED_AFTER_SEARCH,
    TOLERATED_DRIFT,
    WHOLE,
    WIDEST_INTERVAL,
)
from critlearn.inference.grade import Basis, Grade
from critlearn.inference.laws.alternatives import Alternative
from critlearn.inference.laws.cutoff import CutoffFit
from critlearn.inference.laws.global_alternatives import Rival
from critlearn.inference.laws.logarithms import logarithm_rival
from critlearn.inference.laws.lognormal import Lognormal
from critlearn.inference.laws.window_fits import WindowFit, cell_probabilities

FINITE_AT_ZERO = "density that is finite at zero"
"""Name of the rival of a flat density at the smallest values."""


@dataclass(frozen=True)
class Judgement:
    """Grade, the reason for it, the rivals that do as well, and the number of values that would decide."""

    grade: Grade
    reason: str
    rivals: tuple[str, ...] = ()
    needed: int | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence for the grade of a window.

    Parameters
    ----------
    counts, fit, basis
        Data, law and how the window was chosen.
    sizes
        Different sizes on the window, for a law on integers; else None.
    ci95
        Statistical 95% interval of the exponent.
    p_value
        Of the Kolmogorov-Smirnov test; None where the number of values is not known.
    search_repeated
        Whether it repeats the search.
    lognormal
        Test against a lognormal on the window.
    rivals_of_all
        Laws fitted to all values.
    alternatives
        Laws fitted to the window.
    tolerance
        Deviation of the local exponent that counts as none.
    cutoff
        Law with cut-off, where that was chosen.
    nearly_flat
        Whether the local exponent stays within the drift that is tolerated, all over the window.
    """

    counts: GroupedCounts
    fit: WindowFit
    basis: Basis
    sizes: int | None
    ci95: tuple[float, float]
    p_value: float | None
    search_repeated: bool
    lognormal: Lognormal | None
    rivals_of_all: tuple[Rival, ...]
    alternatives: tuple[Alternative, ...]
    tolerance: float
    cutoff: CutoffFit | None = None
    nearly_flat: bool = False

    @property
    def half_width(self) -> float:
        """Half the width of the 95% interval."""
        return 0.5 * (self.ci95[1] - self.ci95[0])

    @property
    def drift(self) -> float:
        """Change of the local exponent over the window."""
        return 0.0 if self.lognormal is None else self.lognormal.drift

    @property
    def largest_drift(self) -> float:
        """Drift that the data do not exclude, over the range of the central 95% of the values on the window."""
        return math.inf if self.lognormal is None else drift_where_values_are(self.counts, self.fit, self.lognormal)

    @cached_property
    def rivals(self) -> tuple[str, ...]:
        """Names of the laws that describe the window as well: laws of all values, laws of the window, logarithms."""
        names = [rival.name for rival in self.rivals_of_all if rival.as_good(self.tolerance)]
        smooth = self.cutoff
        if smooth is not None:
            names += smooth.as_good()
        else:
            # Nested ones are judged by their significance and by the drift that is not excluded.
            plain = (one for one in self.alternatives if one.name in ("exponential", "stretched exponential"))
            names += [one.name for one in plain if one.bic_gain > 0 and one.exponent_range > 2 * self.tolerance]
        if self.basis is not Basis.GIVEN:
            exponent = self.fit.exponent if smooth is None else smooth.exponent
            logarithm = logarithm_rival(self.counts, self.fit, exponent, cutoff=smooth is not None)
            names += [] if logarithm is None else [logarithm]
        return tuple(dict.fromkeys(names))

    @property
    def curved(self) -> bool:
        """Whether a lognormal fits significantly better."""
        return self.lognormal is not None and self.lognormal.preferred


def judge(evidence: Evidence) -> Judgement:
    """Grade of a window: too few data, evidence against the law, rivals as good, or none of these."""
    rules = (_too_few, _against, _rivals) if evidence.cutoff is None else (_too_few, _smooth_end)
    for rule in rules:
        judgement = rule(evidence)
        if judgement is not None:
            return judgement
    if evidence.basis is Basis.EQUIVALENCE:
        reason = f"the local exponent stays within {evidence.tolerance:g} of a constant on the window"
    else:
        reason = f"not rejected on the window ({_test(evidence)})"
    return Judgement(Grade.POWER_LAW, reason)


def drift_where_values_are(counts: GroupedCounts, fit: WindowFit, lognormal: Lognormal, outside: float = 0.05) -> float:
    """Drift that the data do not exclude, over the range of the values on a window but for a share at its ends."""
    share = np.cumsum(counts.pooled[fit.start : fit.stop]) / fit.n
    start, stop = (fit.start + int(np.searchsorted(share, q)) for q in (0.5 * outside, 1 - 0.5 * outside))
    return lognormal.largest_drift * counts.width_of(start, stop + 1) / counts.width_of(fit.start, fit.stop)


def _too_few(evidence: Evidence) -> Judgement | None:
    """Too few data to tell: less than a decade, too few sizes, or too wide an interval."""
    counts, fit = evidence.counts, evidence.fit
    if evidence.sizes is not None and evidence.sizes < FEWEST_ON_WINDOW:
        reason = f"the values on the window have only {evidence.sizes} different sizes; {FEWEST_ON_WINDOW} are needed"
        return Judgement(Grade.TOO_FEW, reason)
    # On a sketch the user's window has moved inwards to edges of bins.
    spare = 2 * float(np.diff(counts.edges).max()) if counts.cells.width is not None else 1e-9
    if values_range(counts, fit) < DECADE - spare:
        return Judgement(Grade.TOO_FEW, "the values on the window span less than a decade")
    if evidence.half_width > WIDEST_INTERVAL:
        # Errors fall as n^-1/2.
        needed = math.ceil(counts.total * (evidence.half_width / WIDEST_INTERVAL) ** 2)
        reason = f"the 95% interval is {evidence.half_width:.2f} wide to each side; about {needed:,} values would tell"
        return Judgement(Grade.TOO_FEW, reason, needed=needed)
    return None


def _smooth_end(evidence: Evidence) -> Judgement:
    """Grade of a law with cut-off."""
    smooth = evidence.cutoff
    assert smooth is not None
    # The search has tested it at the 10% level, with other replicates.
    if evidence.p_value is not None and evidence.p_value < REJECTED_AFTER_SEARCH:
        return Judgement(Grade.REJECTED, f"rejected even with a cut-off (KS p = {evidence.p_value:.3f})")
    if evidence.rivals:
        reason = f"not rejected with a cut-off, but {_listed(evidence.rivals)} as well"
        return Judgement(Grade.COMPATIBLE, reason, evidence.rivals)
    cutoff = smooth.cutoff()
    reason = f"an exponential cut-off at {cutoff.scale:.4g} +- {cutoff.scale_error:.2g}"
    return Judgement(Grade.CUT_OFF, reason + ("" if evidence.p_value is None else f", KS p = {evidence.p_value:.2f}"))


def values_range(counts: GroupedCounts, fit: WindowFit) -> float:
    """Range in ``ln delta`` from the smallest to the largest value on a window."""
    start, stop = filled_range(counts, fit)
    window = counts.window(start, stop)
    return window.log_hi - window.log_lo


def filled_range(counts: GroupedCounts, fit: WindowFit) -> tuple[int, int]:
    """First cell with values on a window, and the cell after the last one."""
    filled = np.flatnonzero(counts.pooled[fit.start : fit.stop])
    return fit.start + int(filled[0]), fit.start + int(filled[-1]) + 1


def _against(evidence: Evidence) -> Judgement | None:
    """Evidence against the law: a drift of the exponent, values that are missing, or a test that rejects."""
    beyond = _beyond_the_data(evidence.counts, evidence.fit) if evidence.basis is Basis.GIVEN else None
    if beyond is not None:
        return Judgement(Grade.REJECTED, beyond)
    if evidence.basis is Basis.EQUIVALENCE:
        return None
    drift = evidence.drift
    if evidence.p_value is None:
        # Without a number of values the size of the drift speaks alone.
        reason = f"the exponent drifts by {drift:+.2f} over the window; no test, as the number of values is not known"
        return Judgement(Grade.COMPATIBLE if abs(drift) <= TOLERATED_DRIFT else Grade.DRIFTING, reason)
    if evidence.curved and abs(drift) > TOLERATED_DRIFT:
        return Judgement(Grade.DRIFTING, f"a lognormal fits better, its exponent drifting by {drift:+.2f}")
    significant = evidence.curved and (evidence.basis is Basis.NEAREST or evidence.p_value < ACCEPTED)
    if evidence.nearly_flat and significant:
        reason = (
            f"the exponent drifts by {drift:+.2f} over the window, within the {TOLERATED_DRIFT:g} that is tolerated"
        )
        return Judgement(Grade.COMPATIBLE, reason, ("lognormal",))
    searched = evidence.basis is Basis.SIGNIFICANCE
    # A window that was found has passed the test already, wider, and on other cells and replicates.
    least = REJECTED_AFTER_SEARCH if searched and not evidence.search_repeated else ACCEPTED
    if evidence.p_value < least:
        return Judgement(Grade.REJECTED, f"rejected on the window ({_test(evidence, digits=3)})")
    return None


def _rivals(evidence: Evidence) -> Judgement | None:
    """Compatible, if rivals describe the window as well, or a drift of the exponent is not excluded."""
    rivals = evidence.rivals
    if _flat_start(evidence):
        rivals = (*rivals, FINITE_AT_ZERO)
    if rivals:
        return Judgement(Grade.COMPATIBLE, f"not rejected, but {_listed(rivals)} as well", rivals)
    lognormal = evidence.lognormal
    if evidence.basis is Basis.EQUIVALENCE or lognormal is None:
        return None
    if evidence.curved and abs(lognormal.drift) > 2 * evidence.tolerance:
        reason = f"a lognormal fits better, its exponent drifting by {lognormal.drift:+.2f}"
        return Judgement(Grade.COMPATIBLE, reason, ("lognormal",))
    if evidence.largest_drift > LARGEST_DRIFT:
        reason = f"not rejected, but an exponent that drifts by {evidence.largest_drift:.1f} is not excluded"
        return Judgement(Grade.COMPATIBLE, reason, ("lognormal",))
    return None


def _listed(rivals: tuple[str, ...]) -> str:
    """Rivals in words: "a lognormal and an exponential do"."""
    names = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in rivals]
    return f"{' and '.join(names)} {'does' if len(names) == 1 else 'do'}"


def _test(evidence: Evidence, digits: int = 2) -> str:
    """Test and its p-value in words; one that ignores the search for the window says so."""
    kind = ""
    if evidence.basis is Basis.SIGNIFICANCE:
        kind = ", search repeated" if evidence.search_repeated else " of the window as it is"
    return f"KS p = {evidence.p_value:.{digits}f}{kind}"


def _beyond_the_data(counts: GroupedCounts, fit: WindowFit) -> str | None:
    """Reason against a user's window that lies in good part where there are no values, but the law would have some.

    Its exponent then says where the values end, not how they are distributed, and all too sharply.
    """
    start, stop = filled_range(counts, fit)
    masses = cell_probabilities(counts, fit.theta, fit.start, fit.stop)
    empty = float(masses[: start - fit.start].sum() + masses[stop - fit.start :].sum())
    if empty < MOST_EMPTY or empty * fit.n < MISSING_VALUES:
        return None
    values = counts.window(start, stop)
    return f"the window reaches beyond the values, {values.summary()}, where the law would have {empty:.0%} of them"


def _flat_start(evidence: Evidence) -> bool:
    """Whether a window that was found is flat, or rises, from the smallest values on: finite at zero, as most are."""
    if evidence.basis is Basis.GIVEN:
        return False
    fit, counts = evidence.fit, evidence.counts
    flat = fit.exponent <= max(2 * evidence.tolerance, evidence.half_width)
    below = float(counts.pooled[: fit.start].sum())
    return flat and below <= MOST_BELOW_FLAT * fit.n and fit.n < WHOLE * counts.total


def judge_few(counts: GroupedCounts) -> Judgement:
    """Grade of data that are too few for any test."""
    filled = int((counts.pooled > 0).sum())
    reason = f"{counts.total:.0f} usable fluctuations in {filled} bin{'' if filled == 1 else 's'} are too few"
    return Judgement(Grade.TOO_FEW, reason, needed=FEWEST if counts.total < FEWEST else None)
