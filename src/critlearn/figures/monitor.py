"""Figure of a training that was followed: exponents and equilibrium, step by step."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from critlearn.figures.style import FITTED, MEASURED, PREDICTED, add_legend
from critlearn.numerics.notation import FEW_GRADE, LAW_GRADES

_COLOURS: Final = (MEASURED, FITTED, PREDICTED, "#CC79A7", "#56B4E9", "#E69F00")
"""Colours of Okabe and Ito; a seventh distribution has the first one again."""


def monitor_figure(states: pd.DataFrame, fraction_without_drift: float) -> Figure:
    """Exponents with 95% intervals and equilibrium fraction over the steps of training.

    An exponent is drawn full where the verdict is a power law and hollow where a window was found but the verdict is
    another; where there is no exponent there is no mark. The dotted line is the equilibrium fraction that the subsample
    would show without any drift.

    Parameters
    ----------
    states
        Row for each state and distribution, as of `MonitorRecord.to_dataframe`.
    fraction_without_drift
        `MonitorRecord.fraction_without_drift`.
    """
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    if not states.empty:
        for number, (name, rows) in enumerate(states.groupby("distribution", sort=False)):
            label = f"{name} (over {rows['axis'].iloc[0]})"
            _draw_exponents(upper, label, rows[rows["exponent"].notna()], _COLOURS[number % len(_COLOURS)])
        measured = states.drop_duplicates("step")
        lower.plot(measured["step"], measured["equilibrium_fraction"], ".-", color=MEASURED, label="measured")
    upper.set_ylabel("exponent k")
    add_legend(upper)
    lower.axhline(fraction_without_drift, color="0.4", ls=":", label="without any drift")
    lower.set_ylim(-0.03, 1.03)
    lower.set_ylabel("share of variables\nat equilibrium")
    lower.set_xlabel("step of the optimiser")
    # Linear up to the first steps, so that the state before them has its place.
    lower.set_xscale("symlog", linthresh=1, linscale=0.3)
    lower.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    lower.legend(frameon=False, fontsize=9, loc="lower right")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def increments_figure(periods: pd.DataFrame) -> Figure:
    """Exponent of the tail of increments over the steps of training, a curve with its bands by layer.

    The band is the statistical part of the interval, by which periods are told apart; the lines reach over all of it.
    Marks are hollow where there are too few data, or less than a decade of them, for a law.

    Parameters
    ----------
    periods
        Row for each layer and period, as of `MonitorRecord.increments_table`.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    if not periods.empty:
        for number, (name, rows) in enumerate(periods.groupby("layer", sort=False)):
            colour = _COLOURS[number % len(_COLOURS)]
            columns = ("first_step", "last_step", "exponent", "sampled_low", "sampled_high", "ci_low", "ci_high")
            first, last, exponent, *ends = (rows[column].to_numpy(dtype=np.float64) for column in columns)
            # The first period begins at 0: most of its steps are in its second half too.
            middle = np.sqrt(np.maximum(first, last / 2) * last)
            told = (rows["verdict"] != FEW_GRADE).to_numpy()
            axes.plot(middle, exponent, "-", color=colour, label=f"{name} (over time)")
            axes.plot(middle[told], exponent[told], "o", markersize=4, color=colour)
            axes.plot(middle[~told], exponent[~told], "o", markersize=4, color=colour, markerfacecolor="white")
            axes.fill_between(middle, ends[0], ends[1], color=colour, alpha=0.2)
            axes.vlines(middle * 1.03**number, ends[2], ends[3], color=colour, linewidth=0.5, alpha=0.4)
        axes.set_xscale("log")
        # Over few decades their labels lie on each other.
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        known = periods["exponent"].dropna().to_numpy(dtype=np.float64)
        if known.size:
            # Intervals that say nothing would leave no room for the others.
            axes.set_ylim(known.min() - 1, known.max() + 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.set(xlabel="step of the optimiser", ylabel="exponent of the tail of increments")
    axes.grid(alpha=0.3)
    add_legend(axes)
    return figure


def _draw_exponents(axes: Axes, label: str, rows: pd.DataFrame, colour: str) -> None:
    """Draw the exponents of one distribution: full marks for power laws, hollow ones for other verdicts."""
    law = rows["verdict"].isin(LAW_GRADES)
    for shown, name, face in ((rows[law], label, colour), (rows[~law], f"{label}, no power law", "white")):
        if shown.empty:
            continue
        columns = (shown[column].to_numpy(dtype=np.float64) for column in ("step", "exponent", "ci_low", "ci_high"))
        step, exponent, low, high = columns
        axes.errorbar(
            step, exponent, yerr=np.abs([exponent - low, high - exponent]), fmt="o", markersize=5, color=colour,
            markerfacecolor=face, capsize=2, label=name,
        )  # fmt: skip
