"""The phase diagram as a chart whose cells can be clicked, and in words."""

from typing import Any, Final

import numpy as np
import pandas as pd

from critlearn.figures.study import SHADES, PhasePanel

SELECTION: Final = "cell"
_ROW_HEIGHT: Final = 46
"""Height of a cell in pixels: more than the 44 that WCAG 2.2 recommends for what is clicked."""

_GREY: Final = "#8a8a8a"


def cells_of(panel: PhasePanel) -> pd.DataFrame:
    """Table of cells: place, mean exponent, the text in the cell, and whether its background is dark.

    A cell without an established power law is crossed; a ring marks one of which not every run is at certified
    equilibrium.
    """
    exponents = panel.values.to_numpy(dtype=float)
    known = exponents[np.isfinite(exponents)]
    middle = 0.5 * (known.min() + known.max()) if known.size else 0.0
    rows = []
    for (row, column), exponent in np.ndenumerate(exponents):
        there = bool(np.isfinite(exponent))
        ring = "" if panel.certified.iat[row, column] else " ○"
        rows.append(
            {
                "row": str(panel.values.index[row]),
                "column": str(panel.values.columns[column]),
                "place": f"{panel.values.index[row]}, {panel.values.columns[column]}",
                "exponent": float(exponent) if there else None,
                "shown": (f"{exponent:.2f}" if there else "×") + ring,
                "dark": there and bool(exponent < middle),
            }
        )
    return pd.DataFrame(rows)


def in_place_of_chart(cells: pd.DataFrame, quantity: str) -> str | None:
    """Return what is said in place of a chart of which all cells would have one colour; None if they have several."""
    known = cells["exponent"].astype(float).dropna()
    if known.max() - known.min() >= SHADES:
        return None
    if known.empty:
        return f"No cell has an established power law of {quantity}."
    where = cells["place"][known.index[0]] if len(known) == 1 else f"in {len(known)} cells"
    return f"There is one mean exponent of {quantity} alone, {known.iloc[0]:.2f} ({where}): no diagram is drawn."


def in_words(cells: pd.DataFrame, quantity: str, across: str, down: str) -> str:
    """The chart as a sentence, read out by screen readers."""
    spoken = "; ".join(
        f"{place}: {_spoken(shown)}" for place, shown in zip(cells["place"], cells["shown"], strict=True)
    )
    return f"Mean measured exponent of {quantity} over {down} and {across}. {spoken}."


def _spoken(shown: str) -> str:
    return shown.replace("×", "no power law").replace(" ○", " (not every run at equilibrium)")


def chart(cells: pd.DataFrame, across: str, down: str) -> dict[str, Any]:
    """Specification in Vega-Lite, of which the point selection `SELECTION` gives the cell that is clicked."""
    columns = cells["column"].unique().tolist()
    place = {
        "x": _axis("column", across, columns, angle=-30),
        "y": _axis("row", down, cells["row"].unique().tolist(), angle=0),
    }
    colour = {
        "condition": {
            "test": "isValid(datum.exponent)",
            "field": "exponent",
            "type": "quantitative",
            "scale": {"scheme": "cividis", "zero": False},
            "legend": {"title": "exponent k"},
        },
        "value": _GREY,
    }
    chosen = {"condition": {"param": SELECTION, "empty": False, "value": 4}, "value": 0}
    writing = {"condition": {"test": "datum.dark", "value": "white"}, "value": "black"}
    return {
        "height": {"step": _ROW_HEIGHT},
        "params": [
            {
                "name": SELECTION,
                "select": {"type": "point", "fields": ["place"], "toggle": False},
                "views": ["cells"],
            }
        ],
        "layer": [
            {
                "name": "cells",
                # Cells without a number are grey: they would be left out, with their black crosses on a dark page.
                "mark": {"type": "rect", "cursor": "pointer", "stroke": "#D55E00", "invalid": None},
                "encoding": {**place, "color": colour, "strokeWidth": chosen},
            },
            {
                # Numbers that fit the cells of a screen that is not wide.
                "mark": {"type": "text", "fontSize": max(6, min(13, 110 // len(columns)))},
                "encoding": {**place, "text": {"field": "shown", "type": "nominal"}, "color": writing},
            },
        ],
    }


def _axis(field: str, title: str, values: list[str], *, angle: int) -> dict[str, Any]:
    return {
        "field": field,
        "type": "nominal",
        "sort": values,
        "title": title.replace("_", " "),
        "axis": {"labelAngle": angle, "labelLimit": 160},
    }
