"""Style of all figures: colours, size, and axes in decimal logarithms.

Fluctuations reach far below the smallest float, so axes are drawn in decimal logarithms and labelled as powers of 10.
"""

import math
from typing import Any, Final

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

MEASURED: Final = "#0072B2"
FITTED: Final = "#D55E00"
PREDICTED: Final = "#009E73"
WINDOW: Final = "#F0E442"
"""Colours of Okabe and Ito, which colour-blind readers tell apart."""

PANEL_SIZE: Final = (4.8, 3.3)
"""Inches of a picture: small, so that its text is still read on a phone, where it is 360 pixels wide."""

_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

LN10: Final = math.log(10.0)
"""Divisor that makes decimal logarithms of natural ones."""


def plain_axes() -> tuple[Figure, Axes]:
    """Empty figure of one panel with linear axes."""
    figure = Figure(figsize=PANEL_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def log_log_axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Empty figure of one panel whose axes carry decimal logarithms."""
    figure, axes = plain_axes()
    prepare_log_log(axes)
    axes.set(xlabel=x_label, ylabel=y_label)
    return figure, axes


def prepare_log_log(axes: Axes, *, marks: int = 8) -> None:
    """Make a panel one whose axes carry decimal logarithms, with so many marks at most."""
    axes.grid(alpha=0.3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=marks, integer=True))
        label_as_powers(axis)


def label_as_powers(axis: Axis) -> None:
    """Label an axis of decimal logarithms as powers of 10."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))


def _power_of_ten(exponent: float) -> str:
    """Power of 10 in raised characters: typesetting formulas would take half the time of a picture."""
    text = f"{exponent:g}"
    return "10" + text.translate(_RAISED) if set(text) <= set("-0123456789") else f"$10^{{{text}}}$"


def label_as_numbers(axis: Axis) -> None:
    """Label an axis with its numbers as they are."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def add_legend(axes: Axes) -> None:
    """Add a legend if something is named."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def short_name(name: str, most: int, lines: int = 1) -> str:
    r"""Name on lines of at most so many letters, of which the last tell most, for a title of a panel.

    >>> print(short_name("bert.encoder.layer.11.attention.self.query", 24), short_name("cost in $", 24))
    …11.attention.self.query cost in \$
    """
    room = most * lines
    kept = name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"
    parts = [kept[at : at + most] for at in range(0, len(kept), most)]
    # A dollar sign in a name is one, and begins no formula.
    return "\n".join(parts).replace("$", r"\$")


def numbers(values: Any) -> Float64[np.ndarray, " n"]:
    """Numbers of a plain record as an array; NaN for those that are null."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
