"""Time that a sweep will take, from the cells of the same kind that its store already holds."""

from statistics import fmean
from typing import Any

from critlearn.studies.sweep.results.store import ResultsStore, StoredCell
from critlearn.studies.sweep.study.cells import expand
from critlearn.studies.sweep.study.file import Study


def estimate(studies: tuple[Study, ...], location: str, processes: int) -> dict[str, Any]:
    """Number of cells, how many are due, and the seconds that they will take; nothing is written.

    The seconds are those of the cells themselves: those that it takes to start processes are not among them.

    Raises
    ------
    InvalidInputError
        If what is at the location is not a store.
    """
    cells = {cell.name: cell for study in studies for cell in expand(study)}.values()
    store = ResultsStore.if_made(location)
    found = {cell.name: StoredCell("missing") if store is None else store.cell(cell.name) for cell in cells}
    seconds = [cell.record["seconds"] for cell in found.values() if cell.record is not None]
    due = sum(cell.due for cell in found.values())
    total = fmean(seconds) * due / processes if seconds else None
    said = (
        f"about {total:.0f} s, by the {len(seconds)} cells that are finished"
        if total is not None
        else ("how long is not known before a cell is finished")
    )
    return {
        "study": ", ".join(study.name for study in studies),
        "cells": len(cells),
        "due": due,
        "seconds": total,
        "estimate": said,
    }
