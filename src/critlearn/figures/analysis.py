"""Figure of an analysis: the density of every trainable variable, side by side."""

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.figure import Figure

from critlearn.figures.run import draw_density
from critlearn.figures.style import add_legend, prepare_log_log
from critlearn.numerics.log_sketch import LogSketch

_COLUMNS: Final = 4
"""Panels in a row."""

MOST_PANELS: Final = 40
"""Panels of a figure: more are too small to be read."""

_PANEL: Final = (3.4, 2.6)
"""Inches of a panel."""


def analysis_figure(sketches: Mapping[str, LogSketch], quantities: Mapping[str, Any]) -> Figure:
    """Densities on log-log axes with fits and predictions, a panel for each quantity.

    Parameters
    ----------
    sketches
        Sketches by name of the quantity.
    quantities
        Entries of the record by name; of more than 40, the first ones are drawn.
    """
    shown = list(quantities.items())[:MOST_PANELS]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, quantity) in zip(panels, shown, strict=False):
        prepare_log_log(axes)
        draw_density(axes, sketches[name], quantity)
        axes.set_title(name, fontsize=9)
        add_legend(axes)
        if axes.get_legend() is not None:
            for text in axes.get_legend().get_texts():
                text.set_fontsize(6)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    left_out = len(quantities) - len(shown)
    figure.supxlabel("|δq|" + (f" (the first {len(shown)} of {len(quantities)} quantities)" if left_out else ""))
    figure.supylabel("density p(|δq|)")
    return figure
