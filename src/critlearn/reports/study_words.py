"""Phase diagrams in words, for those who do not see them."""

import math
from collections.abc import Mapping
from typing import Final

from critlearn.figures.study import PhasePanel

_MOST_CELLS: Final = 24
"""Cells that are told one by one; of more only the ends of their range, and the rest by the table behind the figure."""


def phase_words(panels: Mapping[str, PhasePanel], across: str, down: str) -> str:
    """Sentences on the cells of a phase diagram.

    Parameters
    ----------
    panels
        Its panels, by the settings that they have apart.
    across, down
        The settings of the columns and of the rows.
    """
    columns, rows = across.replace("_", " "), down.replace("_", " ")
    told = [
        (panel, f"{rows} {row}", f"{columns} {column}", float(cells.values.loc[row, column]))
        for panel, cells in panels.items()
        for row in cells.values.index
        for column in cells.values.columns
    ]
    known = [cell for cell in told if math.isfinite(cell[3])]
    summary = f"{len(known)} of {len(told)} cells have an established power law."
    if not known:
        return summary
    if len(told) <= _MOST_CELLS:
        return f"{summary} {' '.join(_rows_in_words(told))}"
    least, most = min(known, key=lambda cell: cell[3]), max(known, key=lambda cell: cell[3])
    return f"{summary} The values reach from {_one(least)} to {_one(most)}."


def _one(cell: tuple[str, str, str, float]) -> str:
    panel, row, column, value = cell
    return f"{value:.2f} (at {', '.join(part for part in (panel, row, column) if part)})"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "none"


def _rows_in_words(told: list[tuple[str, str, str, float]]) -> list[str]:
    """Sentence for each row of each panel."""
    sentences = []
    for panel, row in dict.fromkeys((panel, row) for panel, row, _, _ in told):
        cells = [(column, value) for p, r, column, value in told if (p, r) == (panel, row)]
        words = ", ".join(f"{_number(value)} at {column}" for column, value in cells)
        sentences.append(f"For {', '.join(part for part in (panel, row) if part)}: {words}.")
    return sentences
