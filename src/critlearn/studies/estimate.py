"""Time that a sweep will take, from the cells of the same kind that its store already holds."""

from statistics import fmean
from typing import Any

from critlearn.errors import InvalidInputError
from critlearn.studies.cells import expand
from critlearn.studies.results_store import ResultsStore
from critlearn.studies.study_file import Study


def estimate(studies: tuple[Study, ...], location: str, processes: int) -> dict[str, Any]:
    """Number of cells, how many are due, and the seconds that they will take; nothing is written."""
    cells = {cell.name: cell for study in studies for cell in expand(study)}.values()
    try:
        store = ResultsStore(location)
    except InvalidInputError:
        statuses, seconds = {cell.name: "missing" for cell in cells}, []
    else:
        found = {cell.name: store.cell(cell.name) for cell in cells}
        statuses = {name: cell.status for name, cell in found.items()}
        seconds = [cell.record["seconds"] for cell in found.values() if cell.record is not None]
    due = sum(status in ("missing", "failed") for status in statuses.values())
    total = fmean(seconds) * due / processes if seconds else None
    said = "no finished cell to estimate the time from" if total is None else f"about {total:.0f} s"
    return {
        "study": ", ".join(study.name for study in studies),
        "cells": len(cells),
        "due": due,
        "seconds": total,
        "estimate": said,
    }
