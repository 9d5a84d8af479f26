"""Figures for papers: widths of columns, text that is read in print, fonts inside of files."""

import io
import itertools
import zlib

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from critlearn.errors import InvalidInputError
from critlearn.figures.analysis import analysis_figure
from critlearn.figures.illustration import image
from critlearn.figures.paper import for_paper
from critlearn.numerics.log_sketch import LogSketch


def _figure() -> Figure:
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    for axes in figure.subplots(1, 2):
        axes.plot([0, 6], [0, 1], "o-", lw=2, markersize=6, label="a line")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12))
        axes.set(title="title", xlabel="size", ylabel="density")
    figure.legend(["one", "two"], loc="outside upper left", ncols=2)
    return figure


@pytest.mark.parametrize(("columns", "width"), [(1, 3.375), (2, 6.75)])
def test_a_figure_has_the_width_of_its_columns_and_text_that_is_read(columns: int, width: float) -> None:
    figure = for_paper(_figure(), columns)
    assert figure.get_figwidth() == width
    assert figure.get_figheight() <= 9.0
    figure.draw_without_rendering()
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
    assert min(sizes) >= 6.0
    assert max(sizes) <= 10.0
    assert all(axes.lines[0].get_linewidth() < 2 for axes in figure.axes)
    # Numbers at an axis do not run into each other, nor do panels.
    for axes in figure.axes:
        boxes = [
            text.get_window_extent()
            for place, text in zip(axes.xaxis.get_majorticklocs(), axes.xaxis.get_ticklabels(), strict=True)
            if axes.get_xlim()[0] <= place <= axes.get_xlim()[1]
        ]
        assert len(boxes) >= 2
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


@pytest.mark.parametrize("in_print", [False, True])
def test_titles_of_many_variables_with_long_names_touch_nothing(in_print: bool) -> None:
    measured = {"exponent": None, "verdict": "too few data"}
    entry = {"measured": measured, "curves": {"measured": None, "predicted": None}}
    names = [f"bert.encoder.layer.{at}.attention.self.query.$weight$" for at in range(26)]
    figure = analysis_figure(
        dict.fromkeys(names, LogSketch.empty()), dict.fromkeys(names, entry), narrow=in_print, in_print=in_print
    )
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == (8 if in_print else 26)
    assert ("the first 8 of 26" in figure.get_supxlabel()) == in_print
    (for_paper(figure) if in_print else figure).draw_without_rendering()
    # Each keeps the number of its layer.
    assert len({axes.get_title() for axes in panels}) == len(panels)
    titles = [axes.title.get_window_extent() for axes in panels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2))
    assert not any(title.overlaps(axes.get_window_extent()) for title in titles for axes in panels)


def test_fonts_are_inside_of_the_files() -> None:
    written = io.BytesIO()
    for_paper(_figure()).savefig(written, format="pdf")
    assert b"/Type3" not in written.getvalue()
    pdf = image(for_paper(_figure()), "pdf")
    # As TrueType, and not as drawings of single letters, which journals refuse.
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    unpacked = b"".join(_streams(pdf))
    assert b"BT" in unpacked
    # Letters of SVG files are shapes.
    assert b"<text" not in image(for_paper(_figure()), "svg")


def _streams(pdf: bytes) -> list[bytes]:
    """Streams of a PDF file that are packed."""
    found = []
    for part in pdf.split(b"stream\n")[1:]:
        try:
            found.append(zlib.decompressobj().decompress(part))
        except zlib.error:
            continue
    return found


@pytest.mark.parametrize("columns", [0, 3])
def test_other_numbers_of_columns_are_refused(columns: int) -> None:
    with pytest.raises(InvalidInputError, match=f"columns=1 or columns=2; got {columns}"):
        for_paper(_figure(), columns)
