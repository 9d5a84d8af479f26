"""Illustration: a figure with its caption, its description in words, and the numbers that it shows."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from critlearn.errors import InvalidInputError
from critlearn.whole_files import write_whole

FORMATS: Final = ("svg", "pdf", "png")
"""Formats in which figures are written, by the endings of their files."""
_DOTS_PER_INCH: Final = 150
"""Dots per inch of PNG files: sharp in print at the size of a page, and still small."""


@dataclass(frozen=True, eq=False)
class Illustration:
    """Figure with its caption and its description.

    Parameters
    ----------
    name
        Short name, which names its files.
    figure
        The figure.
    alternative
        Description in words, for readers who do not see the figure.
    caption
        Text below the figure, which says what to look for in it.
    """

    name: str
    figure: Figure
    alternative: str
    caption: str

    def data(self) -> pd.DataFrame:
        """Numbers of the figure: a row for each point, with the labels of the axes as columns."""
        return drawn_data(self.figure)

    def image(self, form: str) -> bytes:
        """File of the figure in one of `FORMATS`, the same bytes for the same figure."""
        return image(self.figure, form)

    def save(self, folder: Path, forms: Sequence[str] = FORMATS) -> list[Path]:
        """Write the figure in these formats and its numbers as CSV, each file whole or not at all.

        Raises
        ------
        InvalidInputError
            If a format is unknown.
        OutputError
            If a file cannot be written.
        """
        contents = {form: self.image(form) for form in checked_formats(forms)}
        contents["csv"] = self.data().to_csv(index=False, lineterminator="\n").encode()
        return [write_whole(folder / f"{self.name}.{form}", content) for form, content in contents.items()]


def checked_formats(forms: Sequence[str]) -> list[str]:
    """Check formats of figures, and return them without spaces around them.

    Raises
    ------
    InvalidInputError
        If one is unknown.
    """
    stripped = [form.strip() for form in forms]
    unknown = [form for form in stripped if form not in FORMATS]
    if unknown:
        raise InvalidInputError(f'figures are written as {", ".join(FORMATS)}; got "{unknown[0]}"')
    return stripped


def image(figure: Figure, form: str) -> bytes:
    """File of a figure, without a date, so that the same numbers make the same file."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[form]
    data = io.BytesIO()
    with _repeatable():
        figure.savefig(data, format=form, dpi=_DOTS_PER_INCH, metadata=metadata)
    return data.getvalue()


def svg_text(figure: Figure, alternative: str) -> str:
    """Figure as an SVG element for a page, with its description for readers who do not see it."""
    # Without the XML declaration and document type before the element, which a page must not contain.
    text = image(figure, "svg").decode()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(alternative)}"', 1)


@contextmanager
def _repeatable() -> Iterator[None]:
    """Fix the identifiers inside SVG files, which matplotlib otherwise draws at random, and how fonts are kept."""
    # Fonts go into PDF files whole, as journals ask; letters of SVG files are shapes, which need none.
    with mpl.rc_context({"svg.hashsalt": "critlearn", "pdf.fonttype": 42, "svg.fonttype": "path"}):
        yield


def drawn_data(figure: Figure) -> pd.DataFrame:
    """Numbers of every labelled line, cloud of points, bar and span of a figure, in the units of its axes."""
    tables = []
    for axes in figure.axes:
        x_name, y_name = (
            axis.get_label_text().replace("\n", " ") or fallback
            for axis, fallback in ((axes.xaxis, "x"), (axes.yaxis, "y"))
        )
        for series, points in _series(axes):
            kept = points[np.isfinite(points).all(axis=1)]
            tables.append(pd.DataFrame({"series": series, x_name: kept[:, 0], y_name: kept[:, 1]}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"series": []})


def _series(axes: Axes) -> Iterator[tuple[str, np.ndarray]]:
    """Named lines, clouds of points, bars, and spans."""
    held, parts = _containers(axes)
    yield from held
    for line in (line for line in axes.lines if line not in parts):
        yield _label(line), np.column_stack([np.asarray(d, dtype=float) for d in line.get_data()])
    for collection in (collection for collection in axes.collections if collection not in parts):
        if isinstance(collection, LineCollection) and collection.get_segments():
            yield _label(collection), np.concatenate(collection.get_segments())
        elif isinstance(collection, PathCollection):
            yield _label(collection), np.asarray(collection.get_offsets(), dtype=float)
    for patch in (patch for patch in axes.patches if patch not in parts):
        if isinstance(patch, Rectangle):
            # The height of a span is relative to the axes, not in their units.
            ends = np.array([patch.get_x(), patch.get_x() + patch.get_width()])
            yield _label(patch), np.column_stack([ends, np.array(axes.get_ylim())])


def _containers(axes: Axes) -> tuple[list[tuple[str, np.ndarray]], set[object]]:
    """Bars and points with errors, and the artists of which they are made, which have no names of their own."""
    series, parts = [], set[object]()
    for container in axes.containers:
        if isinstance(container, BarContainer):
            parts.update(container.patches)
            tops = [[bar.get_center()[0], bar.get_height()] for bar in container.patches]
            series.append((_label(container), np.array(tops, dtype=float).reshape(-1, 2)))
        elif isinstance(container, ErrorbarContainer):
            line, caps, bars = container.lines
            parts.update([line, *caps, *bars])
            if line is not None:
                points = np.column_stack([np.asarray(d, dtype=float) for d in line.get_data()])
                series.append((_label(container), points))
    return series, parts


def _label(artist: object) -> str:
    """Label of an artist, without the underscore that keeps it out of the legend."""
    return str(artist.get_label()).lstrip("_")  # type: ignore[attr-defined]
