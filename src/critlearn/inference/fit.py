"""Fit and test a power law: one call from fluctuations to a grade."""

import math
from collections.abc import Sequence
from typing import Any, Final

from critlearn.errors import InvalidInputError
from critlearn.inference.conclusion import Settings, conclude
from critlearn.inference.counts.histogram import Histogram
from critlearn.inference.counts.raw_values import as_window
from critlearn.inference.criteria import DEFAULT_CRITERIA, FEWEST_CELLS, Criteria
from critlearn.inference.observations import (
    NanPolicy,
    Reading,
    Side,
    Sign,
    around_integers,
)
from critlearn.inference.result import PowerLawFit
from critlearn.inference.window.goodness import Progress
from critlearn.inference.window.search import StabilityMap, WindowScan
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window

_BEYOND_ALL: Final = 1e308
"""Upper end of a window to infinity: there are no values beyond, and the law has no end there."""

_MAP_REPLICATES: Final = 200
"""Replicates behind each critical distance of a stability map, which is then known to 5%."""


def fit_power_law(
    data: LogSketch | Histogram | Any,
    window: Window | Sequence[float] | None = None,
    *,
    xmin: float | None = None,
    discrete: bool | None = None,
    side: Side = "both",
    sign: Sign | None = None,
    cluster: Any = None,
    block: int | None = None,
    weights: Any = None,
    nan: NanPolicy = "refuse",
    log_floor: float | None = None,
    criteria: Criteria = DEFAULT_CRITERIA,
    seed: int = 0,
    progress: Progress | None = None,
) -> PowerLawFit:
    """Fit ``p(delta) ~ delta^-k`` on a window, searched for unless set, and grade what the data say about it.

    Without a window, the widest one of a decade or more is taken on which either the local exponent with its
    simultaneous band stays within the tolerance of a constant (practical equivalence), or the Kolmogorov-Smirnov test
    does not reject and no lognormal is preferred (significance); or all values from a lower end on, with an exponential
    cut-off, where these are no fewer; `PowerLawFit.basis` says which. Where every window is rejected, the estimate is
    on the one that is nearest to a power law. Source: theory, inference.

    Parameters
    ----------
    data
        A sketch, whose groups are resampled together; a `Histogram`; or numbers, shape (n,) or any other: NumPy,
        pandas, torch of any dtype, lists. Exact zeros are counted as a point mass and are no part of the fit.
    window
        Where to fit, as a `Window` or a pair of its ends; found if None. On a sketch its ends move inwards to the
        nearest edges. An upper end of infinity is a law to infinity: ``(lo, inf)``.
    xmin
        The same as ``window=(xmin, inf)``.
    discrete
        Whether the law is one on integers, ``P(x) ~ x^-k`` for ``x = 1, 2, ...``, normalised by sums over them. Zeros
        are counted and left out. Integers up to 200 are cells of their own; above, cells of 1% hold several. If None,
        raw values that all are integers, the least of them below 100, are taken for such; `PowerLawFit.discrete` says
        what was decided.
    side
        ``both`` for a law with two cut-offs; ``large`` for a tail to infinity (k > 1), ``small`` for a law down to zero
        (k < 1), of which only the other end is searched for. A given window must then reach to the last value there.
    sign
        Which of signed numbers to fit: ``absolute``, ``positive`` or ``negative``. Needed if numbers are negative; a
        sketch is taken absolute.
    cluster, block
        Labels of dependent values, shape (n,), or the length of blocks of dependent neighbours (a time series): errors
        and p-values are then over clusters or blocks. With neither, blocks of five autocorrelation times are taken
        where the order of raw values shows dependence; ``block=1`` takes them for independent.
    weights
        Weights of the values, shape (n,), scaled to Kish's effective number; errors and p-values are over random groups
        of values then, as weights may go with the sizes, unless there are clusters.
    nan
        ``refuse`` NaN and infinite values, or ``omit`` and count them.
    log_floor
        ``ln delta`` below which measurements are rounding error, kept out of the fit. For raw values it is looked for
        if None; ``-inf`` keeps all.
    criteria
        Tolerance of equivalence, and how often tests and searches are repeated.
    seed
        Seed of all replicates.
    progress
        Called with the replicates of the p-value that are done and all of them: of the search where that is repeated.

    Raises
    ------
    InvalidInputError
        If the data are empty, not finite, or negative without a sign; the window is not a pair of positive, ascending
        numbers, lies outside the data, ends among them where `side` says that the law has no end, or is given together
        with `xmin`; clusters, blocks or weights do not fit the data; or values for a discrete law are not integers,
        negative or above 2^53.

    >>> import numpy as np
    >>> u = np.linspace(np.log(1e-4), 0.0, 10_000)
    >>> round(fit_power_law(np.exp(u)).exponent, 2)
    1.0
    """
    ends, side = _to_infinity(window, xmin, side)
    settings = Settings(criteria, seed, progress)
    observed = Reading(side, sign, cluster, block, weights, nan, log_floor, discrete).observe(data, ends)
    # Integers fill cells that end half an integer beyond them.
    if observed.discrete and ends is not None:
        ends = around_integers(ends)
    return conclude(observed, ends, settings)


def _to_infinity(window: Window | Sequence[float] | None, xmin: float | None, side: Side) -> tuple[Window | None, Side]:
    """Window and side: one without an upper end is a law to infinity, and reaches beyond all floats."""
    if xmin is not None:
        if window is not None:
            raise InvalidInputError("xmin is the lower end of a window without an upper one; give one of the two")
        window = (xmin, math.inf)
    if window is None or isinstance(window, Window) or not _is_endless(window):
        return as_window(window), side
    if side == "small":
        raise InvalidInputError('side="small" is a law down to zero, whose window has an upper end')
    return as_window((window[0], _BEYOND_ALL)), "large"


def _is_endless(window: Sequence[float]) -> bool:
    """Whether the second end is infinite; what is no pair of numbers is refused later."""
    try:
        _, high = window
        return float(high) == math.inf
    except (TypeError, ValueError):
        return False


def stability_map(
    data: LogSketch | Histogram | Any,
    *,
    side: Side = "both",
    sign: Sign | None = None,
    cluster: Any = None,
    seed: int = 0,
) -> StabilityMap:
    """Exponent as a function of both ends of the window, for the same windows that the search looks at.

    Parameters as in `fit_power_law`.

    Raises
    ------
    InvalidInputError
        As `fit_power_law`; and if the data have fewer than five cells.
    """
    observed = Reading(side, sign, cluster).observe(data)
    if len(observed.counts.cells) < FEWEST_CELLS:
        raise InvalidInputError("a stability map needs data of different sizes")
    return WindowScan.of(observed.counts, _MAP_REPLICATES, seed).stability_map()
