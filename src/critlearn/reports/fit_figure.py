"""Figures of a power-law fit: all data with the law on its window, the local exponent, and the stability map."""

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from critlearn.figures.style import FITTED, LN10, MEASURED, WINDOW, label_as_powers
from critlearn.inference import PowerLawFit, StabilityMap
from critlearn.numerics.notation import power_text

_SHOWN_ALTERNATIVES: Final = 2
"""Alternatives that are drawn at most: more lines beside the law cannot be distinguished."""


def fit_figure(fit: PowerLawFit, name: str = "δ") -> Figure:
    """Density of all data and local exponent, one above the other.

    The data on the window are drawn full, those outside lighter; the law is drawn on its window, dashed where the
    verdict is not a power law. Alternatives that are preferred are drawn too.

    Parameters
    ----------
    fit
        The fit.
    name
        Name of the quantity, for the axes.
    """
    figure = Figure(figsize=(6.4, 7.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_density(upper, fit, name)
    _draw_local_exponent(lower, fit, name)
    figure.suptitle(fit.summary(), fontsize=9, wrap=True)
    return figure


def stability_figure(stability: StabilityMap, name: str = "δ") -> Figure:
    """Exponent by both ends of the window; windows that the Kolmogorov-Smirnov test rejects are drawn small."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    known = np.isfinite(stability.exponent)
    accepted = np.nan_to_num(stability.ks_ratio[known], nan=np.inf) <= 1
    points = axes.scatter(
        stability.log_lo[known] / LN10,
        stability.log_hi[known] / LN10,
        c=stability.exponent[known],
        s=np.where(accepted, 36, 6),
        marker="s",
        cmap="viridis",
        linewidths=0,
    )
    figure.colorbar(points, ax=axes, label="exponent k")
    for axis, text in ((axes.xaxis, "lower end"), (axes.yaxis, "upper end")):
        label_as_powers(axis)
        axis.set_major_locator(MaxNLocator(integer=True))
        axis.set_label_text(f"{text} of the window, {name}")
    axes.set_title("large: accepted at the 10% level, small: rejected", fontsize=9)
    return figure


def _draw_density(axes: Axes, fit: PowerLawFit, name: str) -> None:
    """Draw the data, lighter outside the window, with the laws on the window."""
    axes.set_ylabel(f"density p({name})")
    label_as_powers(axes.yaxis)
    if fit.density is None:
        return
    x, y = fit.density.log_delta / LN10, fit.density.log_density / LN10
    inside = np.zeros(x.shape, dtype=bool)
    if fit.window is not None:
        inside = (fit.density.log_delta > fit.window.log_lo) & (fit.density.log_delta < fit.window.log_hi)
    if (~inside).any():
        axes.plot(x[~inside], y[~inside], ".", color=MEASURED, alpha=0.3, markersize=4, label="outside the window")
    if inside.any() and fit.window is not None:
        axes.plot(x[inside], y[inside], ".", color=MEASURED, markersize=4, label="on the window")
        axes.axvspan(fit.window.log_lo / LN10, fit.window.log_hi / LN10, color=WINDOW, alpha=0.2, lw=0)
        _draw_laws(axes, fit, name)
    axes.set_xlim(float(x.min()) - 0.2, float(x.max()) + 0.2)
    axes.set_ylim(float(y.min()) - 0.5, float(y.max()) + 0.5)
    axes.legend(fontsize=8)


def _draw_laws(axes: Axes, fit: PowerLawFit, name: str) -> None:
    """Draw the power law and the alternatives that are preferred to it, as densities of all data."""
    if fit.window is None or fit.retained is None or fit.ci95 is None:
        return
    u = np.linspace(fit.window.log_lo, fit.window.log_hi, 200)
    # A law that is not resolved has an interval but no exponent: the middle of the interval is drawn.
    k = 0.5 * (fit.ci95[0] + fit.ci95[1]) if fit.exponent is None else fit.exponent
    # The level is set by the share of the data on the window: an integral over u, by the trapezoidal rule.
    log_law = (1 - k) * (u - u[-1])
    level = math.log(fit.retained) - math.log(float(np.trapezoid(np.exp(log_law), u)))
    style = "-" if str(fit.verdict) == "power law" else "--"
    axes.plot(u / LN10, (log_law + level - u) / LN10, style, color=FITTED, lw=2, label=power_text(name, k))
    preferred = [item for item in fit.alternatives if item.preferred == item.name]
    for item in sorted(preferred, key=lambda item: -item.bic_gain)[:_SHOWN_ALTERNATIVES]:
        log_density = item.log_density(u) + math.log(fit.retained) - u
        axes.plot(u / LN10, log_density / LN10, ":", lw=1.5, label=item.name)


def _draw_local_exponent(axes: Axes, fit: PowerLawFit, name: str) -> None:
    """Draw the local exponent with its band, and the fitted exponent on the window."""
    axes.set_xlabel(name)
    axes.set_ylabel("local exponent k")
    label_as_powers(axes.xaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    curve = fit.curve
    if curve is not None and np.isfinite(curve.exponent).any():
        kept = np.isfinite(curve.exponent)
        x, k = curve.log_delta[kept] / LN10, curve.exponent[kept]
        axes.fill_between(x, curve.band_lo[kept], curve.band_hi[kept], color=MEASURED, alpha=0.25, lw=0)
        axes.plot(x, k, color=MEASURED, lw=1.5)
        # Single windows with few values do not decide the scale.
        middle = np.quantile(k, [0.05, 0.95])
        axes.set_ylim(max(float(middle[0]), -6) - 0.7, min(float(middle[1]), 8) + 0.7)
    if fit.window is not None and fit.exponent is not None:
        axes.hlines(fit.exponent, fit.window.log_lo / LN10, fit.window.log_hi / LN10, color=FITTED, lw=2)
        axes.axvspan(fit.window.log_lo / LN10, fit.window.log_hi / LN10, color=WINDOW, alpha=0.2, lw=0)
