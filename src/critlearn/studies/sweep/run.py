"""Sweeps: run the cells of a study that a store does not hold yet."""

import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from critlearn.errors import CritlearnError
from critlearn.studies.sweep.engines.local import Task, run_locally
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.cells import Cell
from critlearn.studies.sweep.study.preflight import check_study
from critlearn.studies.sweep.study.schema import Study

Engine = Callable[[tuple[Cell, ...], Task], Generator[tuple[Cell, str | None]]]
"""Function that runs cells by a task and yields each, with None or the reason why it failed."""


def run_cell(cell: Cell, *, location: str) -> str | None:
    """Run one cell and store its result; return None, or the reason why it failed.

    Raises
    ------
    OutputError
        If the result cannot be written.
    """
    store = ResultsStore(location)
    try:
        result = cell.run()
    except (CritlearnError, MemoryError, ArithmeticError, RuntimeError, ValueError) as problem:
        return _reason(problem)
    store.write(cell, result)
    return None


def _reason(problem: Exception) -> str:
    """Kind and message of an error in one line, with the place of one that the program did not raise by itself."""
    # A MemoryError has no message.
    told = f"{type(problem).__name__}: {' '.join(str(problem).split())[:500] or 'its process may hold no more'}"
    if isinstance(problem, (CritlearnError, MemoryError)):
        return told
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{told} (line {last.lineno} of {Path(last.filename).name})"


def sweep(study: Study, location: str, engine: Engine | None = None) -> Iterator[tuple[Cell, str | None]]:
    """Run the missing cells of a study; yield each as it finishes, with None or the reason why it failed.

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
        If something that a cell names does not exist; nothing is written then.
    OutputError
        If the store is held by another sweep, or cannot be written to; finished cells stay.
    """
    cells = check_study(study)
    store = ResultsStore(location, create=True)
    with store.locked():
        store.register(study, cells)
        due = tuple(cell for cell in cells if store.cell(cell.name).due)
        task = partial(run_cell, location=store.address)
        # Closed before the lock is released, so that no process writes to the store after that.
        with closing((engine or partial(run_locally, processes=1))(due, task)) as running:
            for cell, reason in running:
                if reason is not None:
                    store.write_failure(cell, reason)
                yield cell, reason
