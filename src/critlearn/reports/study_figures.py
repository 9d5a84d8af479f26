"""Figures of many runs: measured against predicted exponents, and the phase diagram over two settings."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from critlearn.reports.figures import FITTED, MEASURED


def agreement_figure(table: pd.DataFrame) -> Figure:
    """Measured against predicted exponent, a point for each run and quantity that has both."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    both = table[["predicted_exponent", "measured_exponent"]].astype(float).dropna()
    x, y = both.to_numpy().T
    axes.plot(x, y, "o", color=MEASURED, markersize=6, alpha=0.7, label="run")
    if x.size:
        ends = np.array([min(x.min(), y.min()) - 0.1, max(x.max(), y.max()) + 0.1])
        axes.plot(ends, ends, "--", color=FITTED, lw=1.5, label="measured = predicted")
        axes.legend(frameon=False, fontsize=9)
    axes.set(xlabel="predicted exponent", ylabel="measured exponent")
    axes.grid(alpha=0.3)
    return figure


def phase_diagram(
    table: pd.DataFrame,
    quantity: str,
    across: str,
    down: str,
    *,
    value: str = "measured_exponent",
    apart: Sequence[str] = (),
) -> Figure:
    """Mean measured exponent, or decades, of a quantity over two settings; a cell without an exponent is crossed.

    Parameters
    ----------
    table
        Runs, as of `studies.runs_table`.
    quantity
        Which quantity.
    across, down
        The settings of the columns and of the rows.
    value
        The column of the table that is drawn.
    apart
        Settings whose every combination has a panel of its own; the mean is taken over all others.
    """
    panels = phase_panels(table, quantity, across, down, value=value, apart=apart)
    columns = min(len(panels), max(1, table[apart[-1]].nunique() if apart else 1))
    rows = math.ceil(len(panels) / columns)
    height, width = next(iter(panels.values())).shape
    size = (columns * max(3.2, 0.75 * width + 1.2) + 1.2, rows * max(2.2, 0.5 * height + 1.3))
    figure = Figure(figsize=size, layout="constrained")
    known = np.concatenate([cells.to_numpy(dtype=float).ravel() for cells in panels.values()])
    known = known[np.isfinite(known)]
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    every = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, cells) in zip(every.flat, panels.items(), strict=False):
        image = _heat_map(axes, cells, lowest, max(highest, lowest + 1e-9))
        axes.set(xlabel=across.replace("_", " "), ylabel=down.replace("_", " "))
        axes.set_title(name, fontsize=9)
        for (row, column), number in np.ndenumerate(cells.to_numpy(dtype=float)):
            # The numbers of an image have no line of their own: they are told as points that are not seen.
            label = f"_{name} {down} = {cells.index[row]}, {across} = {cells.columns[column]}, {number:.4g}"
            axes.plot([column], [row], alpha=0, label=label)
    for axes in every.flat[len(panels) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=every, label="decades" if value == "decades" else "measured exponent k")
    return figure


def _heat_map(axes: Axes, cells: pd.DataFrame, lowest: float, highest: float) -> AxesImage:
    values = cells.to_numpy(dtype=float)
    image = axes.imshow(values, cmap="cividis", aspect="auto", vmin=lowest, vmax=highest)
    for (row, column), value in np.ndenumerate(values):
        dark = math.isfinite(value) and value < 0.5 * (lowest + highest)
        text = f"{value:.2f}" if math.isfinite(value) else "×"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=9)
    axes.set_xticks(range(cells.shape[1]), [_short(name) for name in cells.columns], rotation=30, ha="right")
    axes.set_yticks(range(cells.shape[0]), [_short(name) for name in cells.index])
    return image


def _short(name: object) -> str:
    """Many equal widths of layers as ``layers × width``."""
    widths = str(name).split("-")
    alike = len(widths) > 2 and len(set(widths)) == 1
    return f"{len(widths)} × {widths[0]}" if alike else str(name)


def phase_panels(
    table: pd.DataFrame, quantity: str, across: str, down: str, *, value: str, apart: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Cells of each panel by its name, which says the settings that it has apart."""
    if not apart:
        return {"": phase_cells(table, quantity, across, down, value=value)}
    return {
        ", ".join(
            f"{setting.replace('_', ' ')} {found}" for setting, found in zip(apart, key, strict=True)
        ): phase_cells(group, quantity, across, down, value=value)
        for key, group in table.groupby(list(apart), sort=False)
    }


def phase_cells(
    table: pd.DataFrame, quantity: str, across: str, down: str, *, value: str = "measured_exponent"
) -> pd.DataFrame:
    """Means of a column, rows by one setting and columns by the other, in the order of the table."""
    chosen = table[table["quantity"] == quantity].copy()
    chosen[value] = chosen[value].astype(float)
    # What was not established has no decades either.
    chosen.loc[chosen["measured_exponent"].isna(), value] = float("nan")
    cells = chosen.pivot_table(index=down, columns=across, values=value, aggfunc="mean", dropna=False)
    return cells.reindex(index=table[down].dropna().unique(), columns=table[across].dropna().unique())
