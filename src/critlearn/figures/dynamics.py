"""Figure of a series over time: its avalanches and correlations beside those of its surrogates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from critlearn.figures.style import FITTED, LN10, MEASURED, PREDICTED, add_legend, prepare_log_log

_COLOURS: Final = (MEASURED, FITTED, PREDICTED)
"""Of the series, and of its two surrogates."""

_PANEL: Final = (3.9, 3.1)
"""Inches of a panel, three in a row."""

Curve = tuple[np.ndarray, np.ndarray]
"""Abscissas and ordinates."""


@dataclass(frozen=True, eq=False)
class DrawnDynamics:
    """What is drawn of a series.

    Parameters
    ----------
    sizes, durations
        Natural logarithms of values and of their density, by name: the series first, then its surrogates.
    mean_size
        Natural logarithms of durations and of the mean size of each, by name.
    shapes
        Rescaled mean shapes, shape (bin, point), and the duration of each.
    spectra
        Frequencies and spectral densities by name.
    thresholds
        Quantiles, and by name the exponents there, with the ends of their intervals.
    """

    sizes: Mapping[str, Curve]
    durations: Mapping[str, Curve]
    mean_size: Mapping[str, Curve]
    shapes: Curve
    spectra: Mapping[str, Curve]
    thresholds: tuple[Sequence[float], Mapping[str, np.ndarray]]


def dynamics_figure(drawn: DrawnDynamics) -> Figure:
    """Six panels: sizes, durations and mean sizes of avalanches, their shapes, the spectrum, and the thresholds."""
    figure = Figure(figsize=(3 * _PANEL[0], 2 * _PANEL[1]), layout="constrained")
    upper, lower = figure.subplots(2, 3)
    _draw_logs(upper[0], drawn.sizes, "size S of an avalanche", "density p(S)", ".")
    _draw_logs(upper[1], drawn.durations, "duration T, steps", "density p(T)", ".")
    _draw_logs(upper[2], drawn.mean_size, "duration T, steps", "mean size ⟨S⟩(T)", "o")
    _draw_shapes(lower[0], *drawn.shapes)
    spectra = {name: (np.log(frequency), np.log(power)) for name, (frequency, power) in drawn.spectra.items()}
    _draw_logs(lower[1], spectra, "frequency, 1/step", "spectral density", "-")
    _draw_thresholds(lower[2], *drawn.thresholds)
    add_legend(upper[0])
    return figure


def _draw_logs(axes: Axes, curves: Mapping[str, Curve], x_label: str, y_label: str, mark: str) -> None:
    """Draw curves in decimal logarithms."""
    prepare_log_log(axes)
    for colour, (name, (x, y)) in zip(_COLOURS, curves.items(), strict=False):
        axes.plot(x / LN10, y / LN10, mark, color=colour, label=name, markersize=4, lw=1)
    axes.set(xlabel=x_label, ylabel=y_label)


def _draw_shapes(axes: Axes, durations: np.ndarray, shapes: np.ndarray) -> None:
    """Draw rescaled shapes, long avalanches darker than short ones."""
    axes.grid(alpha=0.3)
    points = (np.arange(shapes.shape[1]) + 0.5) / max(shapes.shape[1], 1)
    for number, (duration, shape) in enumerate(zip(durations, shapes, strict=True)):
        shade = 0.25 + 0.75 * (number + 1) / len(durations)
        axes.plot(points, shape, color=MEASURED, alpha=shade, lw=1, label=f"T = {duration:.3g}")
    if len(durations) < 2:
        axes.text(0.5, 0.5, "too few long avalanches", ha="center", transform=axes.transAxes)
    axes.set(xlabel="t / T", ylabel="⟨A⟩(t, T) / T^(γ−1)")


def _draw_thresholds(axes: Axes, quantiles: Sequence[float], exponents: Mapping[str, np.ndarray]) -> None:
    """Draw exponents, rows of value and ends of the interval, by the quantile of the threshold."""
    axes.grid(alpha=0.3)
    places = np.arange(len(quantiles))
    for number, (name, rows) in enumerate(exponents.items()):
        value, low, high = rows.T
        shift = 0.15 * (number - 1)
        axes.errorbar(
            places + shift, value, yerr=np.abs([value - low, high - value]), fmt="o", markersize=4, capsize=2,
            color=_COLOURS[number % len(_COLOURS)], label=name,
        )  # fmt: skip
    axes.set_xticks(places, [f"{quantile:g}" for quantile in quantiles])
    known = np.concatenate([rows[:, 0] for rows in exponents.values()] or [np.zeros(0)])
    if np.isfinite(known).any():
        # Intervals that say nothing would leave no room for the others.
        axes.set_ylim(np.nanmin(known) - 0.7, np.nanmax(known) + 0.7)
    axes.set(xlabel="quantile of the threshold", ylabel="exponent")
    add_legend(axes)
