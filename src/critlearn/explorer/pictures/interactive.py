"""Figures of the package as charts of Plotly: the same lines, points, bands and texts, to hover over and zoom into."""

import math
import re
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text

Chart = dict[str, Any]
"""Chart as Plotly reads it: plain values."""

_DASHES: Final = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_MARKS: Final = {
    "o": "circle",
    ".": "circle",
    "D": "diamond",
    "s": "square",
    "^": "triangle-up",
    "x": "x",
    "+": "cross",
}
"""Dashes and marks of matplotlib, in the words of Plotly."""

_PIXELS: Final = 96 / 72
"""Pixels of a browser in a point."""

_INCH: Final = 92.0
"""Pixels of an inch of the figure's height: its text then is as large beside it as in print."""

_GREY: Final = "#808080"
"""In place of black, which is not seen on a dark page."""

_TITLE: Final = 56
"""Pixels of the titles of panels, of three lines."""

_LETTERS: Final = 48
"""Letters of a title across the panels on a phone, of 6 pixels each."""

_MARGIN: Final = {"l": 64, "r": 12, "t": 36, "b": 48}
"""Pixels around the panels, for the names of axes and the buttons of the chart."""


def interactive(figure: Figure) -> Chart:
    """Chart of a figure.

    Decimal logarithms keep their axes, which are labelled as powers of ten at every zoom: sizes reach below the
    smallest float.

    Parameters
    ----------
    figure
        Any figure of this package.
    """
    with warnings.catch_warnings():
        # Panels too small for the page are larger in the chart.
        warnings.simplefilter("ignore", UserWarning)
        figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.axison]
    traces: list[Chart] = []
    layout: Chart = {
        "height": round(_INCH * figure.get_figheight()) + 60,
        "margin": dict(_MARGIN),
        "hovermode": "closest",
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "shapes": [],
        "annotations": [],
    }
    named = set[str]()
    boxes = _boxes(panels)
    for number, (axes, box) in enumerate(zip(panels, boxes, strict=True), start=1):
        suffix = _suffix(number)
        x, y = f"x{suffix}", f"y{suffix}"
        layout[f"xaxis{suffix}"] = {
            **_axis(axes.xaxis, axes.get_xlim(), axes.get_xlabel()),
            "domain": box[0],
            "anchor": y,
        }
        layout[f"yaxis{suffix}"] = {
            **_axis(axes.yaxis, axes.get_ylim(), axes.get_ylabel()),
            "domain": box[1],
            "anchor": x,
        }
        joined = [other for other in panels[: number - 1] if axes.get_shared_x_axes().joined(axes, other)]
        if joined:
            layout[f"xaxis{suffix}"]["matches"] = f"x{_suffix(panels.index(joined[0]) + 1)}"
        for trace in (*_lines(axes), *_collections(axes)):
            label = str(trace["name"])
            shown = not label.startswith("_") and _raised(label) not in named
            named |= {_raised(label)} if shown else set()
            name = _raised(label.lstrip("_"))
            traces.append({**trace, "name": name, "legendgroup": name, "showlegend": shown, "xaxis": x, "yaxis": y})
        layout["shapes"] += list(_shapes(axes, x, y))
        layout["annotations"] += list(_texts(axes, x, y, box))
    for shape in layout["shapes"]:
        name = str(shape["name"])
        shape["showlegend"] = not name.startswith("_") and name not in named
        named.add(name)
    for name, handle in _legend(figure):
        if name not in named:
            # Marks that stand for many lines, none of which has the name alone.
            width = max(2.0, min(8.0, float(handle.get_linewidth())))
            style = {"line": {"color": _colour(handle.get_color()), "width": width}}
            traces.append({"type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": name, **style})
    if any(axes.get_title() for axes in panels):
        # Above the titles of the panels.
        layout["margin"]["t"] += _TITLE
        layout["legend"]["y"] += _TITLE / layout["height"]
    layout["annotations"] += list(_names_of_figure(figure))
    return {"data": traces, "layout": layout}


def _suffix(number: int) -> str:
    """What names of axes of a panel end in: nothing for the first, otherwise its number."""
    return "" if number == 1 else str(number)


def _legend(figure: Figure) -> Iterator[tuple[str, Line2D]]:
    """Names and lines of the legends."""
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)):
        if legend is not None:
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
                if isinstance(handle, Line2D):
                    yield _raised(text.get_text()), handle


def _raised(name: str) -> str:
    """Name whose raised part is marked as a page marks it, and not as a formula.

    >>> _raised("fit |δq|$^{−0.4}$")
    'fit |δq|<sup>−0.4</sup>'
    """
    return re.sub(r"\$\^\{(.*?)\}\$", r"<sup>\1</sup>", name)


def _boxes(panels: list[Axes]) -> list[tuple[list[float], list[float]]]:
    """Place of each panel in the chart, from 0 to 1 in both directions."""
    ends = [np.asarray(axes.get_position().extents) for axes in panels]
    low, high = np.min(ends, axis=0)[:2], np.max(ends, axis=0)[2:]
    scaled = [((end.reshape(2, 2) - low) / (high - low)).clip(0, 1) for end in ends]
    return [([float(box[0, 0]), float(box[1, 0])], [float(box[0, 1]), float(box[1, 1])]) for box in scaled]


def _axis(axis: Axis, limits: tuple[float, float], name: str) -> Chart:
    """Axis with its range, its name and its marks."""
    seen = axis.label.get_visible()
    found: Chart = {"range": [float(end) for end in limits], "zeroline": False}
    if name and seen:
        # The margin grows with the numbers beside the axis, on which its name would lie otherwise.
        found |= {"title": {"text": name.replace("\n", "<br>"), "standoff": 6}, "automargin": True}
    if axis.get_scale() == "log":
        powers = [math.log10(end) for end in limits]
        return {**found, "type": "log", "range": powers, "exponentformat": "power", "showexponent": "all"}
    places = axis.get_majorticklocs()
    texts = [text.get_text() for text in axis.get_ticklabels()]
    if not len(places):
        return {**found, "showticklabels": False, "showgrid": False}
    if not any(text.get_visible() and text.get_text() for text in axis.get_ticklabels()):
        return {**found, "showticklabels": False}
    if _is_power(axis):
        return {**found, "tickprefix": "10<sup>", "ticksuffix": "</sup>", "tickformat": "~g"}
    if any(_number(text) is None for text in texts) or axis.get_major_formatter()(0.5, 0) != "0.5":
        # Names, or numbers that are not those of the axis.
        return {**found, "tickmode": "array", "tickvals": [float(each) for each in places], "ticktext": texts}
    return {**found, "tickformat": "~g"}


def _is_power(axis: Axis) -> bool:
    """Whether an axis of decimal logarithms is labelled as powers of ten."""
    return bool(axis.get_major_formatter()(2.0, 0) == "10²")


def _number(text: str) -> float | None:
    try:
        return float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


def _lines(axes: Axes) -> Iterator[Chart]:
    """Lines and points in the units of the axes."""
    for line in axes.lines:
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        if _spans(axes, line) or not x.size:
            continue
        dash, mark = _DASHES.get(str(line.get_linestyle())), _MARKS.get(str(line.get_marker()))
        mode = "+".join(name for name, there in (("lines", dash), ("markers", mark)) if there)
        if not mode:
            continue
        trace = _trace(axes, x, y, line.get_label(), mode, line.get_alpha())
        if dash:
            trace["line"] = {
                "color": _colour(line.get_color()), "width": _PIXELS * line.get_linewidth(), "dash": dash
            }  # fmt: skip
        if mark:
            # A point of matplotlib is half as large as its circle.
            size = _PIXELS * line.get_markersize() * (0.6 if line.get_marker() == "." else 1.0)
            hollow = str(line.get_markerfacecolor()).lower() == "none"
            trace["marker"] = {
                "symbol": mark + ("-open" if hollow else ""), "size": size, "color": _colour(line.get_markeredgecolor())
            }  # fmt: skip
        yield trace


def _collections(axes: Axes) -> Iterator[Chart]:
    """Bands, bundles of lines, and clouds of points."""
    for each in axes.collections:
        label, alpha = str(each.get_label()), each.get_alpha()
        if isinstance(each, LineCollection):
            segments = [np.vstack([part, [[np.nan, np.nan]]]) for part in each.get_segments() if len(part)]
            if segments:
                x, y = np.concatenate(segments).T
                colours, widths = each.get_colors(), np.atleast_1d(each.get_linewidth())
                style = "dash" if _is_dashed(each) else "solid"
                yield {
                    **_trace(axes, x, y, label, "lines", alpha),
                    "line": {"color": _colour(colours[0]), "width": _PIXELS * float(widths[0]), "dash": style},
                }
        elif isinstance(each, PathCollection):
            x, y = np.asarray(each.get_offsets(), dtype=float).T
            yield {
                **_trace(axes, x, y, label, "markers", alpha),
                "marker": {"size": 7, "color": [_colour(one) for one in _faces(each)]},
            }
        elif isinstance(each, PolyCollection):
            for path in each.get_paths():
                x, y = np.asarray(path.vertices).T
                yield {
                    **_trace(axes, x, y, label, "lines", alpha),
                    "fill": "toself", "fillcolor": _colour(_faces(each)[0]), "line": {"width": 0}, "hoverinfo": "skip",
                }  # fmt: skip


def _is_dashed(lines: LineCollection) -> bool:
    """Whether lines have gaps: their style is an offset with the lengths of dashes, or None."""
    style: Any = lines.get_linestyle()
    return bool(style[0][1])


def _faces(each: Collection) -> list[Any]:
    """Colours of points or areas; grey where none is given."""
    return list(np.asarray(each.get_facecolor())) or [_GREY]


def _trace(axes: Axes, x: np.ndarray, y: np.ndarray, label: object, mode: str, alpha: float | None) -> Chart:
    """Trace with what is told of a point that the mouse is on."""
    told = [
        f"10<sup>%{{{name}:.3f}}</sup>" if _is_power(axis) else f"%{{{name}:.4g}}"
        for name, axis in (("x", axes.xaxis), ("y", axes.yaxis))
    ]
    return {
        "type": "scatter",
        "x": _plain(x),
        "y": _plain(y),
        "name": str(label),
        "mode": mode,
        "opacity": 1.0 if alpha is None else float(alpha),
        "hovertemplate": f"{told[0]}, {told[1]}<extra>%{{fullData.name}}</extra>",
        "connectgaps": False,
    }


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them: None for those that are not finite, where a line is broken."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _spans(axes: Axes, line: Line2D) -> bool:
    """Whether a line goes across a whole panel, at one value of an axis."""
    return line.get_transform() in (axes.get_xaxis_transform("grid"), axes.get_yaxis_transform("grid"))


def _shapes(axes: Axes, x: str, y: str) -> Iterator[Chart]:
    """Lines and bands across a whole panel."""
    for line in axes.lines:
        if not _spans(axes, line):
            continue
        upright = line.get_transform() == axes.get_xaxis_transform("grid")
        at = float(np.asarray(line.get_data()[0 if upright else 1], dtype=float)[0])
        across = {"x0": at, "x1": at, "y0": 0, "y1": 1} if upright else {"x0": 0, "x1": 1, "y0": at, "y1": at}
        refs = {"xref": x, "yref": f"{y} domain"} if upright else {"xref": f"{x} domain", "yref": y}
        style = {"color": _colour(line.get_color()), "width": _PIXELS * line.get_linewidth()}
        style["dash"] = _DASHES.get(str(line.get_linestyle()), "solid")
        yield {"type": "line", "name": str(line.get_label()), **across, **refs, "line": style}
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            whole = patch.get_transform() != patch.get_patch_transform() + axes.transData
            low, high = patch.get_x(), patch.get_x() + patch.get_width()
            ends = (0, 1) if whole else (patch.get_y(), patch.get_y() + patch.get_height())
            yield {
                "type": "rect",
                "name": str(patch.get_label()),
                "x0": float(low),
                "x1": float(high),
                "y0": float(ends[0]),
                "y1": float(ends[1]),
                "xref": x,
                "yref": f"{y} domain" if whole else y,
                "layer": "below",
                "line": {"width": 0},
                "fillcolor": _colour(patch.get_facecolor()),
                "opacity": float(patch.get_alpha() or 1.0),
            }


def _texts(axes: Axes, x: str, y: str, box: tuple[list[float], list[float]]) -> Iterator[Chart]:
    """Title and texts of a panel."""
    if axes.get_title():
        width = max(1, round(_LETTERS * (box[0][1] - box[0][0])))
        lines = axes.get_title().replace(r"\$", "$").split("\n")
        # Plotly would hang the titles of panels beside each other on their inner ends.
        yield {
            "text": "<br>".join(part for line in lines for part in textwrap.wrap(line, width, break_long_words=False)),
            "showarrow": False, "xref": "paper", "yref": "paper", "x": float(np.mean(box[0])), "y": box[1][1],
            "xanchor": "center", "yanchor": "bottom",
        }  # fmt: skip
    for text in axes.texts:
        if not text.get_text():
            continue
        place: Chart = {"x": float(text.get_position()[0]), "y": float(text.get_position()[1]), "xref": x, "yref": y}
        if isinstance(text, Annotation):
            shift = text.xyann
            place |= {"x": float(text.xy[0]), "y": float(text.xy[1])}
            place |= {"xshift": _PIXELS * float(shift[0]), "yshift": _PIXELS * float(shift[1])}
        elif text.get_transform() == axes.get_yaxis_transform():
            place["xref"] = f"{x} domain"
        # Places of texts on logarithmic axes are logarithms, those of lines and shapes are not.
        for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            if axis.get_scale() == "log" and "domain" not in place[f"{name}ref"]:
                place[name] = math.log10(place[name])
        yield {**place, "text": _styled(text), "showarrow": False, **_anchors(text)}


def _anchors(text: Text) -> Chart:
    middle = {"center": "middle", "center_baseline": "middle", "baseline": "bottom"}
    upright = str(text.get_verticalalignment())
    return {"xanchor": str(text.get_horizontalalignment()), "yanchor": middle.get(upright, upright)}


def _styled(text: Text) -> str:
    shown = text.get_text().replace("\n", "<br>")
    return f"<b>{shown}</b>" if text.get_fontweight() == "bold" else shown


def _names_of_figure(figure: Figure) -> Iterator[Chart]:
    """Names that all panels share."""
    across, upright = figure.get_supxlabel(), figure.get_supylabel()
    if across:
        yield {
            "text": across, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0, "yshift": -40
        }  # fmt: skip
    if upright:
        yield {
            "text": upright, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0, "y": 0.5, "xshift": -52,
            "textangle": -90,
        }  # fmt: skip


def _colour(colour: Any) -> str:
    """Colour as a page has it; greys too dark for a dark page are a middle one."""
    red, green, blue = to_rgb(mpl.colors.to_rgba(colour))
    return _GREY if max(red, green, blue) < 0.45 else str(to_hex((red, green, blue)))
