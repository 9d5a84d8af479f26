"""Figure of an analysis: the density of every trainable variable, side by side."""

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.figure import Figure

from critlearn.figures.fit import exponent_label
from critlearn.figures.quantity import add_shared_legend, draw_density
from critlearn.figures.style import prepare_log_log, short_name
from critlearn.numerics.log_sketch import LogSketch

_COLUMNS: Final = 4
_NARROW_COLUMNS: Final = 2
"""Panels in a row at most, and where the figure is narrow."""

MOST_PANELS: Final = 40
"""Panels of a figure: more are too small to be read."""

_ROWS_IN_PRINT: Final = 4
"""Rows of panels on a page of paper: more are lower than their titles and axes need."""

_LETTERS: Final = {False: (40, 1), True: (24, 2)}
"""Letters of a line above a panel, and lines of a name, on the screen and in print: more run into the next panel."""

_PANEL: Final = (3.4, 2.6)
"""Inches of a panel."""


def analysis_figure(
    sketches: Mapping[str, LogSketch], quantities: Mapping[str, Any], *, narrow: bool = False, in_print: bool = False
) -> Figure:
    """Densities on log-log axes with fits and predictions, a panel for each quantity.

    Parameters
    ----------
    sketches
        Sketches by name of the quantity.
    quantities
        Entries of the record by name; of more than 40, the first ones are drawn.
    narrow
        Whether it is to stand in one column of a page: two panels make a row then.
    in_print
        Whether it is to stand on a page of paper, which takes four rows.
    """
    across = _NARROW_COLUMNS if narrow else _COLUMNS
    shown = list(quantities.items())[: across * _ROWS_IN_PRINT if in_print else MOST_PANELS]
    # As few rows as there must be, evenly filled.
    rows = -(-len(shown) // across)
    columns = -(-len(shown) // rows)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, quantity) in zip(panels, shown, strict=False):
        prepare_log_log(axes, marks=6)
        draw_density(axes, sketches[name], quantity, fit_label="fit")
        axes.set_title(f"{short_name(name, *_LETTERS[in_print])}\n{_found(quantity['measured'])}", fontsize=9)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    add_shared_legend(figure, list(panels[: len(shown)]))
    left_out = len(quantities) - len(shown)
    figure.supxlabel("|δq|" + (f" (the first {len(shown)} of {len(quantities)} quantities)" if left_out else ""))
    figure.supylabel("density p(|δq|)")
    return figure


def _found(measured: Mapping[str, Any]) -> str:
    """Exponent with its interval, and the grade in a line of its own."""
    if measured["exponent"] is None:
        return str(measured["verdict"])
    interval = None if measured["ci95"] is None else tuple(measured["ci95"])
    return f"{exponent_label(measured['exponent'], interval)}\n{measured['verdict']}"
