"""Figures of one quantity of a run: density, share above, measured over predicted, and local exponent."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from critlearn.figures.style import (
    FITTED,
    LN10,
    MEASURED,
    PREDICTED,
    WINDOW,
    add_legend,
    label_as_numbers,
    label_as_powers,
    log_log_axes,
    numbers,
)
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.notation import LAW_GRADES

Points = Float64[np.ndarray, " point"]

_POINTS_PER_DECADE: Final = 20
"""Points of a density: more cannot be distinguished in a figure of ten decades."""

_SHORT_WINDOW: Final = 0.4
"""Decades over which a predicted exponent is averaged: those of the shortest window of a measured one. Without it, the
kernels of which a predicted density is made would be drawn as structure where data end abruptly."""

_HEIGHTS: Final = (3.0, 2.0, 1.4, 2.0)
"""Relative heights of the panels: the density, which all look at first, is the largest."""

_MOST_APART: Final = 1.5
"""Decades of a ratio that are drawn at most: what is farther off is off, and would flatten all the rest."""

_RATIOS: Final = {False: (0.5, 1.0, 2.0), True: (0.1, 1.0, 10.0)}
"""Ratios that have a mark, on an axis that reaches less than half a decade to either side or farther."""


def density_figure(sketch: LogSketch, quantity: Mapping[str, Any]) -> Figure:
    """Density of ``|dq|`` on log-log axes, with the fitted power law, the prediction and the window of the fit.

    Parameters
    ----------
    sketch
        Sketch of the measured fluctuations.
    quantity
        Entry of the quantity in the record of the run.
    """
    figure, axes = log_log_axes("|δq|", "density p(|δq|)")
    draw_density(axes, sketch, quantity)
    add_legend(axes)
    return figure


def quantity_figure(sketch: LogSketch, quantity: Mapping[str, Any]) -> Figure:
    """Density, share above, ratio to the prediction and local exponent of ``|dq|``, on one axis of sizes.

    Parameters
    ----------
    sketch, quantity
        As for `density_figure`.
    """
    figure = Figure(figsize=(4.8, 7.4), layout="constrained")
    panels = figure.subplots(len(_HEIGHTS), 1, sharex=True, gridspec_kw={"height_ratios": _HEIGHTS})
    density, share, ratio, exponent = panels
    draw_density(density, sketch, quantity)
    _draw_share(share, sketch, quantity)
    _draw_ratio(ratio, sketch, quantity)
    _draw_exponent(exponent, quantity)
    other = "predicted" if predicted_curve(quantity) is not None else "fit"
    names = ("density p(|δq|)", "share ≥ |δq|", f"measured\n/ {other}", "local exponent k")
    for axes, name in zip(panels, names, strict=True):
        axes.grid(alpha=0.3)
        axes.set_ylabel(name, fontsize=9)
        # Shown once, and named with the numbers of every panel.
        axes.set_xlabel("|δq|", visible=axes is exponent)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=axes is not exponent))
        (label_as_numbers if axes is exponent else label_as_powers)(axes.yaxis)
    marks = _RATIOS[ratio.get_ylim()[1] > 0.5]
    ratio.yaxis.set_major_locator(FixedLocator(np.log10(marks).tolist()))
    ratio.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.3g}"))
    exponent.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    label_as_powers(exponent.xaxis)
    figure.align_ylabels(panels)
    # Above the panels, where it hides no data.
    add_shared_legend(figure, [density, exponent])
    return figure


def add_shared_legend(figure: Figure, panels: list[Axes]) -> None:
    """Add one legend above all panels, each name once."""
    named = {
        name: handle
        for axes in panels
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        if not name.startswith("_")
    }
    if named:
        columns = min(len(named), max(2, int(figure.get_figwidth() / 1.7)))
        figure.legend(named.values(), named.keys(), loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def draw_density(axes: Axes, sketch: LogSketch, quantity: Mapping[str, Any], *, fit_label: str | None = None) -> None:
    """Draw what `density_figure` shows into a panel; the fit is named after its law if no label is given."""
    x, y = _density(sketch)
    axes.plot(x, y, ".", color=MEASURED, markersize=4, label="measured")
    predicted = predicted_curve(quantity)
    if predicted is not None:
        size, log_density = predicted
        # From the density of the logarithm to that of the size.
        axes.plot(size / LN10, (log_density - size) / LN10, color=PREDICTED, lw=1.5, label="predicted")
    measured = quantity["measured"]
    if measured["exponent"] is not None and x.size:
        low, high = (end / LN10 for end in measured["log_window"])
        _shade(axes, low, high)
        # A law with cut-off is no straight line.
        line = np.linspace(low, high, 2 if measured.get("cutoff") is None else 100)
        inside = (x >= low) & (x <= high)
        # The line lies at the mean height of the points on the window.
        level = float(np.mean(y[inside] - _law(measured, x[inside]))) if inside.any() else 0.0
        axes.plot(line, level + _law(measured, line), "--", color=FITTED, lw=2, label=fit_label or _fit_label(measured))
    if y.size:
        axes.set_ylim(float(y.min()) - 0.5, float(y.max()) + 0.5)
        axes.set_xlim(float(x.min()) - 0.2, float(x.max()) + 0.2)


def _draw_share(axes: Axes, sketch: LogSketch, quantity: Mapping[str, Any]) -> None:
    """Share of the fluctuations other than zero that are at least as large."""
    if sketch.log_range is None:
        return
    above = _above(sketch.counts / sketch.count)
    every = max(1, sketch.bins // 1000)
    edges, shown = sketch.edges[:-1][::every], above[:-1][::every]
    axes.plot(edges / LN10, np.log10(shown), color=MEASURED, lw=1.5, label="measured")
    predicted = predicted_curve(quantity)
    if predicted is not None:
        size, log_density = predicted
        share = _above(_between(size, log_density))
        kept = share > 0
        axes.plot(size[kept] / LN10, np.log10(share[kept]), color=PREDICTED, lw=1.5, label="predicted")
    measured = quantity["measured"]
    if measured["exponent"] is not None:
        low, high = measured["log_window"]
        _shade(axes, low / LN10, high / LN10)
        line = np.linspace(low, high, 100)
        log_law = _law(measured, line / LN10) * LN10 + line
        inside = _above(_between(line, log_law))
        at_low, at_high = np.interp([low, high], sketch.edges, above)
        values = at_high + (at_low - at_high) * inside
        kept = values > 0
        axes.plot(line[kept] / LN10, np.log10(values[kept]), "--", color=FITTED, lw=2, label="_fit")
    axes.set_ylim(max(float(np.log10(shown.min())), -8.0) - 0.3, 0.3)


def _draw_ratio(axes: Axes, sketch: LogSketch, quantity: Mapping[str, Any]) -> None:
    """Measured density over the predicted one, or over the fit where nothing is predicted, with standard errors."""
    measured, predicted = quantity["measured"], predicted_curve(quantity)
    x, y, error = _density_with_error(sketch)
    if predicted is not None:
        size, log_density = predicted
        expected = np.interp(x, size / LN10, (log_density - size) / LN10, left=np.nan, right=np.nan)
    elif measured["exponent"] is not None and x.size:
        low, high = (end / LN10 for end in measured["log_window"])
        inside = (x >= low) & (x <= high)
        law = _law(measured, x)
        expected = np.where(inside, law + np.mean((y - law)[inside]) if inside.any() else np.nan, np.nan)
    else:
        expected = np.full(x.shape, np.nan)
    apart = y - expected
    kept = np.isfinite(apart)
    lower = np.where(error < 1, -np.log10(np.maximum(1 - error, 0.1)), 1.0)
    bars = ((apart - lower)[kept], (apart + np.log10(1 + error))[kept])
    axes.vlines(x[kept], *bars, color=MEASURED, alpha=0.35, lw=0.8, label="_standard error")
    axes.plot(x[kept], apart[kept], ".", color=MEASURED, markersize=3, label="_ratio")
    axes.axhline(0.0, color=FITTED if predicted is None else PREDICTED, lw=1.2, label="_equal")
    if measured["exponent"] is not None:
        _shade(axes, *(end / LN10 for end in measured["log_window"]))
    reach = float(np.abs(apart[kept]).max()) if kept.any() else 0.0
    # Wide enough for the marks at a half and at two.
    reach = min(max(1.1 * reach, 0.35), _MOST_APART)
    axes.set_ylim(-reach, reach)


def _draw_exponent(axes: Axes, quantity: Mapping[str, Any]) -> None:
    """Local exponent with its simultaneous 95% band, and the predicted one on windows as short."""
    curves, measured = quantity["curves"], quantity["measured"]
    shown: list[float] = []
    if curves["measured"] is not None and curves["measured"]["log_delta"]:
        x, k, low, high = (
            numbers(curves["measured"][name]) for name in ("log_delta", "exponent", "band_lo", "band_hi")
        )
        axes.fill_between(x / LN10, low, high, color=MEASURED, alpha=0.25, lw=0, label="95% band")
        for end, name in ((low, "lower"), (high, "upper")):
            axes.plot(x / LN10, end, color=MEASURED, alpha=0.4, lw=0.5, label=f"_95% band, {name} end")
        axes.plot(x / LN10, k, color=MEASURED, lw=1.5, label="_measured")
        # Single windows with few values do not decide the scale.
        shown += [float(np.quantile(k, 0.05)), float(np.quantile(k, 0.95))]
    predicted = predicted_curve(quantity)
    if predicted is not None:
        size, k = _predicted_exponent(*predicted)
        axes.plot(size / LN10, k, color=PREDICTED, lw=1.5, label="_predicted")
    if measured["exponent"] is not None:
        ends = [end / LN10 for end in measured["log_window"]]
        _shade(axes, *ends)
        axes.hlines(measured["exponent"], *ends, color=FITTED, ls="--", lw=2, label="_fit")
        shown.append(measured["exponent"])
    if shown:
        axes.set_ylim(max(min(shown), -4) - 0.5, min(max(shown), 6) + 0.5)


def _shade(axes: Axes, low: float, high: float) -> None:
    axes.axvspan(low, high, color=WINDOW, alpha=0.25, lw=0, label="window of the fit")


def _fit_label(measured: Mapping[str, Any]) -> str:
    """Fitted law with its exponent set as one, and its grade where it is no power law."""
    text = f"{-measured['exponent']:.2f}".replace("-", "\N{MINUS SIGN}")
    grade = "" if measured["verdict"] in LAW_GRADES else f", {measured['verdict']}"
    return f"fit |δq|$^{{{text}}}${grade}"


def predicted_curve(quantity: Mapping[str, Any]) -> tuple[Points, Points] | None:
    """Size and density of the predicted ``ln|dq|``, without the ends that none of so many values is likely to reach.

    None where nothing is predicted, or one size alone, which has no density to draw.
    """
    curve = quantity["curves"]["predicted"]
    if curve is None:
        return None
    size, log_density = numbers(curve["log_delta"]), numbers(curve["log_density"])
    known = np.isfinite(log_density)
    size, log_density = size[known], log_density[known]
    if size.size < 2:
        return None
    unlikely = 0.5 / max(1, quantity["measured"].get("count", math.inf))
    below = np.concatenate([[0.0], np.cumsum(_between(size, log_density))])
    reached = (below >= unlikely) & (below <= below[-1] - unlikely)
    return (size[reached], log_density[reached]) if np.count_nonzero(reached) > 1 else None


def _predicted_exponent(
    size: Points, log_density: Points
) -> tuple[Float64[np.ndarray, " centre"], Float64[np.ndarray, " centre"]]:
    """Local exponent of a density of ``ln|dq|``, on short windows: of probabilities in both halves of each."""
    width = 0.5 * _SHORT_WINDOW * LN10
    if not size.size or size[-1] - size[0] <= 2 * width:
        return np.zeros(0), np.zeros(0)
    below = np.concatenate([[0.0], np.cumsum(_between(size, log_density))])
    centres = size[(size >= size[0] + width) & (size <= size[-1] - width)]
    low, middle, high = (np.interp(centres + shift, size, below) for shift in (-width, 0.0, width))
    with np.errstate(divide="ignore", invalid="ignore"):
        k = 1 - np.log((high - middle) / (middle - low)) / width
    return centres, k


def _between(x: Points, log_density: Points) -> Float64[np.ndarray, " interval"]:
    """Probability between neighbouring points, by the trapezoidal rule."""
    density = np.exp(log_density - log_density.max())
    area = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
    return np.asarray(area / area.sum(), dtype=np.float64)


def _above(share: Float64[np.ndarray, " interval"]) -> Float64[np.ndarray, " edge"]:
    """Share at or above each edge of intervals."""
    return np.append(np.cumsum(share[::-1])[::-1], 0.0)


def _law(measured: Mapping[str, Any], x: Points) -> Points:
    """Decimal logarithm of the fitted density at ``10^x``, but for its height: a power law, with its cut-off if any."""
    cutoff = measured.get("cutoff")
    ends = 0.0 if cutoff is None else 10.0 ** (x - math.log10(cutoff["scale"])) / LN10
    return -measured["exponent"] * x - ends


def _density(sketch: LogSketch) -> tuple[Points, Points]:
    """Decimal logarithms of size and of density, in bins of a twentieth of a decade."""
    return _density_with_error(sketch)[:2]


def _density_with_error(sketch: LogSketch) -> tuple[Points, Points, Points]:
    """Decimal logarithms of size and density, and its relative standard error from the groups of samples."""
    if sketch.log_range is None:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    factor = max(1, round(LN10 / _POINTS_PER_DECADE / BIN_WIDTH))
    bins, groups = -(-sketch.bins // factor), len(sketch.group_zeros)
    padded = np.pad(sketch.group_counts, ((0, 0), (0, bins * factor - sketch.bins)))
    by_group = padded.reshape(groups, bins, factor).sum(axis=2)
    counts = by_group.sum(axis=0)
    centres = sketch.edges[0] + (np.arange(bins) + 0.5) * factor * BIN_WIDTH
    kept = counts > 0
    log_density = np.log(counts[kept] / (sketch.count * factor * BIN_WIDTH))
    # Values of the same sample depend on each other: groups of samples tell how uncertain a count is.
    spread = np.sqrt(groups * by_group.var(axis=0, ddof=1)) if groups > 1 else np.sqrt(counts)
    return centres[kept] / LN10, (log_density - centres[kept]) / LN10, (spread / np.maximum(counts, 1))[kept]
