"""Fit and test a power law: one call from fluctuations to a verdict."""

import math
from typing import Any, Final

import numpy as np

from critlearn.errors import InvalidInputError
from critlearn.inference.cells import Cells
from critlearn.inference.conclusion import Settings, conclude
from critlearn.inference.grouped_counts import GroupedCounts
from critlearn.inference.observations import (
    Histogram,
    NanPolicy,
    Observations,
    Side,
    Sign,
    as_values,
    group_labels,
    observe,
)
from critlearn.inference.result import PowerLawFit
from critlearn.inference.selection_test import Progress
from critlearn.inference.window_search import StabilityMap, WindowScan
from critlearn.numerics.log_sketch import LogSketch
from critlearn.numerics.window import Window

TOLERANCE: Final = 0.05
"""How far the local exponent may be from a constant to count as one in practice."""

_MAP_REPLICATES: Final = 200


def fit_power_law(
    data: LogSketch | Histogram | Any,
    window: Window | None = None,
    *,
    side: Side = "both",
    sign: Sign | None = None,
    cluster: Any = None,
    block: int | None = None,
    weights: Any = None,
    nan: NanPolicy = "refuse",
    tolerance: float = TOLERANCE,
    replicates: int = 400,
    selection_replicates: int = 0,
    seed: int = 0,
    log_floor: float | None = None,
    progress: Progress | None = None,
) -> PowerLawFit:
    """Fit ``p(delta) ~ delta^-k`` on a window, given or found, and say whether it is one.

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
        Where to fit; found if None. On a sketch its ends move inwards to the nearest edges.
    side
        ``both`` for a law with two cut-offs; ``large`` for a tail to infinity (k > 1), ``small`` for a law down to zero
        (k < 1), of which only the other end is searched for.
    sign
        Which of signed numbers to fit: ``absolute``, ``positive`` or ``negative``. Needed if numbers are negative; a
        sketch is taken absolute.
    cluster, block
        Labels of dependent values, shape (n,), or the length of blocks of dependent neighbours (a time series): errors
        and p-values are then over clusters or blocks.
    weights
        Weights of the values, shape (n,), scaled to Kish's effective number.
    nan
        ``refuse`` NaN and infinite values, or ``omit`` and count them.
    tolerance
        Of practical equivalence.
    replicates, seed
        Of the bootstrap.
    selection_replicates
        If positive, the p-value of a window found by significance repeats the search in that many replicates.
    log_floor
        ``ln delta`` below which measurements are rounding error, kept out of the fit. For raw values it is looked for
        if None; ``-inf`` keeps all.
    progress
        Called with the selection replicates done and all of them.

    Raises
    ------
    InvalidInputError
        If the data are empty, not finite, or negative without a sign; the tolerance is not positive; the window is
        outside the data; or clusters, blocks or weights do not fit the data.

    >>> u = np.linspace(np.log(1e-4), 0.0, 10_000)
    >>> round(fit_power_law(np.exp(u)).exponent, 2)
    1.0
    """
    settings = _settings(tolerance, replicates, selection_replicates, seed, progress)
    observed = observe(
        data,
        window,
        side=side,
        sign=sign,
        cluster=cluster,
        block=block,
        weights=weights,
        nan=nan,
        log_floor=log_floor,
    )
    return conclude(observed, window, settings)


def fit_discrete_power_law(
    data: Any,
    window: Window | None = None,
    *,
    side: Side = "both",
    cluster: Any = None,
    tolerance: float = TOLERANCE,
    replicates: int = 200,
    selection_replicates: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> PowerLawFit:
    """Fit ``P(x) ~ x^-k`` on integers ``x = 1, 2, ...`` of a window, given or found; as `fit_power_law` otherwise.

    Zeros are counted and left out. Integers up to 200 are cells of their own; above, cells of 1% hold several.

    Raises
    ------
    InvalidInputError
        If there is no data, or a value is negative or no integer; and as `fit_power_law`.
    """
    settings = _settings(tolerance, replicates, selection_replicates, seed, progress)
    values = as_values(data)[0]
    if values.size == 0:
        raise InvalidInputError("there are no values to fit")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
        raise InvalidInputError("a discrete power law needs integers that are not negative")
    positive = values > 0
    if not positive.any():
        raise InvalidInputError("there are no values but zeros")
    integers = values[positive].astype(np.float64)
    cells = Cells.integers(int(integers.min()), int(integers.max()))
    index = np.searchsorted(cells.edges, np.log(integers)) - 1
    labels = group_labels(values.size, cluster, None)
    if labels is None:
        counts = np.bincount(index, minlength=len(cells))[None]
    else:
        flat = labels[positive] * len(cells) + index
        counts = np.bincount(flat, minlength=(int(labels.max()) + 1) * len(cells)).reshape(-1, len(cells))
        counts = counts[counts.any(axis=1)]
    grouped = GroupedCounts(cells, counts.astype(np.float64), open_below=side == "small", open_above=side == "large")
    if window is not None:
        lowest, highest = math.ceil(window.lo - 1e-9), math.floor(window.hi + 1e-9)
        window = Window(max(lowest, 1) - 0.5, max(highest, lowest + 1) + 0.5)
    return conclude(Observations(grouped, values.size, int(values.size - positive.sum())), window, settings)


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
    observed = observe(
        data, None, side=side, sign=sign, cluster=cluster, block=None, weights=None, nan="refuse", log_floor=None
    )
    if len(observed.counts.cells) < 5:
        raise InvalidInputError("a stability map needs data of different sizes")
    return WindowScan.of(observed.counts, _MAP_REPLICATES, seed).stability_map()


def _settings(
    tolerance: float, replicates: int, selection_replicates: int, seed: int, progress: Progress | None
) -> Settings:
    """Refuse settings that mean nothing."""
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise InvalidInputError(f"the tolerance must be positive; got {tolerance}")
    if seed < 0:
        raise InvalidInputError(f"a seed must not be negative; got {seed}")
    if replicates < 10:
        raise InvalidInputError(f"a bootstrap needs at least 10 replicates; got {replicates}")
    if selection_replicates != 0 and selection_replicates < 10:
        raise InvalidInputError(f"a selection is repeated 10 times or more, or not at all; got {selection_replicates}")
    return Settings(tolerance, replicates, selection_replicates, seed, progress)
