"""Figures of the duality map: spectrum, log-volumes and leading boundary directions."""

from collections.abc import Mapping
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
