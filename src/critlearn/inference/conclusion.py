"""From counts to a fit with a verdict: the window, the tests on it, and the rules."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from critlearn.inference.alternatives import fit_alternatives
from critlearn.inference.cluster_bootstrap import exponent_interval, likelihood_interval
from critlearn.inference.density import DensityCurve
from critlearn.inference.general_law import log_likelihood
from critlearn.inference.goodness import MOST_CELLS, Goodness, goodness_of_fit
from critlearn.inference.grouped_counts import GroupedCounts, WindowFit, check_inside
from critlearn.inference.local_exponent import SlidingFits, sliding_fits
from critlearn.inference.lognormal import Lognormal, lognormal_test
from critlearn.inference.observations import Observations
from critlearn.inference.result import Basis, FitVerdict, PowerLawFit, WindowChoice
from critlearn.inference.selection_test import Progress, selection_p_value
from critlearn.inference.window_search import (
    ACCEPTED,
    DECADE,
    FEWEST,
    Selected,
    WindowScan,
    equivalence_window,
)
from critlearn.numerics.window import Window

WIDEST_INTERVAL: Final = 0.25
"""Half-width of the 95% interval above which an exponent is not resolved."""

LARGEST_DRIFT: Final = 1.0
"""Drift of the exponent over a window found by significance that must be excluded: not to reject is no evidence."""

_INTERVAL_REPLICATES: Final = 1000
_OTHER_REPLICATES: Final = 100


@dataclass(frozen=True)
class Settings:
    """How to test: tolerance of equivalence, replicates of the window as given and of the selection, seed."""

    tolerance: float
    replicates: int
    selection_replicates: int
    seed: int
    progress: Progress | None


@dataclass(frozen=True, eq=False)
class Choice:
    """Window on which the verdict rests, and what the criteria found."""

    basis: Basis
    fit: WindowFit | None
    scan: WindowScan | None = None
    selected: tuple[WindowFit, Selected] | None = None
    equivalence: WindowFit | None = None
    significance: WindowFit | None = None


def conclude(observed: Observations, window: Window | None, settings: Settings) -> PowerLawFit:
    """Choose a window, or take the given one, and judge."""
    counts = observed.counts
    common: dict[str, Any] = {
        "count": observed.count,
        "zeros": observed.zeros,
        "omitted": observed.omitted,
        "below_floor": observed.below_floor,
        "log_floor": observed.log_floor,
        "density": DensityCurve.of(counts) if counts.pooled.any() else None,
    }
    if counts.total < FEWEST or len(counts.cells) < 5:
        reason = f"{counts.total:.0f} usable fluctuations over {len(counts.cells)} bins are too few"
        return without_window(FitVerdict.NOT_RESOLVED, reason, None, None, common)
    sliding = sliding_fits(counts)
    whole = _whole(counts)
    choice = _search(counts, sliding, settings) if window is None else _on_given(counts, window)
    fit = choice.fit
    if fit is None:
        verdict, reason = _no_window(counts, whole, choice.basis)
        return without_window(verdict, reason, whole, sliding, common)
    return _judged(counts, choice, fit, settings, {"lognormal_whole": whole, "curve": sliding.curve(), **common})


def _judged(
    counts: GroupedCounts, choice: Choice, fit: WindowFit, settings: Settings, common: dict[str, Any]
) -> PowerLawFit:
    """Tests, errors and verdict on the window that was chosen."""
    part, coarse = _coarse(counts, fit)
    goodness = goodness_of_fit(part, coarse, settings.replicates, settings.seed)
    criteria: dict[str, Any] = {
        name: _chosen(counts, found, fit, goodness, settings.seed) for name, found in _criteria(choice)
    }
    repeated = choice.basis is Basis.SIGNIFICANCE and settings.selection_replicates > 0
    if repeated and choice.scan is not None and choice.selected is not None:
        p_value = selection_p_value(
            choice.scan, *choice.selected, settings.selection_replicates, settings.seed, settings.progress
        )
        goodness = Goodness(goodness.ks, *p_value)
    lognormal = lognormal_test(counts, fit)
    interval = exponent_interval(counts, fit, max(settings.replicates, _INTERVAL_REPLICATES), settings.seed)
    verdict, reason = _judge(
        counts, fit, goodness, choice.basis, lognormal, interval.ci95, settings.tolerance, repeated
    )
    return PowerLawFit(
        exponent=fit.exponent if verdict is not FitVerdict.NOT_RESOLVED else None,
        standard_error=interval.standard_error,
        naive_standard_error=fit.naive_standard_error,
        ci95=interval.ci95,
        naive_ci95=likelihood_interval(counts, fit),
        window=counts.window(fit.start, fit.stop),
        n=round(fit.n),
        effective_n=fit.n * (fit.naive_standard_error / interval.standard_error) ** 2,
        retained=fit.n / counts.total,
        ks=goodness.ks,
        p_value=goodness.p_value,
        p_value_error=goodness.p_value_error,
        selection_repeated=repeated,
        log_likelihood=_log_likelihood(part, coarse),
        verdict=verdict,
        basis=choice.basis,
        reason=reason,
        lognormal=lognormal,
        alternatives=fit_alternatives(counts, fit),
        **criteria,
        **common,
    )


def _log_likelihood(part: GroupedCounts, fit: WindowFit) -> float:
    """Of the counts on the cells of a fit."""
    cells, pooled = part.cells.part(fit.start, fit.stop), part.pooled[fit.start : fit.stop]
    below, above = part.is_open(fit.start, fit.stop)
    return log_likelihood(cells, pooled, fit.theta, below=below, above=above)


def without_window(
    verdict: FitVerdict, reason: str, whole: Lognormal | None, sliding: SlidingFits | None, common: dict[str, Any]
) -> PowerLawFit:
    """Outcome that has no window, and so no exponent."""
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


def _on_given(counts: GroupedCounts, window: Window) -> Choice:
    """Fit on a given window; on an open side it reaches to the end of the data."""
    check_inside(counts, window)
    inside = counts.cells.inside(window)
    start = 0 if counts.open_below else inside.start
    stop = len(counts.cells) if counts.open_above else inside.stop
    fit = counts.fit(start, stop)
    return Choice(Basis.GIVEN, fit if fit is not None and fit.n >= FEWEST else None)


def _search(counts: GroupedCounts, sliding: SlidingFits, settings: Settings) -> Choice:
    """Widest window by either criterion; by significance only if no lognormal is preferred there to the wider one."""
    flat = equivalence_window(sliding, settings.tolerance)
    if flat is not None:
        # Short windows are bounded; a law without a cut-off is fitted anew.
        flat = counts.fit(flat.start, flat.stop)
    if flat is not None and counts.width_of(flat.start, flat.stop) < DECADE:
        flat = None
    scan = WindowScan.of(counts, max(200, settings.replicates // 2), settings.seed)
    selected = scan.selected()
    found = None if selected is None else _on_fine(counts, scan, selected[0])
    if found is not None and counts.width_of(found.start, found.stop) < DECADE:
        found = None
    wider = found is not None and (
        flat is None or counts.width_of(found.start, found.stop) > counts.width_of(flat.start, flat.stop)
    )
    if found is not None and wider and (flat is None or not _drifts(counts, found)):
        return Choice(Basis.SIGNIFICANCE, found, scan, selected, flat, found)
    return Choice(Basis.NONE if flat is None else Basis.EQUIVALENCE, flat, scan, selected, flat, found)


def _on_fine(counts: GroupedCounts, scan: WindowScan, fit: WindowFit) -> WindowFit | None:
    """Fit on the fine cells of a window that was found on the coarse ones."""
    ends = scan.counts.edges[[fit.start, fit.stop]]
    start, stop = (int(at) for at in np.abs(counts.edges[:, None] - ends).argmin(axis=0))
    return counts.fit(start, stop)


def _criteria(choice: Choice) -> list[tuple[str, WindowFit]]:
    found = (("equivalence", choice.equivalence), ("significance", choice.significance))
    return [(name, fit) for name, fit in found if fit is not None]


def _coarse(counts: GroupedCounts, fit: WindowFit) -> tuple[GroupedCounts, WindowFit]:
    """Counts on the window of a fit alone, on cells coarse enough for tests, with their fit."""
    part = counts.part(fit.start, fit.stop).coarsened(MOST_CELLS)
    coarse = part.fit(0, len(part.cells))
    return (part, coarse) if coarse is not None else (counts, fit)


def _chosen(counts: GroupedCounts, found: WindowFit, fit: WindowFit, goodness: Goodness, seed: int) -> WindowChoice:
    """What one criterion chose, with the test there: the one at hand if it is the window of the verdict."""
    if found != fit:
        goodness = goodness_of_fit(*_coarse(counts, found), _OTHER_REPLICATES, seed)
    window = counts.window(found.start, found.stop)
    return WindowChoice(window, found.exponent, found.standard_error, round(found.n), goodness.p_value)


def _drifts(counts: GroupedCounts, fit: WindowFit) -> bool:
    """Whether a lognormal is preferred on a window."""
    lognormal = lognormal_test(counts, fit)
    return lognormal is not None and lognormal.preferred


def _central(counts: GroupedCounts) -> tuple[int, int]:
    """Cells that hold the central 99% of the fluctuations."""
    share = np.cumsum(counts.pooled) / counts.pooled.sum()
    start, stop = (int(np.searchsorted(share, q)) for q in (0.005, 0.995))
    return start, stop + 1


def _whole(counts: GroupedCounts) -> Lognormal | None:
    """Lognormal against power law on the central 99% of the fluctuations."""
    if not counts.pooled.any():
        return None
    fit = counts.fit(*_central(counts))
    return None if fit is None else lognormal_test(counts, fit)


def _judge(
    counts: GroupedCounts,
    fit: WindowFit,
    goodness: Goodness,
    basis: Basis,
    lognormal: Lognormal | None,
    ci95: tuple[float, float],
    tolerance: float,
    repeated: bool,
) -> tuple[FitVerdict, str]:
    """Verdict on a window, by the rules stated in `FitVerdict`."""
    half = 0.5 * (ci95[1] - ci95[0])
    # A window given on a sketch has moved inwards to its edges.
    spare = 2 * float(np.diff(counts.edges).max()) if counts.cells.width is not None else 1e-9
    if counts.width_of(fit.start, fit.stop) < DECADE - spare:
        return FitVerdict.NOT_RESOLVED, "the window is narrower than a decade"
    if half > WIDEST_INTERVAL:
        return FitVerdict.NOT_RESOLVED, f"the 95% interval is {half:.2f} wide to each side"
    if basis is Basis.EQUIVALENCE:
        return FitVerdict.POWER_LAW, f"the local exponent stays within {tolerance:g} of a constant on the window"
    if lognormal is not None and lognormal.preferred and abs(lognormal.drift) > 2 * tolerance:
        return FitVerdict.DRIFTING, f"a lognormal fits better, its exponent drifting by {lognormal.drift:+.2f}"
    if basis is Basis.SIGNIFICANCE and lognormal is not None and lognormal.largest_drift > LARGEST_DRIFT:
        drift = lognormal.largest_drift
        return FitVerdict.NOT_RESOLVED, f"an exponent drifting by {drift:.1f} over the window cannot be excluded"
    # A window that was found has passed the test already, on other cells and replicates.
    least = 0.5 * ACCEPTED if basis is Basis.SIGNIFICANCE and not repeated else ACCEPTED
    if goodness.p_value >= least:
        return FitVerdict.POWER_LAW, f"not rejected on the window (KS p = {goodness.p_value:.2f})"
    return FitVerdict.REJECTED, f"rejected on the window (KS p = {goodness.p_value:.3f})"


def _no_window(counts: GroupedCounts, whole: Lognormal | None, basis: Basis) -> tuple[FitVerdict, str]:
    """Outcome where no window of a decade is acceptable."""
    if basis is Basis.GIVEN:
        return FitVerdict.NOT_RESOLVED, f"the window holds fewer than {FEWEST} fluctuations, or all in one end bin"
    start, stop = _central(counts)
    if counts.width_of(start, stop) < DECADE:
        return FitVerdict.NOT_RESOLVED, "the fluctuations span less than a decade"
    if whole is not None and whole.preferred and math.isfinite(whole.drift):
        return (
            FitVerdict.DRIFTING,
            f"no decade has a constant exponent; over the whole range it drifts by {whole.drift:+.2f}",
        )
    return FitVerdict.REJECTED, "no window of a decade is compatible with a power law"
