"""Fit and test a power law: one call from fluctuations to a verdict."""

import math

import numpy as np

from critlearn.errors import InvalidInputError
from critlearn.inference.alternatives import Lognormal, lognormal_test
from critlearn.inference.cluster_bootstrap import exponent_interval
from critlearn.inference.goodness import Goodness, KolmogorovSmirnov
from critlearn.inference.grouped_counts import GroupedCounts, WindowFit
from critlearn.inference.local_exponent import SlidingFits, sliding_fits
from critlearn.inference.power_law import bins_inside
from critlearn.inference.result import Basis, FitVerdict, PowerLawFit
from critlearn.inference.window_search import ACCEPTED, FEWEST, equivalence_window, significance_window
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window

TOLERANCE = 0.05
"""How far the local exponent may be from a constant to count as one in practice."""

WIDEST_INTERVAL = 0.25
"""Half-width of the 95% interval above which an exponent is not resolved."""

_GROUPS = 200


def fit_power_law(
    data: LogSketch | np.ndarray,
    window: Window | None = None,
    *,
    tolerance: float = TOLERANCE,
    replicates: int = 400,
    seed: int = 0,
    log_floor: float | None = None,
) -> PowerLawFit:
    """Fit ``p(delta) ~ delta^-k`` on a window, given or found, and say whether it is one.

    Without a window, the widest one of a decade or more is taken on which either the local exponent with its
    simultaneous band stays within the tolerance of a constant (practical equivalence), or the Kolmogorov-Smirnov test
    does not reject and no lognormal is preferred (significance); `PowerLawFit.basis` says which. If only a window on
    which a lognormal is preferred is left, the verdict is a drifting exponent. Source: theory, inference.

    Parameters
    ----------
    data
        A sketch, whose groups are resampled together, or non-negative independent numbers, shape (n,).
    window
        Where to fit; found if None.
    tolerance
        Of practical equivalence.
    replicates, seed
        Of the bootstrap.
    log_floor
        ``ln delta`` below which measurements are rounding error, kept out of the fit.

    Raises
    ------
    InvalidInputError
        If the data are empty, negative or not finite, the tolerance is not positive, or the window is outside the data.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise InvalidInputError(f"the tolerance must be positive; got {tolerance}")
    sketch = data if isinstance(data, LogSketch) else _sketch(np.asarray(data))
    if sketch.count == 0:
        raise InvalidInputError("there are no fluctuations to fit")
    counts = GroupedCounts.from_sketch(sketch, log_floor)
    common = {"count": sketch.count, "zeros": sketch.zeros}
    if counts.total < FEWEST or counts.counts.shape[1] < 5:
        reason = f"{counts.total:.0f} non-zero fluctuations over {counts.counts.shape[1]} bins are too few"
        return PowerLawFit.unresolved(reason, **common)
    sliding = sliding_fits(counts)
    if window is not None:
        chosen, goodness, basis = _on_given(counts, sliding, window, tolerance, replicates, seed)
    else:
        chosen, goodness, basis = _found(counts, sliding, tolerance, replicates, seed)
    whole = _whole(counts)
    if chosen is None or goodness is None:
        return _without_window(counts, sliding, whole, common)
    lognormal = lognormal_test(counts, chosen)
    interval = exponent_interval(counts, chosen, max(replicates, 1000), seed)
    verdict, reason = _judge(chosen, goodness, basis, lognormal, interval.ci95, counts, tolerance)
    ends = Window.from_logs(counts.edges[chosen.start], counts.edges[chosen.stop])
    return PowerLawFit(
        exponent=None if verdict is FitVerdict.NOT_RESOLVED else chosen.exponent,
        standard_error=interval.standard_error,
        naive_standard_error=chosen.naive_standard_error,
        ci95=interval.ci95,
        window=ends,
        n=round(chosen.n),
        retained=chosen.n / counts.total,
        ks=goodness.ks,
        p_value=goodness.p_value,
        p_value_error=goodness.p_value_error,
        verdict=verdict,
        basis=basis,
        reason=reason,
        lognormal=lognormal,
        lognormal_whole=whole,
        curve=sliding.curve(),
        **common,
    )


def _sketch(values: np.ndarray) -> LogSketch:
    """Sketch of independent numbers: each is a group of its own as far as groups go."""
    values = values.ravel()
    if values.size == 0:
        raise InvalidInputError("there are no fluctuations to fit")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InvalidInputError(f"{bad} of {values.size} values are NaN or infinite")
    if (values < 0).any():
        raise InvalidInputError(f"{int((values < 0).sum())} values are negative: give sizes, or one sign at a time")
    groups = min(_GROUPS, values.size)
    return LogSketch.from_values(values, np.arange(values.size) % groups, groups)


def _on_given(
    counts: GroupedCounts, sliding: SlidingFits, window: Window, tolerance: float, replicates: int, seed: int
) -> tuple[WindowFit | None, Goodness | None, Basis]:
    """Fit on a given window."""
    if not (window.log_lo < counts.edges[-1] and window.log_hi > counts.edges[0]):
        data = Window.from_logs(counts.edges[0], counts.edges[-1])
        raise InvalidInputError(f"window {window.summary()} is outside the data, {data.summary()}")
    inside = bins_inside(counts.edges, window)
    fit = counts.fit(inside.start, inside.stop)
    if fit is None or fit.n < FEWEST:
        return None, None, Basis.GIVEN
    return fit, KolmogorovSmirnov(counts, replicates, seed).test(fit), Basis.GIVEN


def _found(
    counts: GroupedCounts, sliding: SlidingFits, tolerance: float, replicates: int, seed: int
) -> tuple[WindowFit | None, Goodness | None, Basis]:
    """Widest window by either criterion; by significance only if no lognormal is preferred there to the wider one."""
    decade = math.log(10.0)
    flat = equivalence_window(sliding, tolerance)
    if flat is not None and flat.bins * counts.width < decade:
        flat = None
    accepted = significance_window(counts, replicates, seed)
    if accepted is not None and accepted[0].bins * counts.width < decade:
        accepted = None
    if accepted is not None and (flat is None or (accepted[0].bins > flat.bins and not _drifts(counts, accepted[0]))):
        return *accepted, Basis.SIGNIFICANCE
    if flat is None:
        return None, None, Basis.NONE
    return flat, KolmogorovSmirnov(counts, replicates, seed).test(flat), Basis.EQUIVALENCE


def _drifts(counts: GroupedCounts, fit: WindowFit) -> bool:
    """Whether a lognormal is preferred on a window."""
    lognormal = lognormal_test(counts, fit)
    return lognormal is not None and lognormal.preferred


def _whole(counts: GroupedCounts) -> Lognormal | None:
    """Lognormal against power law on the central 99% of the fluctuations."""
    share = np.cumsum(counts.counts.sum(axis=0)) / counts.total
    start, stop = (int(np.searchsorted(share, q)) for q in (0.005, 0.995))
    fit = counts.fit(start, stop + 1) if stop - start >= 5 else None
    return None if fit is None else lognormal_test(counts, fit)


def _judge(
    fit: WindowFit,
    goodness: Goodness,
    basis: Basis,
    lognormal: Lognormal | None,
    ci95: tuple[float, float],
    counts: GroupedCounts,
    tolerance: float,
) -> tuple[FitVerdict, str]:
    """Verdict on a window, by the rules stated in `FitVerdict`."""
    half = 0.5 * (ci95[1] - ci95[0])
    if fit.bins * counts.width < math.log(10.0) * 0.999:
        return FitVerdict.NOT_RESOLVED, "the window is narrower than a decade"
    if half > WIDEST_INTERVAL:
        return FitVerdict.NOT_RESOLVED, f"the 95% interval is {half:.2f} wide to each side"
    if basis is Basis.EQUIVALENCE:
        return FitVerdict.POWER_LAW, f"the local exponent stays within {tolerance:g} of a constant on the window"
    if lognormal is not None and lognormal.preferred and abs(lognormal.drift) > 2 * tolerance:
        return FitVerdict.DRIFTING, f"a lognormal fits better, its exponent drifting by {lognormal.drift:+.2f}"
    if goodness.p_value >= ACCEPTED:
        return FitVerdict.POWER_LAW, f"not rejected on the window (KS p = {goodness.p_value:.2f})"
    return FitVerdict.REJECTED, f"rejected on the window (KS p = {goodness.p_value:.3f})"


def _without_window(
    counts: GroupedCounts, sliding: SlidingFits, whole: Lognormal | None, common: dict[str, int]
) -> PowerLawFit:
    """Outcome where no window of a decade is acceptable."""
    if whole is not None and whole.preferred:
        verdict = FitVerdict.DRIFTING
        reason = f"no decade has a constant exponent; over the whole range it drifts by {whole.drift:+.2f}"
    elif (counts.counts.shape[1]) * counts.width < math.log(10.0):
        verdict, reason = FitVerdict.NOT_RESOLVED, "the fluctuations span less than a decade"
    else:
        verdict, reason = FitVerdict.REJECTED, "no window of a decade is compatible with a power law"
    return PowerLawFit.without_exponent(verdict, reason, whole, sliding.curve(), **common)
