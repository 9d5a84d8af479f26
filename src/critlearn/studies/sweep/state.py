"""State of sweeps: what a store holds of a study, and how long the rest will take."""

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from critlearn.studies.sweep.results.store import CellState, ResultsStore, code_version
from critlearn.studies.sweep.study.cells import expand
from critlearn.studies.sweep.study.schema import Study


@dataclass(frozen=True)
class SweepState:
    """State of one or several studies in a store: the status of every cell, and what went wrong.

    Parameters
    ----------
    study
        Names of the studies.
    statuses
        ``finished``, ``failed``, ``corrupt`` or ``missing``, by the name of the cell.
    failures, corrupt
        Reason why a cell failed, or what is wrong with its files, by the name of the cell.
    other_code
        Finished cells that another version of the code has run.
    """

    study: str
    statuses: dict[str, str]
    failures: dict[str, str]
    corrupt: dict[str, str]
    other_code: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every cell is finished."""
        return all(status == "finished" for status in self.statuses.values())

    def to_dict(self) -> dict[str, Any]:
        """Number of cells of each status, and what went wrong, as plain values."""
        counts = Counter(self.statuses.values())
        return {
            "study": self.study,
            "cells": len(self.statuses),
            **{status: counts[status] for status in ("finished", "failed", "corrupt", "missing")},
            "failures": self.failures,
            "corrupt_cells": self.corrupt,
            "cells_of_other_code": list(self.other_code),
        }


def sweep_state(studies: tuple[Study, ...], location: str) -> SweepState:
    """State of several studies in a store, taken together."""
    store = ResultsStore(location)
    cells = {cell.name: store.cell(cell.name) for study in studies for cell in expand(study)}
    return SweepState(
        ", ".join(study.name for study in studies),
        {name: cell.status for name, cell in cells.items()},
        {name: str(cell.reason) for name, cell in cells.items() if cell.status == "failed"},
        {name: str(cell.reason) for name, cell in cells.items() if cell.status == "corrupt"},
        tuple(name for name, cell in cells.items() if cell.record and cell.record["code"] != code_version()),
    )


def estimate(studies: tuple[Study, ...], location: str, processes: int) -> dict[str, Any]:
    """Number of cells, how many are due, and how many seconds they will take; nothing is written.

    The estimate is the mean time of finished cells of the same studies; the time to start processes is left out.

    Raises
    ------
    InvalidInputError
        If what is at the location is not a store.
    """
    cells = {cell.name: cell for study in studies for cell in expand(study)}.values()
    store = ResultsStore.existing(location)
    found = {cell.name: CellState("missing") if store is None else store.cell(cell.name) for cell in cells}
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
