"""Fit and test a power law: one call from fluctuations to a verdict."""

from collections.abc import Sequence
from typing import Any, Final

from critlearn.errors import InvalidInputError
from critlearn.inference.conclusion import Settings, conclude
from critlearn.inference.counts.raw_values import as_window
from critlearn.inference.criteria import DEFAULT_CRITERIA, FEWEST_CELLS, Criteria
from critlearn.inference.observations import (
    Histogram,
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

_MAP_REPLICATES: Final = 200
"""Replicates behind each critical distance of a stability map, which is then known to 5%."""


def fit_power_law(
    data: LogSketch | Histogram | Any,
    window: Window | Sequence[float] | None = None,
    *,
    discrete: bool = False,
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
    """Fit ``p(delta) ~ delta^-k`` on a window, searched for unless set, and test whether the data follow it there.

    Without a window, the widest one of a decade or more is taken on which either the local exponent with its
    simultaneous band stays within the tolerance of a constant (practical equivalence), or the Kolmogorov-Smirnov test
    does not reject and no lognormal is preferred (significance); `PowerLawFit.basis` says which. If only a window on
    which a lognormal is preferred is left, the verdict is a drifting exponent. Source: theory, inference.

    Parameters
    ----------
    data
        A sketch, whose groups are resampled together; a `Histogram`; or numbers, shape (n,) or any other: NumPy,
        pandas, torch of any dtype, lists. Exact zeros are counted as a point mass and are no part of the fit.
    window
        Where to fit, as a `Window` or a pair of its ends; found if None. On a sketch its ends move inwards to the
        nearest edges.
    discrete
        Whether the law is one on integers, ``P(x) ~ x^-k`` for ``x = 1, 2, ...``, normalised by sums over them. Zeros
        are counted and left out. Integers up to 200 are cells of their own; above, cells of 1% hold several. Signs,
        blocks, weights, floors and NaN are then refused.
    side
        ``both`` for a law with two cut-offs; ``large`` for a tail to infinity (k > 1), ``small`` for a law down to zero
        (k < 1), of which only the other end is searched for. A given window must then reach to the last value there.
    sign
        Which of signed numbers to fit: ``absolute``, ``positive`` or ``negative``. Needed if numbers are negative; a
        sketch is taken absolute.
    cluster, block
        Labels of dependent values, shape (n,), or the length of blocks of dependent neighbours (a time series): errors
        and p-values are then over clusters or blocks.
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
        numbers, lies outside the data, or ends among them where `side` says that the law has no end; clusters, blocks
        or weights do not fit the data; or values for a discrete law are not integers, negative or above 2^53.

    >>> import numpy as np
    >>> u = np.linspace(np.log(1e-4), 0.0, 10_000)
    >>> round(fit_power_law(np.exp(u)).exponent, 2)
    1.0
    """
    window = as_window(window)
    settings = Settings(criteria, seed, progress)
    observed = Reading(side, sign, cluster, block, weights, nan, log_floor, discrete).observe(data, window)
    # Integers fill cells that end half an integer beyond them.
    if discrete and window is not None:
        window = around_integers(window)
    return conclude(observed, window, settings)


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
