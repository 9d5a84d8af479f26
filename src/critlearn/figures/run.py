"""Figures of a run: density and local exponent of a quantity, drift against fluctuation, loss."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from critlearn.figures.style import (
    FITTED,
    LN10,
    MEASURED,
    PREDICTED,
    WINDOW,
    add_legend,
    label_as_numbers,
    log_log_axes,
    numbers,
    plain_axes,
)
from critlearn.numerics.log_sketch import BIN_WIDTH, LogSketch
from critlearn.numerics.notation import LAW_GRADES, power_text

_POINTS_PER_DECADE: Final = 20
"""Points of a density: more cannot be distinguished in a figure of ten decades."""


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


def draw_density(axes: Axes, sketch: LogSketch, quantity: Mapping[str, Any]) -> None:
    """Draw what `density_figure` shows into a panel."""
    x, y = _density(sketch)
    axes.plot(x, y, ".", color=MEASURED, markersize=4, label="measured")
    predicted = quantity["curves"]["predicted"]
    if predicted is not None:
        log_delta, log_density = (numbers(predicted[name]) for name in ("log_delta", "log_density"))
        # From the density of the logarithm to that of the size.
        axes.plot(log_delta / LN10, (log_density - log_delta) / LN10, color=PREDICTED, lw=1.5, label="predicted")
    measured = quantity["measured"]
    if measured["exponent"] is not None and x.size:
        low, high = (end / LN10 for end in measured["log_window"])
        axes.axvspan(low, high, color=WINDOW, alpha=0.3, lw=0, label="window of the fit")
        # A law with cut-off is no straight line.
        line = np.linspace(low, high, 2 if measured.get("cutoff") is None else 100)
        inside = (x >= low) & (x <= high)
        # The line lies at the mean height of the points on the window.
        level = float(np.mean(y[inside] - _law(measured, x[inside]))) if inside.any() else 0.0
        label = power_text("|δq|", measured["exponent"])
        if measured["verdict"] not in LAW_GRADES:
            label += f", {measured['verdict']}"
        axes.plot(line, level + _law(measured, line), "--", color=FITTED, lw=2, label=label)
    if y.size:
        axes.set_ylim(float(y.min()) - 0.5, float(y.max()) + 0.5)
        axes.set_xlim(float(x.min()) - 0.2, float(x.max()) + 0.2)


def local_exponent_figure(quantity: Mapping[str, Any]) -> Figure:
    """Local exponent ``k(|dq|)`` with its simultaneous 95% band, and the predicted one.

    Parameters
    ----------
    quantity
        Entry of the record of a run.
    """
    figure, axes = log_log_axes("|δq|", "local exponent k")
    label_as_numbers(axes.yaxis)
    curves, measured = quantity["curves"], quantity["measured"]
    shown: list[float] = []
    if curves["measured"] is not None and curves["measured"]["log_delta"]:
        x, k, low, high = (
            numbers(curves["measured"][name]) for name in ("log_delta", "exponent", "band_lo", "band_hi")
        )
        axes.fill_between(x / LN10, low, high, color=MEASURED, alpha=0.25, lw=0, label="95% band")
        for end, name in ((low, "lower"), (high, "upper")):
            axes.plot(x / LN10, end, color=MEASURED, alpha=0.4, lw=0.5, label=f"_95% band, {name} end")
        axes.plot(x / LN10, k, color=MEASURED, lw=1.5, label="measured")
        # Single windows with few values do not decide the scale.
        shown += [float(np.quantile(k, 0.02)), float(np.quantile(k, 0.98))]
        axes.set_xlim(float(x.min()) / LN10 - 0.3, float(x.max()) / LN10 + 0.3)
    if curves["predicted"] is not None:
        x, k = (numbers(curves["predicted"][name]) for name in ("log_delta", "exponent"))
        axes.plot(x / LN10, k, color=PREDICTED, lw=1.5, label="predicted")
    if measured["exponent"] is not None:
        low_end, high_end = (end / LN10 for end in measured["log_window"])
        axes.axvspan(low_end, high_end, color=WINDOW, alpha=0.3, lw=0, label="window of the fit")
        axes.hlines(measured["exponent"], low_end, high_end, color=FITTED, ls="--", lw=2, label="fit")
        shown.append(measured["exponent"])
    if shown:
        axes.set_ylim(max(min(shown), -4) - 0.5, min(max(shown), 6) + 0.5)
    add_legend(axes)
    return figure


def drift_figure(equilibrium: Mapping[str, Any]) -> Figure:
    """Drift against fluctuation of each variable; those below the dashed line are at equilibrium.

    Parameters
    ----------
    equilibrium
        Entry ``equilibrium`` of the record of a run.
    """
    figure, axes = log_log_axes("fluctuation S", "drift |D|")
    pairs = np.array([numbers(equilibrium["scatter"][name]) for name in ("fluctuation", "drift")])
    with np.errstate(divide="ignore"):
        logs = np.log10(pairs[:, (pairs > 0).all(axis=0)])
    axes.plot(logs[0], logs[1], ".", color=MEASURED, markersize=3, label="trainable variable")
    if logs.size:
        line = np.array([logs[0].min(), logs[0].max()])
        tolerance = equilibrium["tolerance"]
        axes.plot(line, line + math.log10(tolerance), "--", color=FITTED, lw=1.5, label=f"|D| = {tolerance:g} S")
    add_legend(axes)
    return figure


def loss_figure(equilibrium: Mapping[str, Any]) -> Figure:
    """Mean loss of each epoch.

    Parameters
    ----------
    equilibrium
        Entry ``equilibrium`` of the record of a run.
    """
    figure, axes = plain_axes()
    losses = numbers(equilibrium["losses"])
    axes.plot(np.arange(1, losses.size + 1), losses, color=MEASURED, lw=1.2, label="loss")
    if losses.size and losses.min() > 0:
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="mean loss")
    return figure


def _law(measured: Mapping[str, Any], x: Float64[np.ndarray, " point"]) -> Float64[np.ndarray, " point"]:
    """Decimal logarithm of the fitted density at ``10^x``, but for its height: a power law, with its cut-off if any."""
    cutoff = measured.get("cutoff")
    ends = 0.0 if cutoff is None else 10.0 ** (x - math.log10(cutoff["scale"])) / LN10
    return -measured["exponent"] * x - ends


def _density(sketch: LogSketch) -> tuple[Float64[np.ndarray, " point"], Float64[np.ndarray, " point"]]:
    """Decimal logarithms of size and of density, in bins of a twentieth of a decade."""
    if sketch.log_range is None:
        return np.zeros(0), np.zeros(0)
    factor = max(1, round(LN10 / _POINTS_PER_DECADE / BIN_WIDTH))
    bins = -(-sketch.bins // factor)
    counts = np.pad(sketch.counts, (0, bins * factor - sketch.bins)).reshape(bins, factor).sum(axis=1)
    centres = sketch.edges[0] + (np.arange(bins) + 0.5) * factor * BIN_WIDTH
    kept = counts > 0
    log_density = np.log(counts[kept] / (sketch.count * factor * BIN_WIDTH))
    return centres[kept] / LN10, (log_density - centres[kept]) / LN10
