"""Test the power law on the chosen window, and give the grade."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.far_values import without_far_values
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FEWEST, FEWEST_CELLS, WHOLE, Criteria
from critlearn.inference.grade import Basis, Grade
from critlearn.inference.grade_rules import Evidence, Judgement, drift_where_values_are, filled_range, judge, judge_few
from critlearn.inference.laws.alternatives import fit_alternatives
from critlearn.inference.laws.global_alternatives import Rival, rivals_of_all
from critlearn.inference.laws.lognormal import Lognormal, lognormal_test
from critlearn.inference.laws.window_fits import WindowFit, fit_window, window_log_likelihood
from critlearn.inference.observations import Observations
from critlearn.inference.result import PowerLawFit, WindowChoice
from critlearn.inference.window.choice import Choice, cutoff_normals, on_set_window, search
from critlearn.inference.window.cluster_bootstrap import Interval, exponent_interval, likelihood_interval
from critlearn.inference.window.goodness import (
    MOST_CELLS,
    Goodness,
    Progress,
    goodness_of_fit,
    monte_carlo_p_value,
)
from critlearn.inference.window.local_exponent import sliding_fits
from critlearn.inference.window.selection_test import selection_p_value
from critlearn.numerics.validation import check_seed
from critlearn.numerics.window import Window

_INTERVAL_REPLICATES: Final = 1000
"""Replicates of the bootstrap over groups: enough to know a standard error to 2%."""

_OTHER_REPLICATES: Final = 100
"""Replicates of the p-value on a window that the grade does not rest on: known to 0.05 at most."""


@dataclass(frozen=True)
class Settings:
    """Criteria, the seed of all replicates, and the function that is called with their progress."""

    criteria: Criteria
    seed: int
    progress: Progress | None

    def __post_init__(self) -> None:
        """Raise if the seed is not a natural number, or the criteria are of another type."""
        if not isinstance(self.criteria, Criteria):
            raise InvalidInputError(f"criteria must be Criteria(tolerance=...); got {self.criteria!r}")
        check_seed(self.seed)


def conclude(observed: Observations, window: Window | None, settings: Settings) -> PowerLawFit:
    """Choose the window, unless the user has set it, estimate the exponent there, and grade it."""
    # Far values would only widen the range of the search, and blur it.
    counts = observed.counts if window is not None else without_far_values(observed.counts)
    some = bool(counts.pooled.any())
    common: dict[str, Any] = {
        "count": observed.count,
        "zeros": observed.zeros,
        "omitted": observed.omitted,
        "below_floor": observed.below_floor,
        "log_floor": observed.log_floor,
        "discrete": observed.discrete,
        "integers": observed.integers,
        "heaped_digits": observed.heaped_digits,
        "autocorrelation_time": observed.autocorrelation_time,
        "lognormal_whole": None,
        "curve": None,
        "density": DensityCurve.of(_shown(observed)) if some else None,
        "counts": observed.counts.of_one_group() if some else None,
    }
    if observed.zeros == observed.count:
        return _without_window(Judgement(Grade.TOO_FEW, "all values are exact zeros"), common)
    # A law with an exponent and two ends fits fewer than five cells exactly.
    filled = int((counts.pooled > 0).sum())
    if counts.total < FEWEST or len(counts.cells) < FEWEST_CELLS or 0 < filled < FEWEST_CELLS:
        return _of_few(counts, observed, settings, common)
    sliding = sliding_fits(counts)
    common |= {"lognormal_whole": _lognormal_of_all(counts), "curve": sliding.curve()}
    if window is None:
        choice = search(counts, sliding, settings.criteria, settings.seed, int(observed.on_grid))
    else:
        choice = on_set_window(counts, window, sliding, settings.seed)
    if choice.fit is None or not np.isfinite(choice.fit.naive_standard_error):
        return _without_window(Judgement(Grade.TOO_FEW, "all values lie in one end bin of every window"), common)
    if choice.fit.n < FEWEST:
        few = Judgement(Grade.TOO_FEW, f"the window holds fewer than {FEWEST} fluctuations", needed=FEWEST)
        return _judged(counts, choice, observed, settings, common, few)
    return _judged(counts, choice, observed, settings, common, None)


def _shown(observed: Observations) -> GroupedCounts:
    """Counts whose density is shown: shares where the number of values is not known, so that no bin is too small."""
    counts = observed.counts
    if observed.number_known:
        return counts
    return replace(counts, counts=counts.counts / counts.total, outside=counts.outside / counts.total)


def _of_few(counts: GroupedCounts, observed: Observations, settings: Settings, common: dict[str, Any]) -> PowerLawFit:
    """Estimate over the whole range where there are too few values for anything else."""
    judgement = judge_few(counts)
    fit = fit_window(counts, 0, len(counts.cells)) if len(counts.cells) > 1 else None
    if fit is None or not np.isfinite(fit.naive_standard_error):
        return _without_window(judgement, common)
    return _judged(counts, Choice(Basis.NEAREST, fit), observed, settings, common, judgement)


_ALIKE: Final = Judgement(Grade.TOO_FEW, "every sample has the same values, so that no error can be given")


def _all_alike(fit: WindowFit) -> bool:
    """Whether groups of samples differ by no more than the fit's own rounding, some 1e-8 of the independent error."""
    return fit.standard_error < 1e-6 * fit.naive_standard_error


def _judged(
    counts: GroupedCounts,
    choice: Choice,
    observed: Observations,
    settings: Settings,
    common: dict[str, Any],
    judgement: Judgement | None,
) -> PowerLawFit:
    """Estimate with tests, errors and grade on the chosen window; a grade that is known already is taken."""
    fit = choice.fit
    assert fit is not None
    if _all_alike(fit):
        return _without_window(_ALIKE, common)
    criteria, seed = settings.criteria, settings.seed
    goodness, found = _tested(counts, choice, fit, settings)
    independent = exponent_interval(counts, fit, max(criteria.replicates, _INTERVAL_REPLICATES), seed)
    estimate = _estimate(counts, choice, independent, goodness, fit)
    if not observed.number_known:
        estimate |= {"p_value": None, "p_value_error": None}
    first, last = filled_range(counts, fit)
    window = counts.window(first, last) if choice.basis is Basis.GIVEN else counts.window(fit.start, fit.stop)
    evidence = Evidence(
        counts=counts,
        fit=fit,
        basis=choice.basis,
        sizes=observed.sizes_in(window),
        ci95=estimate["ci95"],
        p_value=estimate["p_value"],
        search_repeated=_repeats_search(choice, criteria),
        lognormal=lognormal_test(counts, fit),
        rivals_of_all=_rivals_of_all(counts, choice, observed),
        alternatives=fit_alternatives(counts, fit),
        tolerance=criteria.tolerance,
        cutoff=choice.cutoff,
        nearly_flat=choice.nearly_flat,
    )
    judgement = judge(evidence) if judgement is None else judgement
    smooth = choice.cutoff
    # Errors fall as n^-1/2: the squared ratio of the two errors is the share of the values that count as independent.
    return PowerLawFit(
        **estimate,
        ci95_total=_total(choice, evidence, estimate),
        selection_error=choice.selection_error,
        window=window,
        n=round(fit.n),
        effective_n=fit.n * (fit.naive_standard_error / independent.standard_error) ** 2,
        retained=fit.n / counts.total,
        selection_repeated=evidence.search_repeated,
        log_likelihood=window_log_likelihood(counts, fit),
        grade=judgement.grade,
        basis=choice.basis,
        reason=judgement.reason,
        rivals=judgement.rivals,
        needed=judgement.needed,
        cutoff=None if smooth is None else smooth.cutoff().widened(choice.selection_error, choice.scale_change),
        sizes=evidence.sizes,
        lognormal=evidence.lognormal,
        alternatives=evidence.alternatives,
        rival=next(iter(evidence.rivals_of_all), None),
        **found,
        **common,
    )


def _repeats_search(choice: Choice, criteria: Criteria) -> bool:
    """Whether the p-value repeats the search for the window."""
    return choice.basis is Basis.SIGNIFICANCE and criteria.selection_replicates > 0


def _tested(
    counts: GroupedCounts, choice: Choice, fit: WindowFit, settings: Settings
) -> tuple[Goodness | None, dict[str, Any]]:
    """Distance and p-value on the window, and the windows that the criteria found, with theirs.

    None for a law with cut-off, which has a test of its own.
    """
    criteria, seed = settings.criteria, settings.seed
    repeated = _repeats_search(choice, criteria)
    progress = None if repeated else settings.progress
    goodness = None
    if choice.cutoff is None:
        goodness = goodness_of_fit(*_coarse(counts, fit), criteria.replicates, seed, progress)
    found = {name: _chosen(counts, window, fit, goodness, seed) for name, window in _found(choice)}
    if goodness is not None and repeated and choice.scan is not None and choice.selected is not None:
        p_value = selection_p_value(
            choice.scan, *choice.selected, criteria.selection_replicates, seed, settings.progress
        )
        goodness = Goodness(goodness.ks, *p_value)
    return goodness, found


def _estimate(
    counts: GroupedCounts, choice: Choice, independent: Interval, goodness: Goodness | None, fit: WindowFit
) -> dict[str, Any]:
    """Exponent with errors, distance and p-value: of the law with cut-off where that was chosen, else of the window."""
    quantile = counts.t_quantile(0.975)
    smooth = choice.cutoff
    if smooth is None:
        assert goodness is not None
        interval = independent.widened(choice.selection_error, quantile)
        naive = fit.naive_standard_error
        return {
            "exponent": fit.exponent,
            "standard_error": interval.standard_error,
            "ci95": interval.ci95,
            "naive_standard_error": naive,
            "naive_ci95": likelihood_interval(counts, fit),
            "ks": goodness.ks,
            "p_value": goodness.p_value,
            "p_value_error": goodness.p_value_error,
        }
    k, error = smooth.exponent, float(np.hypot(smooth.standard_error, choice.selection_error))
    null = smooth.null_distances(cutoff_normals(1))
    distance = smooth.distance()
    p_value, p_error = monte_carlo_p_value(int((null >= distance).sum()), len(null))
    naive = smooth.naive_standard_error
    return {
        "exponent": k,
        "standard_error": error,
        "ci95": (k - quantile * error, k + quantile * error),
        "naive_standard_error": naive,
        "naive_ci95": (k - 1.96 * naive, k + 1.96 * naive),
        "ks": distance,
        "p_value": p_value,
        "p_value_error": p_error,
    }


def _rivals_of_all(counts: GroupedCounts, choice: Choice, observed: Observations) -> tuple[Rival, ...]:
    """Laws fitted to all values against the one on a window that was found; none where it holds nearly all of them."""
    fit = choice.fit
    if fit is None or choice.basis is Basis.GIVEN:
        return ()
    if fit.n >= WHOLE * counts.total and choice.cutoff is None:
        return ()
    bounded_below = observed.log_floor is not None or counts.outside > 0
    return rivals_of_all(counts, fit, bounded_below=bounded_below, cutoff=choice.cutoff is not None)


def _total(choice: Choice, evidence: Evidence, estimate: dict[str, Any]) -> tuple[float, float]:
    """Statistical interval, widened to either side by what the form of the law may change in the exponent.

    On a window, half of the drift that is not excluded where the values are; of a law with cut-off, the difference to
    the exponent on the window with sharp ends that was found.
    """
    low, high = estimate["ci95"]
    wider = 0.0
    bounded = choice.significance or choice.equivalence
    if choice.cutoff is not None:
        wider = 0.0 if bounded is None else abs(bounded.exponent - choice.cutoff.exponent)
    elif evidence.lognormal is not None:
        wider = 0.5 * drift_where_values_are(evidence.counts, evidence.fit, evidence.lognormal, outside=0.01)
    return low - wider, high + wider


def _without_window(judgement: Judgement, common: dict[str, Any]) -> PowerLawFit:
    """Fit without a window, and so without an exponent."""
    return PowerLawFit(
        exponent=None,
        standard_error=None,
        naive_standard_error=None,
        ci95=None,
        window=None,
        n=0,
        retained=None,
        ks=None,
        p_value=None,
        p_value_error=None,
        grade=judgement.grade,
        basis=Basis.NONE,
        reason=judgement.reason,
        needed=judgement.needed,
        lognormal=None,
        **common,
    )


def _found(choice: Choice) -> list[tuple[str, WindowFit]]:
    found = (("equivalence", choice.equivalence), ("significance", choice.significance))
    return [(name, fit) for name, fit in found if fit is not None]


def _coarse(counts: GroupedCounts, fit: WindowFit) -> tuple[GroupedCounts, WindowFit]:
    """Restrict counts to the window of a fit, coarsen their cells for the tests, and fit them again."""
    window = counts.part(fit.start, fit.stop)
    # Equal cells leave a few out at the ends, and all values may lie there; joined ones leave out none.
    for part in (window.coarsened(MOST_CELLS), window.joined(MOST_CELLS)):
        coarse = fit_window(part, 0, len(part.cells))
        if coarse is not None:
            return part, coarse
    return counts, fit


def _chosen(
    counts: GroupedCounts, found: WindowFit, fit: WindowFit, goodness: Goodness | None, seed: int
) -> WindowChoice:
    """Window that one criterion chose, with fit and test; the test is not repeated on the window of the verdict."""
    if goodness is None or found != fit:
        goodness = goodness_of_fit(*_coarse(counts, found), _OTHER_REPLICATES, seed)
    window = counts.window(found.start, found.stop)
    return WindowChoice(window, found.exponent, found.standard_error, round(found.n), goodness.p_value)


def _lognormal_of_all(counts: GroupedCounts) -> Lognormal | None:
    """Lognormal against power law on the central 99% of the fluctuations."""
    if not counts.pooled.any():
        return None
    fit = fit_window(counts, *_central(counts))
    return None if fit is None else lognormal_test(counts, fit)


def _central(counts: GroupedCounts) -> tuple[int, int]:
    """Cells that hold the central 99% of the fluctuations."""
    share = np.cumsum(counts.pooled) / counts.pooled.sum()
    start, stop = (int(np.searchsorted(share, q)) for q in (0.005, 0.995))
    return start, stop + 1
