"""Pictures of a power-law fit on given axes: density, tail, local exponent, stability and quantiles.

All sizes come as natural logarithms; the axes carry decimal ones, as sizes may lie far below the smallest float.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from critlearn.figures.style import FITTED, LN10, MEASURED, PREDICTED, WINDOW, label_as_numbers, label_as_powers
from critlearn.numerics.notation import estimate_text

Logs = Float64[np.ndarray, " n"]
Ends = tuple[float, float]
"""Ends of a window in ``ln x``."""

_OTHERS: Final = (PREDICTED, "#CC79A7", "0.35")
"""Colours of alternatives, which colour-blind readers tell from each other and from the law."""


class Curve(NamedTuple):
    """A law as it is drawn: its label, natural logarithms of sizes and of values, and whether it is established."""

    label: str
    log_x: np.ndarray
    log_y: np.ndarray
    established: bool = True


def exponent_label(exponent: float, ci95: Ends | None) -> str:
    """Exponent with its interval, with true minus signs.

    >>> exponent_label(-0.5, (-0.61, -0.39))
    'k = −0.50 [−0.61, −0.39]'
    """
    text = f"{exponent:.2f}" if ci95 is None else estimate_text(exponent, ci95)
    return f"k = {text}".replace("-", "\N{MINUS SIGN}")


def draw_density(
    axes: Axes,
    log_x: Logs,
    log_density: Logs,
    count: Logs,
    *,
    window: Ends | None = None,
    law: Curve | None = None,
    others: Sequence[Curve] = (),
    name: str = "x",
) -> Axes:
    """Density with error bars, lighter outside the window, and the law on it.

    Parameters
    ----------
    axes
        Where to draw.
    log_x, log_density, count
        Middle of the bins, density there, and number of values, which sets the error: ``count^-1/2``.
    window
        Window of the fit.
    law, others
        Densities of the law, and of alternatives.
    name
        Name of the quantity.
    """
    x, y = log_x / LN10, log_density / LN10
    # From one error below to one above: for a single value the lower end is at infinity, and is cut at a decade.
    error = np.minimum(count, 1e300) ** -0.5
    lower = np.where(error < 1, -np.log10(np.maximum(1 - error, 0.1)), 1.0)
    bars = np.stack([lower, np.log10(1 + error)])
    inside = np.zeros(x.shape, dtype=bool) if window is None else (log_x >= window[0]) & (log_x <= window[1])
    for shown, alpha, label in ((~inside, 0.35, "outside the window"), (inside, 1.0, "on the window")):
        if shown.any():
            label = label if window is not None else "data"
            axes.plot(x[shown], y[shown], ".", color=MEASURED, alpha=alpha, markersize=4, label=label)
            low, high = (y + sign * bar for sign, bar in zip((-1, 1), bars, strict=True))
            axes.vlines(
                x[shown],
                low[shown],
                high[shown],
                color=MEASURED,
                alpha=alpha,
                lw=0.8,
                label=f"_standard error, {label}",
            )
    _shade(axes, window)
    _draw_curves(axes, law, others)
    if x.size:
        axes.set_xlim(float(x.min()) - 0.2, float(x.max()) + 0.2)
        axes.set_ylim(float(y.min()) - 0.7, float(y.max()) + 0.5)
    return _finish(axes, name, f"density p({name})")


def draw_ccdf(
    axes: Axes,
    log_x: Logs,
    log_share: Logs,
    *,
    steps: bool = True,
    window: Ends | None = None,
    law: Curve | None = None,
    others: Sequence[Curve] = (),
    name: str = "x",
) -> Axes:
    """Share of the values at ``x`` or above, and that of the law on its window.

    Parameters
    ----------
    axes
        Where to draw.
    log_x, log_share
        Sizes, and the share of the values there or above.
    steps
        Whether the share is drawn between the sizes too, or at them alone, as between integers there is nothing.
    window, law, others, name
        As for `draw_density`; the laws are shares of all values.
    """
    x, y = log_x / LN10, log_share / LN10
    if steps:
        axes.plot(x, y, color=MEASURED, drawstyle="steps-pre", lw=1.5, label="data")
    else:
        axes.plot(x, y, ".", color=MEASURED, markersize=5, label="data")
    _shade(axes, window)
    _draw_curves(axes, law, others)
    if x.size:
        axes.set_xlim(float(x.min()) - 0.2, float(x.max()) + 0.2)
        axes.set_ylim(float(y.min()) - 0.3, 0.3)
    return _finish(axes, name, f"share of values ≥ {name}")


def draw_local(
    axes: Axes,
    log_x: Logs,
    exponent: Logs,
    band: tuple[Logs, Logs],
    *,
    window: Ends | None = None,
    fitted: tuple[str, float] | None = None,
    name: str = "x",
) -> Axes:
    """Local exponent with its simultaneous band, and the fitted exponent on the window.

    Parameters
    ----------
    axes
        Where to draw.
    log_x, exponent, band
        Middle of the short windows, exponents there, and both ends of their band.
    window
        Window of the fit.
    fitted
        Label and value of the fitted exponent.
    name
        Name of the quantity.
    """
    _draw_band(axes, log_x, exponent, band, ("local exponent", "simultaneous 95% band"))
    _shade(axes, window)
    shown = list(np.quantile(exponent, [0.05, 0.95])) if exponent.size else []
    if window is not None and fitted is not None:
        axes.hlines(fitted[1], window[0] / LN10, window[1] / LN10, color=FITTED, lw=2, label=fitted[0])
        shown.append(fitted[1])
    if shown:
        # Single windows with few values do not decide the scale.
        axes.set_ylim(max(min(shown), -6) - 0.7, min(max(shown), 8) + 0.7)
    return _finish(axes, name, "local exponent k", powers=False)


def draw_stability(
    axes: Axes,
    log_lower: Logs,
    exponent: Logs,
    band: tuple[Logs, Logs],
    *,
    chosen: tuple[str, float, float] | None = None,
    name: str = "x",
) -> Axes:
    """Exponent by the lower end of the window, the upper one being fixed, with the choice marked.

    Parameters
    ----------
    axes
        Where to draw.
    log_lower, exponent, band
        Lower ends, the exponents fitted from there on, and both ends of their 95% intervals.
    chosen
        Label, lower end and exponent of the fit.
    name
        Name of the quantity.
    """
    _draw_band(axes, log_lower, exponent, band, ("fit from here on", "pointwise 95% interval"))
    if chosen is not None:
        label, log_end, value = chosen
        axes.axvline(log_end / LN10, color=FITTED, ls=":", lw=1.2, label="_lower end of the window")
        axes.plot([log_end / LN10], [value], "o", color=FITTED, markersize=7, label=label)
    if exponent.size:
        # The last ends, above which few values lie, would stretch the axis.
        known = np.quantile(exponent, [0.03, 0.97]).tolist() + ([] if chosen is None else [chosen[2]])
        axes.set_ylim(min(known) - 0.5, max(known) + 0.5)
    return _finish(axes, f"lower end of the window, {name}", "exponent k", powers=False)


def draw_qq(
    axes: Axes, log_law: Logs, log_data: Logs, band: tuple[Logs, Logs] | None = None, *, name: str = "x"
) -> Axes:
    """Quantiles of the values on the window against those of the law; they are equal on the line.

    Parameters
    ----------
    axes
        Where to draw.
    log_law, log_data
        Quantiles of the law and of the data, ascending.
    band
        Ends of the range that holds 95% of the data's quantiles if the law is true.
    name
        Name of the quantity.
    """
    x, y = log_law / LN10, log_data / LN10
    if band is not None:
        low, high = (end / LN10 for end in band)
        axes.fill_between(x, low, high, color="0.5", alpha=0.25, lw=0, label="pointwise 95% range")
    axes.plot(x, y, ".", color=MEASURED, markersize=4, label="values on the window")
    if x.size:
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
        axes.plot(ends, ends, color=FITTED, lw=1.2, label="equal")
        margin = 0.04 * (ends[1] - ends[0]) + 1e-3
        axes.set(xlim=(ends[0] - margin, ends[1] + margin), ylim=(ends[0] - margin, ends[1] + margin))
    return _finish(axes, f"quantile of the law, {name}", f"quantile of the data, {name}")


def _draw_band(axes: Axes, log_x: Logs, exponent: Logs, band: tuple[Logs, Logs], labels: tuple[str, str]) -> None:
    """Draw exponents with a band."""
    x = log_x / LN10
    axes.fill_between(x, *band, color=MEASURED, alpha=0.25, lw=0, label=labels[1])
    axes.plot(x, exponent, color=MEASURED, lw=1.5, label=labels[0])


def _draw_curves(axes: Axes, law: Curve | None, others: Sequence[Curve]) -> None:
    """Draw the law, dashed where it is not established, and dotted alternatives."""
    if law is not None:
        style = "-" if law.established else "--"
        axes.plot(law.log_x / LN10, law.log_y / LN10, style, color=FITTED, lw=2, label=law.label, zorder=3)
    for curve, colour in zip(others, _OTHERS, strict=False):
        axes.plot(curve.log_x / LN10, curve.log_y / LN10, ":", color=colour, lw=2, label=curve.label, zorder=3)


def _shade(axes: Axes, window: Ends | None) -> None:
    """Shade the window."""
    if window is not None:
        axes.axvspan(window[0] / LN10, window[1] / LN10, color=WINDOW, alpha=0.2, lw=0, label="_window")


def _finish(axes: Axes, x_label: str, y_label: str, *, powers: bool = True) -> Axes:
    """Label both axes, and add a legend where there is most room."""
    _label(axes.xaxis, x_label, powers=True)
    _label(axes.yaxis, y_label, powers=powers)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    return axes


def _label(axis: Axis, text: str, *, powers: bool) -> None:
    """Label an axis: with powers of ten, or with numbers where it is too short to hold two of them."""
    # A dollar sign in a name is one, and begins no formula.
    axis.set_label_text(text.replace("$", r"\$"))
    low, high = axis.get_view_interval()
    if not powers:
        label_as_numbers(axis)
    elif np.floor(high) - np.ceil(low) >= 1:
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        label_as_powers(axis)
    else:
        decades = np.arange(np.floor(low), np.ceil(high) + 1)
        axis.set_major_locator(FixedLocator(np.add.outer(decades, np.log10([1, 1.5, 2, 3, 5, 7])).ravel().tolist()))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{10.0**value:.3g}"))
