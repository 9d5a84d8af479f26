"""Figures of the duality map: spectrum, log-volumes and leading boundary directions."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from critlearn.figures.style import FITTED, LN10, MEASURED, numbers, plain_axes

_COLOURS: Final = {"initial": FITTED, "trained": MEASURED}
"""Colours of the two states of the network."""


def spectrum_figure(states: Mapping[str, Any]) -> Figure:
    """Singular values by rank: median over samples, with the range that holds 90% of them.

    Parameters
    ----------
    states
        Entry ``states`` of a study of the duality map.
    """
    figure, axes = plain_axes()
    for name, state in states.items():
        low, median, high = (numbers(state["log_singular_values"][key]) / LN10 for key in ("low", "median", "high"))
        rank = np.arange(1, len(median) + 1)
        axes.fill_between(rank, low, high, color=_COLOURS[name], alpha=0.25, lw=0)
        axes.plot(rank, median, ".-", color=_COLOURS[name], lw=1.2, markersize=4, label=name)
    axes.set_xlabel("number of the singular value")
    axes.set_ylabel("log10 of the singular value")
    axes.legend(frameon=False)
    return figure


def volume_figure(states: Mapping[str, Any]) -> Figure:
    """Histogram over samples of the sheet's log-volume; without the lost directions where there are some.

    Parameters
    ----------
    states
        Entry ``states`` of a study of the duality map.
    """
    figure, axes = plain_axes()
    for name, state in states.items():
        # A lost direction makes the volume zero; the pseudo-volume is that of the others.
        values = np.array(
            [
                pseudo if volume is None else volume
                for volume, pseudo in zip(state["log_volume"], state["log_pseudo_volume"], strict=True)
            ],
            dtype=np.float64,
        )
        counts, edges = np.histogram(values[np.isfinite(values)], bins=40)
        middle = (edges[1:] + edges[:-1]) / 2
        axes.fill_between(middle, counts, step="mid", color=_COLOURS[name], alpha=0.3, lw=0)
        axes.plot(middle, counts, drawstyle="steps-mid", color=_COLOURS[name], lw=1.2, label=name)
    axes.set_xlabel("log-volume, 0.5 ln det J^T J")
    axes.set_ylabel("samples")
    axes.legend(frameon=False)
    return figure


def directions_figure(leading: list[Mapping[str, Any]], image: tuple[int, int] | None) -> Figure:
    """Leading boundary directions of a few samples: pictures if inputs are images, otherwise steps.

    Parameters
    ----------
    leading
        Entry ``leading`` of a study of the duality map.
    image
        Shape of the inputs as pictures.
    """
    columns = 1 + max(len(entry["directions"]) for entry in leading)
    figure = Figure(figsize=(2.2 * columns, 2.0 * len(leading)), layout="constrained")
    panels = figure.subplots(len(leading), columns, squeeze=False)
    for row, entry in zip(panels, leading, strict=True):
        parts = [entry["x"], *entry["directions"]]
        titles = [f"sample {entry['sample']}, class {entry['target']:+.0f}"]
        titles += [f"direction {at}" for at in range(1, len(parts))]
        for axes, values, title in zip(row, parts, titles, strict=False):
            numbers = np.array(values, dtype=np.float64)
            bound = float(np.abs(numbers).max()) or 1.0
            if image is None:
                colour = MEASURED if "sample" not in title else FITTED
                axes.plot(numbers, drawstyle="steps-mid", color=colour, lw=1.2, label=title)
            elif title.startswith("sample"):
                axes.imshow(numbers.reshape(image), cmap="gray_r")
            else:
                axes.imshow(numbers.reshape(image), cmap="RdBu_r", vmin=-bound, vmax=bound)
            axes.set_title(title, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


_PIXELS: Final = 60
"""Pixels of the density along each coordinate: 3600 densities take some seconds."""


def caustics_figure(curves: Any, log_density: Callable[[Any], Any] | None) -> Figure:
    """Caustics and cusps of a map of the plane: boundary states on the left, changes on the right.

    Parameters
    ----------
    curves
        Curves with points, values and cusps, as of `duality.CausticCurves`.
    log_density
        Function of changes (value, 2) that gives their log-densities, which are drawn around the caustics; None to
        draw none.
    """
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, places, where in ((left, "points", "point"), (right, "values", "value")):
        for curve in curves.curves:
            xy = np.asarray(getattr(curve, places))
            xy = np.concatenate([xy, xy[:1]]) if curve.closed else xy
            axes.plot(*xy.T, color=MEASURED, lw=1.2)
        if curves.cusps:
            marks = np.array([np.asarray(getattr(cusp, where)) for cusp in curves.cusps])
            axes.plot(*marks.T, "o", color=FITTED, markersize=5, label="cusp")
            axes.legend(frameon=False)
    left.set_xlabel("first coordinate of the boundary")
    left.set_ylabel("second coordinate of the boundary")
    right.set_xlabel("change of the first variable")
    right.set_ylabel("change of the second variable")
    if log_density is not None and curves.curves:
        first, second = (np.linspace(low, high, _PIXELS) for low, high in (right.get_xlim(), right.get_ylim()))
        pixels = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
        like = curves.curves[0].values
        logs = np.asarray(log_density(like.new_tensor(pixels))).reshape(_PIXELS, _PIXELS) / LN10
        shown = np.ma.masked_invalid(logs)
        image = right.pcolormesh(first, second, shown, cmap="Greys", shading="nearest", zorder=0)
        figure.colorbar(image, ax=right, label="log10 of the density")
    return figure
