"""Descriptions of phase diagrams in words, for readers who do not see them."""

import math
from collections.abc import Mapping
from typing import Final

from critlearn.figures.study import PhasePanel

_MOST_CELLS: Final = 24
"""Cells that are described one by one; of more only the range, as the table behind the figure lists all."""


def phase_words(panels: Mapping[str, PhasePanel], across: str, down: str) -> str:
    """Description of the cells of a phase diagram.

    Parameters
    ----------
    panels
        Panels, by the names that state their settings.
    across, down
        Settings of the columns and of the rows.
    """
    columns, rows = across.replace("_", " "), down.replace("_", " ")
    cells = [
        (panel, f"{rows} {row}", f"{columns} {column}", float(drawn.values.loc[row, column]))
        for panel, drawn in panels.items()
        for row in drawn.values.index
        for column in drawn.values.columns
    ]
    known = [cell for cell in cells if math.isfinite(cell[3])]
    summary = f"{len(known)} of {len(cells)} cells have an established power law."
    if not known:
        return summary
    if len(cells) <= _MOST_CELLS:
        return f"{summary} {' '.join(_rows_in_words(cells))}"
    least, most = min(known, key=lambda cell: cell[3]), max(known, key=lambda cell: cell[3])
    return f"{summary} The values reach from {_one(least)} to {_one(most)}."


def _one(cell: tuple[str, str, str, float]) -> str:
    panel, row, column, value = cell
    return f"{value:.2f} (at {', '.join(part for part in (panel, row, column) if part)})"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "none"


def _rows_in_words(cells: list[tuple[str, str, str, float]]) -> list[str]:
    """Sentence for each row of each panel."""
    sentences = []
    for panel, row in dict.fromkeys((panel, row) for panel, row, _, _ in cells):
        inside = [(column, value) for p, r, column, value in cells if (p, r) == (panel, row)]
        words = ", ".join(f"{_number(value)} at {column}" for column, value in inside)
        sentences.append(f"For {', '.join(part for part in (panel, row) if part)}: {words}.")
    return sentences
