"""Figures of modes of learning: shares, and how far their problems of one dimension go; and both through training."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from critlearn.errors import InvalidInputError
from critlearn.figures.style import FITTED, MEASURED, PREDICTED, add_legend, label_as_numbers

_FORMS: Final = {
    "bare": (FITTED, "s", "one path factor for all"),
    "independent": (PREDICTED, "^", "path factor of another sample"),
    "joint": (MEASURED, "o", "of the same sample (identity)"),
}
"""Colour, mark and words of each prediction of a mode."""


def modes_figure(modes: pd.DataFrame) -> Figure:
    """Share of each mode in the variance, and distances of its predictions beside that between the halves.

    Parameters
    ----------
    modes
        Row for each mode, as of `Modes.to_dataframe`.
    """
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    # A number that no mode has is None in every row, of which pandas makes a column of objects.
    modes = modes.astype(np.float64)
    number = modes.index.to_numpy()
    upper.bar(
        number, modes["share"], yerr=modes["share_error"].fillna(0), color=MEASURED, alpha=0.6, capsize=2,
        label="_share",
    )  # fmt: skip
    upper.set_ylabel("share of\nthe variance")
    noise = modes["noise"].to_numpy(dtype=np.float64)
    lower.bar(number, noise, width=0.8, color="0.85", label="noise: one half from the other")
    for place, (form, (colour, mark, words)) in enumerate(_FORMS.items()):
        lower.errorbar(
            number + 0.15 * (place - 1), modes[form], yerr=modes[f"{form}_error"].fillna(0), fmt=mark, color=colour,
            markersize=5, capsize=2, label=words,
        )  # fmt: skip
    lower.set_ylabel("distance (Kolmogorov–Smirnov)")
    lower.set_xlabel("mode")
    lower.set_ylim(bottom=0)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Below the panels: no corner is free for any modes.
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


_SPREAD: Final = 30
"""Ratio of the last state to the first one after the start from which on states are drawn at their logarithms."""


def modes_through_training_figure(states: pd.DataFrame, time: str = "epoch") -> Figure:
    """Share, participation ratio and coupling of the modes of several states of a training, against time.

    Parameters
    ----------
    states
        Row for each state, as of `critlearn.comparison.modes_through_training`.
    time
        What the names of the states are, for the axis.

    Raises
    ------
    InvalidInputError
        If there is no state.
    """
    if not len(states):
        raise InvalidInputError(
            "there is no state of a training to draw; give a row for each, of modes_through_training"
        )
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    share, ratio, coupling = figure.subplots(3, 1, sharex=True)
    ordered = states.sort_index() if pd.api.types.is_numeric_dtype(states.index) else states
    places = _place_in_time(coupling, ordered.index)
    _draw(share, places, ordered, "first_share", "of the first mode", MEASURED)
    share.plot(places, ordered["share"], "s-", color=FITTED, markersize=4, label="of all modes")
    share.set_ylabel("share of\nthe variance")
    share.set_ylim(0, 1.05)
    _draw(ratio, places, ordered, "participation_ratio", "participation ratio", MEASURED)
    ratio.set_ylabel("participation\nratio")
    _draw(coupling, places, ordered, "coupling", "measured", MEASURED)
    coupling.plot(places, ordered["coupling_floor"], "--", color="0.5", label="of independent modes")
    coupling.set_ylabel("coupling")
    coupling.set_xlabel(time)
    for axes in (share, ratio, coupling):
        axes.grid(alpha=0.3)
    for axes in (ratio, coupling):
        axes.set_ylim(bottom=0)
    for axes in (share, coupling):
        add_legend(axes)
    return figure


def _draw(axes: Axes, places: np.ndarray, states: pd.DataFrame, name: str, label: str, colour: str) -> None:
    """Draw a number of all states with its standard errors."""
    value, error = (states[column].to_numpy(dtype=np.float64) for column in (name, f"{name}_error"))
    axes.errorbar(
        places, value, yerr=np.nan_to_num(error), fmt="o-", color=colour, markersize=4, capsize=2, label=label
    )


def _place_in_time(axes: Axes, index: pd.Index) -> np.ndarray:
    """Places of the states on the axis, which is scaled for them: names that are no numbers are set one by one."""
    if not pd.api.types.is_numeric_dtype(index):
        axes.set_xticks(range(len(index)), [str(name) for name in index])
        return np.arange(len(index))
    places = index.to_numpy(dtype=np.float64)
    later = places[places > 0]
    if places.min() >= 0 and len(later) and later.max() >= _SPREAD * later.min():
        # Linear up to the first state after the start, which itself has no logarithm.
        axes.set_xscale("symlog", linthresh=float(later.min()))
        axes.set_xticks(places)
        axes.minorticks_off()
        label_as_numbers(axes.xaxis)
    return places
