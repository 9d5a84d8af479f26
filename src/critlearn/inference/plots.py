"""Pictures of a fit by their names: what is computed for each here, and drawn in `figures.fit`.

The fit is taken by what it holds: `result` imports this module, not the other way round.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
import scipy.special

from critlearn.errors import unknown_name
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.density import DensityCurve
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.alternatives import Alternative
from critlearn.inference.laws.fitted_law import FittedLaw
from critlearn.inference.laws.window_fits import fit_windows
from critlearn.inference.window.local_exponent import LocalExponentCurve
from critlearn.numerics.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PlotKind = Literal["density", "ccdf", "local", "stability", "qq"]
"""Pictures that a fit draws."""

_MOST_ALTERNATIVES: Final = 2
"""Alternatives that are drawn at most: more lines beside the law cannot be distinguished."""

_ENDS: Final = 60
"""Lower ends of a stability plot at most."""

_FEWEST_ABOVE: Final = 20
"""Values from which on an exponent is drawn: with fewer its 95% interval is no interval any more."""

_LINE: Final = 300
"""Points of a line."""


@runtime_checkable
class DrawnFit(Protocol):
    """What pictures need of a fit; see `PowerLawFit`."""

    @property
    def exponent(self) -> float | None: ...  # noqa: D102
    @property
    def ci95(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def window(self) -> Window | None: ...  # noqa: D102
    @property
    def law(self) -> FittedLaw | None: ...  # noqa: D102
    @property
    def established(self) -> bool: ...  # noqa: D102
    @property
    def alternatives(self) -> tuple[Alternative, ...]: ...  # noqa: D102
    @property
    def density(self) -> DensityCurve | None: ...  # noqa: D102
    @property
    def curve(self) -> LocalExponentCurve | None: ...  # noqa: D102
    @property
    def counts(self) -> GroupedCounts | None: ...  # noqa: D102


def plot_fit(fit: DrawnFit, kind: str, axes: "Axes | None", name: str) -> "Axes":
    """Draw one picture of a fit on given axes, or on new ones of pyplot.

    Raises
    ------
    InvalidInputError
        If there is no picture of this name.
    """
    drawing = _DRAWINGS.get(kind)
    if drawing is None:
        raise unknown_name("kind of plot", str(kind), _DRAWINGS)
    if axes is None:
        # The only place where pyplot is used: elsewhere figures leave its global state alone.
        from matplotlib import pyplot

        axes = pyplot.subplots(layout="constrained")[1]
    return drawing(fit, axes, name)


def _density(fit: DrawnFit, axes: "Axes", name: str) -> "Axes":
    from critlearn.figures.fit import draw_density

    law, others = _curves(fit, lambda law, u: law.log_density(u) - u, lambda other, u: other.log_density(u) - u)
    nothing = np.zeros(0)
    shown = fit.density
    parts = (nothing,) * 3 if shown is None else (shown.log_delta, shown.log_density, shown.count)
    return draw_density(axes, *parts, window=_ends(fit), law=law, others=others, name=name)


def _ccdf(fit: DrawnFit, axes: "Axes", name: str) -> "Axes":
    from critlearn.figures.fit import draw_ccdf

    if fit.counts is None:
        return draw_ccdf(axes, np.zeros(0), np.zeros(0), name=name)
    cells = fit.counts.cells
    from_there = np.cumsum(fit.counts.pooled[::-1])[::-1] / fit.counts.pooled.sum()
    shown = fit.counts.pooled > 0
    above = _above_window(fit)

    def share(law: FittedLaw, u: np.ndarray) -> np.ndarray:
        # Of integers, P(X >= x) is P(X > x - 1/2).
        at = np.log(np.maximum(np.exp(u) - 0.5, 0.25)) if law.discrete else u
        return np.logaddexp(law.log_ccdf(at), above)

    law, _ = _curves(fit, share, None)
    x, steps = _places(cells)[:-1][shown], cells.first_integer is None
    return draw_ccdf(axes, x, np.log(from_there[shown]), steps=steps, window=_ends(fit), law=law, name=name)


def _local(fit: DrawnFit, axes: "Axes", name: str) -> "Axes":
    from critlearn.figures.fit import draw_local, exponent_label

    log_x, exponent, low, high = (np.zeros(0),) * 4
    if fit.curve is not None:
        kept = np.isfinite(fit.curve.exponent)
        log_x, exponent = fit.curve.log_delta[kept], fit.curve.exponent[kept]
        low, high = fit.curve.band_lo[kept], fit.curve.band_hi[kept]
    fitted = None if fit.exponent is None else (exponent_label(fit.exponent, fit.ci95), fit.exponent)
    return draw_local(axes, log_x, exponent, (low, high), window=_ends(fit), fitted=fitted, name=name)


def _stability(fit: DrawnFit, axes: "Axes", name: str) -> "Axes":
    from critlearn.figures.fit import draw_stability, exponent_label

    counts, window = fit.counts, fit.window
    if counts is None:
        return draw_stability(axes, np.zeros(0), np.zeros(0), (np.zeros(0), np.zeros(0)), name=name)
    stop = len(counts.cells) if window is None else counts.cells_of(window)[1]
    pooled = counts.pooled[:stop]
    last = int(np.searchsorted(-np.cumsum(pooled[::-1])[::-1], -_FEWEST_ABOVE, side="right")) - 1
    first = int(np.argmax(pooled > 0))
    start = np.unique(np.linspace(0, max(last, first), _ENDS).round().astype(np.int64))
    if counts.cells.width is None:
        # Of cells that are not equal, those nearest to equal steps in ln x.
        steps = np.linspace(counts.edges[first], counts.edges[max(last, first)], _ENDS)
        start = np.unique(np.searchsorted(counts.edges, steps - 1e-9))
    start = start[(start >= first) & (start < stop - 2)]
    fits = fit_windows(counts, start, np.full(len(start), stop))
    kept = np.isfinite(fits.exponent) & np.isfinite(fits.standard_error)
    exponent, half = fits.exponent[kept], 1.96 * fits.standard_error[kept]
    chosen = None
    if window is not None and fit.exponent is not None:
        chosen = (exponent_label(fit.exponent, fit.ci95), window.log_lo, fit.exponent)
    lower = _places(counts.cells)[start[kept]]
    return draw_stability(axes, lower, exponent, (exponent - half, exponent + half), chosen=chosen, name=name)


def _qq(fit: DrawnFit, axes: "Axes", name: str) -> "Axes":
    from critlearn.figures.fit import draw_qq

    if fit.law is None or fit.window is None or fit.counts is None:
        return draw_qq(axes, np.zeros(0), np.zeros(0), name=name)
    start, stop = fit.counts.cells_of(fit.window)
    cells, pooled = fit.counts.cells.part(start, stop), fit.counts.pooled[start:stop]
    shown, n = pooled > 0, float(pooled.sum())
    # Each cell by the middle of its values: the rank of the last one would be 1, and its quantile infinite.
    rank = (np.cumsum(pooled) - 0.5 * pooled)[shown]
    centres = 0.5 * (_places(cells)[1:] + _places(cells)[:-1])
    if cells.first_integer is not None:
        centres = 0.5 * np.log(cells.first_integer[:-1] * (cells.first_integer[1:] - 1))
    # The k-th of n uniform numbers has a beta distribution.
    ranks = np.maximum(rank, 1e-9), np.maximum(n - rank, 1e-9)
    low, high = (fit.law.log_ppf(scipy.special.betaincinv(*ranks, q)) for q in (0.025, 0.975))
    return draw_qq(axes, fit.law.log_ppf(rank / n), centres[shown], (low, high), name=name)


_DRAWINGS: Final[dict[str, Callable[[DrawnFit, Any, str], Any]]] = {
    "density": _density,
    "ccdf": _ccdf,
    "local": _local,
    "stability": _stability,
    "qq": _qq,
}


def _ends(fit: DrawnFit) -> tuple[float, float] | None:
    """Ends of the window as far as there are values."""
    if fit.window is None or fit.counts is None:
        return None
    filled = np.flatnonzero(fit.counts.pooled)
    low, high = (float(_places(fit.counts.cells)[at]) for at in (filled[0], filled[-1] + 1))
    return max(fit.window.log_lo, low), min(fit.window.log_hi, high)


def _places(cells: Cells) -> np.ndarray:
    """Edges as they are drawn: at integers, not half-way between them."""
    return cells.edges if cells.first_integer is None else np.log(cells.first_integer)


def _above_window(fit: DrawnFit) -> float:
    """``ln`` of the number of values above the window over that on it."""
    if fit.counts is None or fit.window is None:
        return -math.inf
    start, stop = fit.counts.cells_of(fit.window)
    inside, above = fit.counts.pooled[start:stop].sum(), fit.counts.pooled[stop:].sum()
    return math.log(above / inside) if above > 0 and inside > 0 else -math.inf


def _curves(
    fit: DrawnFit,
    of_law: Callable[[FittedLaw, np.ndarray], np.ndarray],
    of_other: Callable[[Alternative, np.ndarray], np.ndarray] | None,
) -> tuple[Any, list[Any]]:
    """Law and preferred alternatives on the window, scaled by the share of the values on it."""
    from critlearn.figures.fit import Curve, exponent_label

    ends = _ends(fit)
    if fit.law is None or fit.window is None or fit.counts is None or fit.exponent is None or ends is None:
        return None, []
    start, stop = fit.counts.cells_of(fit.window)
    level = math.log(fit.counts.pooled[start:stop].sum() / fit.counts.total)
    u = np.linspace(*ends, _LINE)
    if fit.law.discrete:
        u = np.log(np.unique(np.rint(np.exp(u))))
    label = exponent_label(fit.exponent, fit.ci95)
    law = Curve(label, u, of_law(fit.law, u) + level, fit.established)
    if of_other is None:
        return law, []
    preferred = sorted((item for item in fit.alternatives if item.preferred == item.name), key=lambda it: -it.bic_gain)
    return law, [Curve(item.name, u, of_other(item, u) + level) for item in preferred[:_MOST_ALTERNATIVES]]
