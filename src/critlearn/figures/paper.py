"""Figures for papers: any figure of the package at the width of one column or two, with text and lines to match."""

from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from critlearn.errors import InvalidInputError

_WIDTHS: Final = {1: 3.375, 2: 6.75}
"""Inches of one column and of two with the gap between them, less a hair: those of the journals of the APS."""

_HIGHEST: Final = 9.0
"""Inches: a higher figure leaves no room for its caption on a page."""

_TEXT: Final = 0.8
"""Factor of sizes of text: 10 points on the screen become 8, as captions in print are."""

_SMALLEST: Final = 6.0
"""Points: what journals ask for at least."""

_USUAL: Final = 10.0
"""Points of text on the screen."""

_MARKS: Final = 2.0
"""Marks of an axis by inch: with more, their numbers run into each other."""

_LINES: Final = 0.7
"""Factor of widths of lines and sizes of marks."""


class PaperFigure(Figure):
    """Figure whose files hold their fonts whole, as journals ask."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Write a file as matplotlib does, with letters as TrueType and not as drawings of single ones (Type 3)."""
        with mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(*args, **kwargs)


def for_paper(figure: Figure, columns: int = 1) -> Figure:
    """Set a figure to the width of one column of a page or two; it is changed in place, and returned.

    Parameters
    ----------
    figure
        Figure as it is drawn for the screen.
    columns
        1 or 2.

    Raises
    ------
    InvalidInputError
        If `columns` is neither.
    """
    if columns not in _WIDTHS:
        raise InvalidInputError(f"a figure of a paper spans columns=1 or columns=2; got {columns!r}")
    width, height = figure.get_size_inches()
    # Text shrinks less than the width, so that panels need some of their height.
    factor = min(1.0, max(_WIDTHS[columns] / width, _TEXT))
    figure.set_size_inches(_WIDTHS[columns], min(height * factor, _HIGHEST))
    marks = {axis: _size_of_marks(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)}
    for artist in figure.findobj(_is_scaled):
        _scale(artist)
    for axis, size in marks.items():
        axis.set_tick_params(labelsize=_in_print(size))
    for axes in figure.axes:
        locator, grid = axes.xaxis.get_major_locator(), axes.get_gridspec()
        if isinstance(locator, MaxNLocator) and grid is not None:
            locator.set_params(nbins=max(2, int(_MARKS * _WIDTHS[columns] / grid.ncols)))
    for legend in list(figure.legends):
        names = [text.get_text() for text in legend.get_texts()]
        points, handles = legend.get_texts()[0].get_fontsize(), [each for each in legend.legend_handles if each]
        legend.remove()
        # Above the panels, in rows that fit.
        figure.legend(handles, names, loc="outside upper left", ncols=2 * columns, frameon=False, fontsize=points)
    # matplotlib reads how fonts are kept when it writes, which is up to whoever holds the figure.
    figure.__class__ = PaperFigure
    return figure


def _is_scaled(artist: Artist) -> bool:
    return isinstance(artist, (Text, Line2D, Collection))


def _scale(artist: Artist) -> None:
    if isinstance(artist, Text):
        artist.set_fontsize(_in_print(float(artist.get_fontsize())))
    elif isinstance(artist, Line2D):
        artist.set_linewidth(_LINES * artist.get_linewidth())
        artist.set_markersize(_LINES * artist.get_markersize())
    elif isinstance(artist, Collection):
        artist.set_linewidth([_LINES * float(each) for each in np.atleast_1d(artist.get_linewidth())])


def _size_of_marks(axis: Axis) -> float:
    """Size of the numbers at an axis, in points."""
    texts = axis.get_ticklabels()
    return float(texts[0].get_fontsize()) if texts else _USUAL


def _in_print(size: float) -> float:
    """Size of a text in print, in points."""
    return max(_SMALLEST, _TEXT * size)
