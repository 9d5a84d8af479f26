"""Choose the window of a fit: as the user set it, by one of two criteria, or as the range of a law with cut-off."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.grouped_counts import GroupedCounts, check_inside, check_sides
from critlearn.inference.criteria import (
    ACCEPTED,
    DECADE,
    DRAWN_IN,
    FEWEST,
    LEAST_CUT_OFF,
    LEAST_RETAINED,
    MOST_DRAWN_IN,
    REJECTED_AFTER_SEARCH,
    SIGNIFICANCE,
    TOLERATED_DRIFT,
    WHOLE,
    Criteria,
)
from critlearn.inference.grade import Basis
from critlearn.inference.laws.cutoff import CutoffFit, fit_cutoff
from critlearn.inference.laws.lognormal import MOST_CELLS, lognormal_test
from critlearn.inference.laws.window_fits import WindowFit, fit_window
from critlearn.inference.window.local_exponent import SlidingFits
from critlearn.inference.window.search import Selected, WindowScan, drawn_in, equivalence_window
from critlearn.numerics.window import Window

_CUT_OFF_STARTS: Final = 18
"""Lower ends that are tried for a law with cut-off, half as many as those of windows: each is a fit of its own."""

_FLAT_POWER: Final = 0.1
"""Exponent that a law with cut-off must exceed significantly; below, it is an exponential or a density that rises."""

_CUT_OFF_NORMALS: Final = 1000
"""Replicates of the limit of the empirical process: a critical distance at the 1% level is then known to 5%."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Window on which the grade rests, what drawing it in changed in the exponent, and what the criteria found.

    ``nearly_flat`` is whether the local exponent stays within half of `TOLERATED_DRIFT` of the fit all over the window;
    it is looked at where no criterion has chosen the window.
    """

    basis: Basis
    fit: WindowFit | None
    selection_error: float = 0.0
    scan: WindowScan | None = None
    selected: tuple[WindowFit, Selected] | None = None
    equivalence: WindowFit | None = None
    significance: WindowFit | None = None
    cutoff: CutoffFit | None = None
    scale_change: float = 0.0
    nearly_flat: bool = False


def cutoff_normals(seed: int) -> Float64[np.ndarray, "replicate cell"]:
    """Normal numbers behind the critical distances of laws with cut-off; one cell more for what lies beyond."""
    return np.random.default_rng(seed).standard_normal((_CUT_OFF_NORMALS, MOST_CELLS + 1))


def on_set_window(counts: GroupedCounts, window: Window, sliding: SlidingFits, seed: int) -> Choice:
    """Fit on the window that the user has set; where the law has no cut-off it reaches to the end of the data.

    A law to infinity that ends smoothly is fitted with its cut-off.
    """
    check_inside(counts, window)
    check_sides(counts, window)
    inside = counts.cells.inside(window)
    start = 0 if counts.open_below else inside.start
    stop = len(counts.cells) if counts.open_above else inside.stop
    fit = fit_window(counts, start, stop)
    if fit is None:
        return Choice(Basis.NONE, None)
    found = fit_cutoff(counts, start) if counts.open_above else None
    if found is not None and _is_cutoff(counts, found) and found.accepted_ratio(cutoff_normals(seed)) <= 1:
        return Choice(Basis.GIVEN, fit, cutoff=found)
    marks = sliding.counts.edges[sliding.marks]
    first = int(np.searchsorted(marks, counts.edges[start] - 1e-9))
    last = int(np.searchsorted(marks, counts.edges[stop] + 1e-9, side="right")) - 1
    nearly_flat = last > first and sliding.is_flat(first, last, fit, TOLERATED_DRIFT / 2)
    return Choice(Basis.GIVEN, fit, nearly_flat=nearly_flat)


def search(counts: GroupedCounts, sliding: SlidingFits, criteria: Criteria, seed: int, half_filled: int) -> Choice:
    """Widest window by either criterion; by significance only if no lognormal is preferred there to the wider one.

    A law with cut-off takes the place of a window that holds no more values than it. Where there is neither, the
    window is the one that is nearest to a power law. The test is made without the outermost cells that the data fill
    only in part, and no window holds them.
    """
    # 200 replicates at least: a critical distance is then known to 5%.
    inner = counts.without_end_cells() if half_filled else counts
    scan = WindowScan.of(inner, max(200, criteria.replicates // 2), seed)
    choice = _by_criteria(counts, sliding, scan, criteria.tolerance, half_filled)
    smooth = _with_cutoff(counts, scan, choice, half_filled, seed)
    if smooth is not None:
        return smooth
    if choice.fit is not None:
        return choice
    # A drift that is tolerated, over a window as wide as it allows, says more than the flattest decade.
    near = _wide_enough(counts, sliding, TOLERATED_DRIFT / 2)
    nearly_flat = near is not None
    if near is None:
        found = scan.nearest()
        # Of less than half a decade there are no candidates.
        whole = fit_window(counts, 0, len(counts.cells))
        near = whole if found is None else _on_fine(counts, scan, found, half_filled)
    return replace(choice, basis=Basis.NONE if near is None else Basis.NEAREST, fit=near, nearly_flat=nearly_flat)


def _by_criteria(
    counts: GroupedCounts, sliding: SlidingFits, scan: WindowScan, tolerance: float, half_filled: int
) -> Choice:
    """Widest window of a decade or more by equivalence or by significance; without a fit where there is none."""
    flat = _wide_enough(counts, sliding, tolerance)
    selected = scan.selected()
    widest = None if selected is None else _on_fine(counts, scan, selected[0], half_filled)
    if widest is None or counts.width_of(widest.start, widest.stop) < DECADE:
        return Choice(Basis.NONE if flat is None else Basis.EQUIVALENCE, flat, 0.0, scan, selected, flat)
    tail = _tail(counts, scan, selected, half_filled)
    inner = drawn_in(counts, widest, half_filled=half_filled) if tail is None else tail[0]
    # What drawing in changes in the exponent is taken for the error that the choice of the window adds.
    change = abs(inner.exponent - widest.exponent) if tail is None else tail[1]
    enough = inner.n >= min(LEAST_RETAINED * counts.total, widest.n)
    small_tail = widest.n < LEAST_RETAINED * counts.total
    found = inner if (enough or small_tail) and counts.width_of(inner.start, inner.stop) >= DECADE else widest
    wider = flat is None or counts.width_of(widest.start, widest.stop) > counts.width_of(flat.start, flat.stop)
    # Equivalence is evidence; that a tail of few values is not rejected is less.
    wider = wider and (flat is None or not small_tail)
    if wider and (flat is None or not _drifts(counts, found)):
        return Choice(Basis.SIGNIFICANCE, found, change, scan, selected, flat, found)
    return Choice(Basis.NONE if flat is None else Basis.EQUIVALENCE, flat, 0.0, scan, selected, flat, found)


def _tail(
    counts: GroupedCounts, scan: WindowScan, selected: tuple[WindowFit, Selected] | None, half_filled: int
) -> tuple[WindowFit, float] | None:
    """Tail to the end of the data whose lower end fits best; None for a window that is no tail.

    With what the choice of that end may change in the exponent.

    Of the tails that are not rejected the widest reaches into the body below the law. The one with the least distance
    (Clauset, Shalizi and Newman, SIAM Review 51, 661, 2009) begins with the law, or somewhat above.
    """
    if selected is None:
        return None
    widest = selected[0]
    if widest.stop < len(scan.counts.cells) or widest.start == 0:
        return None
    found = scan.best_tail(widest)
    fine = None if found is None else _on_fine(counts, scan, found[0], half_filled)
    if found is None or fine is None:
        return None
    # The end that fits best lies below that of the law as often as above, by some of the values next to it.
    share = np.cumsum(counts.pooled[fine.start : fine.stop]) / fine.n
    moved = fit_window(counts, fine.start + int(np.searchsorted(share, MOST_DRAWN_IN)), fine.stop)
    if moved is None or counts.width_of(moved.start, moved.stop) < DECADE:
        return fine, found[1]
    return moved, max(found[1], abs(moved.exponent - fine.exponent))


def _wide_enough(counts: GroupedCounts, sliding: SlidingFits, tolerance: float) -> WindowFit | None:
    """Fit on the window by equivalence, all cells and open ends in it; None if there is none of a decade or more."""
    found = equivalence_window(sliding, tolerance)
    if found is None:
        return None
    # Edges of short windows are edges of the counts, of which they may be some.
    start, stop = np.searchsorted(counts.edges, sliding.counts.edges[[found.start, found.stop]] - 1e-9)
    fit = fit_window(counts, int(start), int(stop))
    return None if fit is None or counts.width_of(fit.start, fit.stop) < DECADE else fit


def _is_cutoff(counts: GroupedCounts, found: CutoffFit) -> bool:
    """Whether a cut-off is needed, lies far enough above the lower end, and the law before it is not flat."""
    lower = float(counts.edges[found.start])
    flat = found.exponent - 1.96 * found.standard_error < _FLAT_POWER
    return found.ends_smoothly and found.log_scale - lower >= math.log(LEAST_CUT_OFF) and not flat


def _with_cutoff(counts: GroupedCounts, scan: WindowScan, choice: Choice, half_filled: int, seed: int) -> Choice | None:
    """Law with cut-off from the lowest end on from which it is not rejected; None if a window holds more of it."""
    if counts.open_below:
        return None
    edges = np.unique(scan.counts.edges[scan.ends[0]])
    starts = np.unique(np.abs(counts.edges[:, None] - edges).argmin(axis=0))
    starts = np.unique(starts[np.linspace(0, len(starts) - 1, min(len(starts), _CUT_OFF_STARTS)).astype(np.int64)])
    held = 0.0 if choice.fit is None else choice.fit.n
    width = 0.0 if choice.fit is None else counts.width_of(choice.fit.start, choice.fit.stop)
    whole = held >= WHOLE * counts.total
    if whole and choice.fit is not None:
        # Nothing but the upper end is in question.
        starts = np.array([choice.fit.start])
    normals = cutoff_normals(seed)
    for start in starts.tolist():
        found = fit_cutoff(counts, int(start))
        if found is None or found.n < max(FEWEST, LEAST_RETAINED * counts.total):
            return None
        # The law before its cut-off must be as wide as the window, or hold as many values.
        if found.n < held * WHOLE and found.log_scale - float(counts.edges[start]) < width:
            return None
        # An end of another form is cut off by the window that was found.
        if not _is_cutoff(counts, found) or (choice.fit is not None and found.form_p_value < SIGNIFICANCE):
            if whole:
                return None
            continue
        # A law from the smallest value on has no lower end that was chosen for it.
        level = REJECTED_AFTER_SEARCH if start == starts[0] else ACCEPTED
        if found.accepted_ratio(normals, level) <= 1:
            return _drawn_in_cutoff(counts, found, choice, at_data_start=bool(start == starts[0] or whole))
    return None


def _drawn_in_cutoff(counts: GroupedCounts, found: CutoffFit, choice: Choice, *, at_data_start: bool) -> Choice:
    """Choice of a law with cut-off; a lower end among the data is drawn in, as that of a window is."""
    inner = found
    if not at_data_start:
        share = np.cumsum(counts.pooled[found.start :]) / found.n
        reach = DRAWN_IN * (found.log_scale - float(counts.edges[found.start]))
        cells = int(np.searchsorted(counts.edges, counts.edges[found.start] + reach)) - found.start
        moved = fit_cutoff(counts, found.start + min(cells, int(np.searchsorted(share, MOST_DRAWN_IN))))
        inner = moved if moved is not None and _is_cutoff(counts, moved) else found
    bounded = fit_window(counts, inner.start, len(counts.cells))
    return replace(
        choice,
        basis=Basis.CUT_OFF,
        fit=bounded,
        cutoff=inner,
        selection_error=abs(inner.exponent - found.exponent),
        scale_change=abs(inner.log_scale - found.log_scale),
    )


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


def _drifts(counts: GroupedCounts, fit: WindowFit) -> bool:
    """Whether a lognormal is preferred on a window."""
    lognormal = lognormal_test(counts, fit)
    return lognormal is not None and lognormal.preferred
