"""Figures of many runs: measured against predicted exponents, and the phase diagram over two settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from critlearn.figures.style import FITTED, MEASURED, plain_axes
from critlearn.numerics.notation import LAW_GRADES

_WIDEST: Final = 13.0
"""Inches of panels side by side: the text of wider pictures is too small on a page."""

SHADES: Final = 0.01
"""Range of values from which on they have different shades: the cells have two decimals, and a bar of less has marks
that are told apart by their last digits alone."""


@dataclass(frozen=True, eq=False)
class PhasePanel:
    """Cells of a phase diagram over two settings.

    Parameters
    ----------
    values
        Mean of a column over the runs in which a power law is established; not a number where there is none.
    certified
        Whether every run of the cell is at certified equilibrium; True where there is no run.
    """

    values: pd.DataFrame
    certified: pd.DataFrame


def agreement_figure(table: pd.DataFrame) -> Figure:
    """Measured against predicted exponent, a point for each run and quantity that has both."""
    figure, axes = plain_axes()
    both = table[["predicted_exponent", "measured_exponent"]].astype(float).dropna()
    x, y = both.to_numpy().T
    axes.plot(x, y, "o", color=MEASURED, markersize=6, alpha=0.7, label="run")
    if x.size:
        ends = np.array([min(x.min(), y.min()) - 0.1, max(x.max(), y.max()) + 0.1])
        axes.plot(ends, ends, "--", color=FITTED, lw=1.5, label="measured = predicted")
        axes.legend(frameon=False, fontsize=9)
    axes.set(xlabel="predicted exponent", ylabel="measured exponent")
    return figure


def phase_diagram(
    table: pd.DataFrame,
    quantity: str,
    across: str,
    down: str,
    *,
    value: str = "measured_exponent",
    panels_by: Sequence[str] = (),
) -> Figure:
    """Mean measured exponent, or decades, of a quantity over two settings.

    Only established power laws count; a cell without one is crossed, and a ring marks those of which not every run is
    at certified equilibrium.

    Parameters
    ----------
    table
        Runs, as of `studies.runs_table`.
    quantity
        Name of the quantity.
    across, down
        Settings of the columns and of the rows.
    value
        Column of the table that is drawn.
    panels_by
        Settings of which each combination has a panel of its own; the mean is taken over all others.
    """
    panels = phase_panels(table, quantity, across, down, value=value, panels_by=panels_by)
    height, width = next(iter(panels.values())).values.shape
    panel_width = max(3.2, 0.75 * width + 1.2)
    fitting = max(1, int((_WIDEST - 1.2) / panel_width))
    columns = min(len(panels), fitting, max(1, table[panels_by[-1]].nunique() if panels_by else 1))
    rows = math.ceil(len(panels) / columns)
    size = (columns * panel_width + 1.2, rows * max(2.2, 0.5 * height + 1.3))
    figure = Figure(figsize=size, layout="constrained")
    known = np.concatenate([panel.values.to_numpy(dtype=float).ravel() for panel in panels.values()])
    known = known[np.isfinite(known)]
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    every = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, panel) in zip(every.flat, panels.items(), strict=False):
        cells = panel.values
        image = _heat_map(axes, panel, lowest, max(highest, lowest + SHADES))
        axes.set(xlabel=across.replace("_", " "), ylabel=down.replace("_", " "))
        axes.set_title(name, fontsize=9)
        for (row, column), number in np.ndenumerate(cells.to_numpy(dtype=float)):
            # Invisible points carry the numbers of the image into the table behind the figure.
            state = "" if panel.certified.iat[row, column] else ", not all at equilibrium"
            label = f"_{name} {down} = {cells.index[row]}, {across} = {cells.columns[column]}, {number:.4g}{state}"
            axes.plot([column], [row], alpha=0, label=label)
    for axes in every.flat[len(panels) :]:
        axes.set_axis_off()
    if highest - lowest >= SHADES:
        figure.colorbar(image, ax=every, label="decades" if value == "decades" else "measured exponent k")
    return figure


def _heat_map(axes: Axes, panel: PhasePanel, lowest: float, highest: float) -> AxesImage:
    """Draw the cells of one panel with their values; crosses and rings as in `phase_diagram`."""
    cells = panel.values
    values = cells.to_numpy(dtype=float)
    image = axes.imshow(values, cmap="cividis", aspect="auto", vmin=lowest, vmax=highest)
    for (row, column), value in np.ndenumerate(values):
        dark = math.isfinite(value) and value < 0.5 * (lowest + highest)
        text, color = f"{value:.2f}" if math.isfinite(value) else "×", "white" if dark else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
        if not panel.certified.iat[row, column]:
            axes.text(column + 0.46, row - 0.42, "○", ha="right", va="top", color=color, fontsize=7)
    axes.set_xticks(range(cells.shape[1]), [short_setting(name) for name in cells.columns], rotation=30, ha="right")
    axes.set_yticks(range(cells.shape[0]), [short_setting(name) for name in cells.index])
    return image


def short_setting(name: object) -> str:
    """Name of a cell's setting; many equal widths of layers as ``layers × width``.

    >>> short_setting("512-512-512"), short_setting("32-16"), short_setting("digits:3v8")
    ('3 × 512', '32-16', 'digits:3v8')
    """
    widths = str(name).split("-")
    alike = len(widths) > 2 and len(set(widths)) == 1
    return f"{len(widths)} × {widths[0]}" if alike else str(name)


def phase_panels(
    table: pd.DataFrame, quantity: str, across: str, down: str, *, value: str, panels_by: Sequence[str]
) -> dict[str, PhasePanel]:
    """Cells of each panel, by a name that states its settings; runs without these settings are left out."""
    if not panels_by:
        return {"": phase_panel(table, quantity, across, down, value=value)}
    panels = {
        ", ".join(
            f"{setting.replace('_', ' ')} {found}" for setting, found in zip(panels_by, key, strict=True)
        ): phase_panel(group, quantity, across, down, value=value)
        for key, group in table.groupby(list(panels_by), sort=False)
    }
    # Runs of different kinds may lack a setting of the others.
    return {name: panel for name, panel in panels.items() if not panel.values.empty}


def phase_panel(
    table: pd.DataFrame, quantity: str, across: str, down: str, *, value: str = "measured_exponent"
) -> PhasePanel:
    """Cells of a quantity, rows by one setting and columns by the other, in the order of the table."""
    chosen = table[table["quantity"] == quantity].copy()
    # A fit without an established power law gives neither an exponent nor decades.
    chosen[value] = chosen[value].astype(float).where(chosen["verdict"].isin(LAW_GRADES))
    chosen["certified"] = chosen["certified"] == True  # noqa: E712
    rows, columns = table[down].dropna().unique(), table[across].dropna().unique()

    def over_settings(name: str, pool: Literal["mean", "min"]) -> pd.DataFrame:
        cells = chosen.pivot_table(index=down, columns=across, values=name, aggfunc=pool, dropna=False)
        return cells.reindex(index=rows, columns=columns)

    return PhasePanel(over_settings(value, "mean"), over_settings("certified", "min") != False)  # noqa: E712
