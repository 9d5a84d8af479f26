"""A sweep: run the cells of a study that a store does not hold yet."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from critlearn.errors import CritlearnError
from critlearn.studies.sweep.engines.local import Task, run_locally
from critlearn.studies.sweep.results.store import ResultsStore, code_version
from critlearn.studies.sweep.study.cells import Cell, expand
from critlearn.studies.sweep.study.checks import check_study
from critlearn.studies.sweep.study.file import Study

Engine = Callable[[tuple[Cell, ...], Task], Generator[tuple[Cell, str | None]]]


@dataclass(frozen=True)
class SweepState:
    """Where one or several studies stand in a store."""

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
        """Counts and what went wrong, as plain values."""
        counts = Counter(self.statuses.values())
        return {
            "study": self.study,
            "cells": len(self.statuses),
            **{status: counts[status] for status in ("finished", "failed", "corrupt", "missing")},
            "failures": self.failures,
            "corrupt_cells": self.corrupt,
            "cells_of_other_code": list(self.other_code),
        }


def run_cell(cell: Cell, *, location: str) -> str | None:
    """Run and keep one cell; None, or why it failed.

    Raises
    ------
    OutputError
        If it cannot be kept.
    """
    store = ResultsStore(location)
    try:
        result = cell.run()
    except (CritlearnError, MemoryError, ArithmeticError, RuntimeError, ValueError) as problem:
        # Python has no words for want of memory.
        return f"{type(problem).__name__}: {' '.join(str(problem).split())[:500] or 'its process may hold no more'}"
    store.write(cell, result)
    return None


def sweep(study: Study, location: str, engine: Engine | None = None) -> Iterator[tuple[Cell, str | None]]:
    """Run what is missing, and give each cell as it finishes, with None or the reason why it failed.

    Parameters
    ----------
    study
        The study.
    location
        Folder or URL of the store, made if it is not there.
    engine
        Runs cells; one local process if None.

    Raises
    ------
    InvalidInputError
        If a cell cannot be begun, as what it names is not there; nothing is written then.
    OutputError
        If the store is held by another sweep, or cannot be written to; finished cells stay.
    """
    cells = check_study(study)
    store = ResultsStore(location, create=True)
    with store.locked():
        store.register(study, cells)
        due = tuple(cell for cell in cells if store.cell(cell.name).due)
        task = partial(run_cell, location=store.address)
        # Closed before the store is let go: nothing writes to it any more then.
        with closing((engine or partial(run_locally, processes=1))(due, task)) as running:
            for cell, reason in running:
                if reason is not None:
                    store.write_failure(cell, reason)
                yield cell, reason


def sweep_state(studies: tuple[Study, ...], location: str) -> SweepState:
    """Where studies stand, taken together."""
    store = ResultsStore(location)
    cells = {cell.name: store.cell(cell.name) for study in studies for cell in expand(study)}
    return SweepState(
        ", ".join(study.name for study in studies),
        {name: cell.status for name, cell in cells.items()},
        {name: str(cell.reason) for name, cell in cells.items() if cell.status == "failed"},
        {name: str(cell.reason) for name, cell in cells.items() if cell.status == "corrupt"},
        tuple(name for name, cell in cells.items() if cell.record and cell.record["code"] != code_version()),
    )
