"""Choose the window of a fit, test the power law there, and give the verdict."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from critlearn.errors import InvalidInputError
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.far_values import without_far_values
from critlearn.inference.counts.grouped_counts import GroupedCounts, check_inside, check_sides
from critlearn.inference.criteria import DECADE, FEWEST, FEWEST_CELLS, FEWEST_SIZES, LEAST_RETAINED, WHOLE, Criteria
from critlearn.inference.laws.alternatives import fit_alternatives
from critlearn.inference.laws.global_alternatives import best_rival
from critlearn.inference.laws.lognormal import Lognormal, lognormal_test
from critlearn.inference.laws.window_fits import WindowFit, fit_window, window_log_likelihood
from critlearn.inference.observations import Observations
from critlearn.inference.result import Basis, FitVerdict, PowerLawFit, WindowChoice
from critlearn.inference.verdict_rules import Evidence, central, judge, judge_no_window
from critlearn.inference.window.cluster_bootstrap import exponent_interval, likelihood_interval
from critlearn.inference.window.goodness import MOST_CELLS, Goodness, Progress, goodness_of_fit
from critlearn.inference.window.local_exponent import SlidingFits, sliding_fits
from critlearn.inference.window.search import Selected, WindowScan, drawn_in, equivalence_window
from critlearn.inference.window.selection_test import selection_p_value
from critlearn.numerics.validation import check_integer
from critlearn.numerics.window import Window

_INTERVAL_REPLICATES: Final = 1000
"""Replicates of the bootstrap over groups: enough to know a standard error to 2%."""

_OTHER_REPLICATES: Final = 100
"""Replicates of the p-value on a window that the verdict does not rest on: known to 0.05 at most."""


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
        check_integer("seed", self.seed)
        if self.seed < 0:
            raise InvalidInputError(f"a seed must not be negative; got {self.seed}")


@dataclass(frozen=True, eq=False)
class Choice:
    """Window on which the verdict rests, what drawing it in changed in the exponent, and what the criteria found."""

    basis: Basis
    fit: WindowFit | None
    selection_error: float = 0.0
    scan: WindowScan | None = None
    selected: tuple[WindowFit, Selected] | None = None
    equivalence: WindowFit | None = None
    significance: WindowFit | None = None


def conclude(observed: Observations, window: Window | None, settings: Settings) -> PowerLawFit:
    """Choose the window, unless the user has set it, and give the verdict."""
    # Far values would only widen the range of the search, and blur it.
    counts = observed.counts if window is not None else without_far_values(observed.counts)
    common: dict[str, Any] = {
        "count": observed.count,
        "zeros": observed.zeros,
        "omitted": observed.omitted,
        "below_floor": observed.below_floor,
        "log_floor": observed.log_floor,
        "density": DensityCurve.of(observed.counts) if counts.pooled.any() else None,
        "counts": observed.counts.of_one_group() if counts.pooled.any() else None,
    }
    # A law with an exponent and two ends fits fewer than five cells exactly.
    if counts.total < FEWEST or len(counts.cells) < FEWEST_CELLS:
        reason = f"{counts.total:.0f} usable fluctuations over {len(counts.cells)} bins are too few"
        if observed.zeros == observed.count:
            reason = "all values are exact zeros"
        return without_window(FitVerdict.NOT_RESOLVED, reason, None, None, common)
    few = _few_sizes(observed)
    if few is not None:
        return without_window(FitVerdict.NOT_RESOLVED, few, None, None, common)
    sliding = sliding_fits(counts)
    whole = _lognormal_of_all(counts)
    choice = (
        _search(counts, sliding, settings, int(observed.on_grid)) if window is None else _on_set_window(counts, window)
    )
    fit = choice.fit
    if fit is None:
        verdict, reason = judge_no_window(counts, whole, choice.basis)
        return without_window(verdict, reason, whole, sliding, common)
    rival = None
    if choice.basis is not Basis.GIVEN and fit.n < WHOLE * counts.total:
        rival = best_rival(counts, fit, bounded_below=observed.log_floor is not None or counts.outside > 0)
    common |= {"lognormal_whole": whole, "curve": sliding.curve(), "rival": rival}
    return _judged(counts, choice, fit, settings, common)


def _few_sizes(observed: Observations) -> str | None:
    """Reason to fit no continuous law to values that are mostly ties of a few sizes; None where they are not."""
    sizes, total = observed.sizes, observed.counts.total
    if sizes is None or sizes >= FEWEST_SIZES or total < 2 * sizes:
        return None
    return f"the values have only {sizes} different sizes: counts between edges are fitted as a Histogram"


def _judged(
    counts: GroupedCounts, choice: Choice, fit: WindowFit, settings: Settings, common: dict[str, Any]
) -> PowerLawFit:
    """Fit with tests, errors and verdict on the chosen window."""
    part, coarse = _coarse(counts, fit)
    criteria, seed = settings.criteria, settings.seed
    repeated = choice.basis is Basis.SIGNIFICANCE and criteria.selection_replicates > 0
    goodness = goodness_of_fit(part, coarse, criteria.replicates, seed, None if repeated else settings.progress)
    found: dict[str, Any] = {name: _chosen(counts, window, fit, goodness, seed) for name, window in _found(choice)}
    if repeated and choice.scan is not None and choice.selected is not None:
        p_value = selection_p_value(
            choice.scan, *choice.selected, criteria.selection_replicates, seed, settings.progress
        )
        goodness = Goodness(goodness.ks, *p_value)
    lognormal = lognormal_test(counts, fit)
    independent = exponent_interval(counts, fit, max(criteria.replicates, _INTERVAL_REPLICATES), seed)
    interval = independent.widened(choice.selection_error, counts.t_quantile(0.975))
    verdict, reason = judge(
        Evidence(
            counts=counts,
            fit=fit,
            basis=choice.basis,
            ci95=interval.ci95,
            p_value=goodness.p_value,
            search_repeated=repeated,
            lognormal=lognormal,
            rival=common["rival"],
            tolerance=criteria.tolerance,
        )
    )
    # Errors fall as n^-1/2: the squared ratio of the two errors is the share of the values that count as independent.
    return PowerLawFit(
        exponent=fit.exponent if verdict is not FitVerdict.NOT_RESOLVED else None,
        standard_error=interval.standard_error,
        naive_standard_error=fit.naive_standard_error,
        selection_error=choice.selection_error,
        ci95=interval.ci95,
        naive_ci95=likelihood_interval(counts, fit),
        window=counts.window(fit.start, fit.stop),
        n=round(fit.n),
        effective_n=fit.n * (fit.naive_standard_error / independent.standard_error) ** 2,
        retained=fit.n / counts.total,
        ks=goodness.ks,
        p_value=goodness.p_value,
        p_value_error=goodness.p_value_error,
        selection_repeated=repeated,
        log_likelihood=window_log_likelihood(counts, fit),
        verdict=verdict,
        basis=choice.basis,
        reason=reason,
        lognormal=lognormal,
        alternatives=fit_alternatives(counts, fit),
        **found,
        **common,
    )


def without_window(
    verdict: FitVerdict, reason: str, whole: Lognormal | None, sliding: SlidingFits | None, common: dict[str, Any]
) -> PowerLawFit:
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
        verdict=verdict,
        basis=Basis.NONE,
        reason=reason,
        lognormal=None,
        lognormal_whole=whole,
        curve=None if sliding is None else sliding.curve(),
        **common,
    )


def _on_set_window(counts: GroupedCounts, window: Window) -> Choice:
    """Fit on the window that the user has set; where the law has no cut-off it reaches to the end of the data."""
    check_inside(counts, window)
    check_sides(counts, window)
    inside = counts.cells.inside(window)
    start = 0 if counts.open_below else inside.start
    stop = len(counts.cells) if counts.open_above else inside.stop
    fit = fit_window(counts, start, stop)
    return Choice(Basis.GIVEN, fit if fit is not None and fit.n >= FEWEST else None)


def _search(counts: GroupedCounts, sliding: SlidingFits, settings: Settings, half_filled: int) -> Choice:
    """Widest window by either criterion; by significance only if no lognormal is preferred there to the wider one.

    The test is made without the outermost cells that the data fill only in part, and no window holds them.
    """
    flat = equivalence_window(sliding, settings.criteria.tolerance)
    if flat is not None:
        # Short windows are bounded; a law without a cut-off is fitted anew.
        flat = fit_window(counts, flat.start, flat.stop)
    if flat is not None and counts.width_of(flat.start, flat.stop) < DECADE:
        flat = None
    # 200 replicates at least: a critical distance is then known to 5%.
    scan = WindowScan.of(
        counts.without_end_cells() if half_filled else counts,
        max(200, settings.criteria.replicates // 2),
        settings.seed,
    )
    selected = scan.selected()
    widest = None if selected is None else _on_fine(counts, scan, selected[0], half_filled)
    if widest is None or counts.width_of(widest.start, widest.stop) < DECADE:
        return Choice(Basis.NONE if flat is None else Basis.EQUIVALENCE, flat, 0.0, scan, selected, flat)
    inner = drawn_in(counts, widest, half_filled=half_filled)
    # What drawing in changes in the exponent is taken for the error that the choice of the window adds.
    change = abs(inner.exponent - widest.exponent)
    enough = inner.n >= LEAST_RETAINED * counts.total
    found = inner if enough and counts.width_of(inner.start, inner.stop) >= DECADE else widest
    wider = flat is None or counts.width_of(widest.start, widest.stop) > counts.width_of(flat.start, flat.stop)
    if wider and (flat is None or not _drifts(counts, found)):
        return Choice(Basis.SIGNIFICANCE, found, change, scan, selected, flat, found)
    return Choice(Basis.NONE if flat is None else Basis.EQUIVALENCE, flat, 0.0, scan, selected, flat, found)


def _on_fine(counts: GroupedCounts, scan: WindowScan, fit: WindowFit, half_filled: int) -> WindowFit | None:
    """Fit on the fine cells of a window that was found on the coarse ones; to the ends of the data where it was."""
    ends = scan.counts.edges[[fit.start, fit.stop]]
    start, stop = (int(at) for at in np.abs(counts.edges[:, None] - ends).argmin(axis=0))
    # A few fine cells at the ends may not have filled a coarse one.
    if fit.start == 0:
        start = 0 if counts.open_below else half_filled
    if fit.stop == len(scan.counts.cells):
        stop = len(counts.cells) - (0 if counts.open_above else half_filled)
    return fit_window(counts, start, stop)


def _found(choice: Choice) -> list[tuple[str, WindowFit]]:
    found = (("equivalence", choice.equivalence), ("significance", choice.significance))
    return [(name, fit) for name, fit in found if fit is not None]


def _coarse(counts: GroupedCounts, fit: WindowFit) -> tuple[GroupedCounts, WindowFit]:
    """Restrict counts to the window of a fit, coarsen their cells for the tests, and fit them again."""
    part = counts.part(fit.start, fit.stop).coarsened(MOST_CELLS)
    coarse = fit_window(part, 0, len(part.cells))
    return (part, coarse) if coarse is not None else (counts, fit)


def _chosen(counts: GroupedCounts, found: WindowFit, fit: WindowFit, goodness: Goodness, seed: int) -> WindowChoice:
    """Window that one criterion chose, with fit and test; the test is not repeated on the window of the verdict."""
    if found != fit:
        goodness = goodness_of_fit(*_coarse(counts, found), _OTHER_REPLICATES, seed)
    window = counts.window(found.start, found.stop)
    return WindowChoice(window, found.exponent, found.standard_error, round(found.n), goodness.p_value)


def _drifts(counts: GroupedCounts, fit: WindowFit) -> bool:
    """Whether a lognormal is preferred on a window."""
    lognormal = lognormal_test(counts, fit)
    return lognormal is not None and lognormal.preferred


def _lognormal_of_all(counts: GroupedCounts) -> Lognormal | None:
    """Lognormal against power law on the central 99% of the fluctuations."""
    if not counts.pooled.any():
        return None
    fit = fit_window(counts, *central(counts))
    return None if fit is None else lognormal_test(counts, fit)
