"""Figures of many runs: measured against predicted exponents, and the phase diagram over two settings."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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


def phase_diagram(table: pd.DataFrame, quantity: str, across: str, down: str) -> Figure:
    """Mean measured exponent of a quantity over two settings; a cell without one is crossed.

    Parameters
    ----------
    table
        Runs, as of `studies.runs_table`.
    quantity
        Which quantity.
    across, down
        The settings of the columns and of the rows.
    """
    cells = phase_cells(table, quantity, across, down)
    figure = Figure(
        figsize=(max(4.8, 1.1 * cells.shape[1] + 2), max(2.6, 0.55 * cells.shape[0] + 1.4)), layout="constrained"
    )
    axes = figure.subplots()
    values = cells.to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    image = axes.imshow(values, cmap="cividis", aspect="auto", vmin=lowest, vmax=max(highest, lowest + 1e-9))
    for (row, column), value in np.ndenumerate(values):
        dark = math.isfinite(value) and value < 0.5 * (lowest + highest)
        text = f"{value:.2f}" if math.isfinite(value) else "×"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=9)
    axes.set_xticks(range(cells.shape[1]), [str(name) for name in cells.columns], rotation=30, ha="right")
    axes.set_yticks(range(cells.shape[0]), [str(name) for name in cells.index])
    axes.set(xlabel=across.replace("_", " "), ylabel=down.replace("_", " "))
    figure.colorbar(image, ax=axes, label="measured exponent k")
    across_names, down_names = [str(name) for name in cells.columns], [str(name) for name in cells.index]
    # The numbers of an image have no line of their own: they are told as points that are not seen.
    rows, columns = np.indices(values.shape)
    for row, column, value in zip(rows.ravel(), columns.ravel(), values.ravel(), strict=True):
        name = f"_{down} = {down_names[row]}, {across} = {across_names[column]}, k = {value:.4g}"
        axes.plot([column], [row], alpha=0, label=name)
    return figure


def phase_cells(table: pd.DataFrame, quantity: str, across: str, down: str) -> pd.DataFrame:
    """Mean measured exponents, rows by one setting and columns by the other."""
    chosen = table[table["quantity"] == quantity].copy()
    chosen["measured_exponent"] = chosen["measured_exponent"].astype(float)
    return chosen.pivot_table(index=down, columns=across, values="measured_exponent", aggfunc="mean", dropna=False)
