"""Figures of a power-law fit: its pictures, one above the other, and the stability map."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from critlearn.figures.style import LN10, label_as_powers
from critlearn.inference import PowerLawFit, StabilityMap
from critlearn.inference.plots import PlotKind


def fit_figure(fit: PowerLawFit, name: str = "δ", kinds: Sequence[PlotKind] = ("density", "local")) -> Figure:
    """Pictures of a fit, one above the other, under its summary.

    Parameters
    ----------
    fit
        The fit.
    name
        Name of the quantity, for the axes.
    kinds
        Which pictures; see `PowerLawFit.plot`.
    """
    figure = Figure(figsize=(6.4, 1.2 + 3.2 * len(kinds)), layout="constrained")
    for axes, kind in zip(figure.subplots(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
        fit.plot(kind, axes, name=name)
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
