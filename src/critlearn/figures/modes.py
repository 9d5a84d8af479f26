"""Figure of modes of learning: their shares, and how far their problems of one dimension go."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from critlearn.figures.style import FITTED, MEASURED, PREDICTED, add_legend

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
    number = modes.index.to_numpy()
    upper.bar(number, modes["share"], yerr=modes["share_error"].fillna(0), color=MEASURED, alpha=0.6, capsize=2)
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
    add_legend(lower)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure
