"""Local engine: cells on processes of one thread each, which end with the process that started them."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import Final

from critlearn.studies.cells import Cell

ATTEMPTS: Final = 2
"""Times that a cell is tried whose process is killed."""

_CELLS_PER_PROCESS: Final = 64
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Task = Callable[[Cell], str | None]


def run_locally(
    cells: tuple[Cell, ...], task: Task, *, processes: int, memory: int | None = None
) -> Iterator[tuple[Cell, str | None]]:
    """Cells as they finish, each with None or the reason why it failed.

    Parameters
    ----------
    cells
        What is to be run.
    task
        Runs and keeps one cell; must be importable by name.
    processes
        Cells at once.
    memory
        Bytes of data that one process may hold; an equal share of the physical memory if None. Only Linux bounds it.
    """
    share = memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // processes
    waiting = list(cells)
    while waiting:
        lost: list[Cell] = []
        for cell, reason, broken in _round(waiting, task, processes, share):
            if broken:
                lost.append(cell)
            else:
                yield cell, reason
        # The process that dies takes the round with it; alone, a cell shows whether it was the cause.
        waiting = []
        for cell in lost:
            yield cell, _alone(cell, task, share)


def _round(cells: list[Cell], task: Task, processes: int, memory: int) -> Iterator[tuple[Cell, str | None, bool]]:
    pool = _pool(min(processes, len(cells)), memory)
    try:
        pending: dict[Future[str | None], Cell] = {pool.submit(task, cell): cell for cell in cells}
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                cell = pending.pop(future)
                try:
                    yield cell, future.result(), False
                except BrokenProcessPool:
                    yield cell, None, True
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone(cell: Cell, task: Task, memory: int) -> str | None:
    """Result of a cell that is tried by itself."""
    for _ in range(ATTEMPTS):
        with _pool(1, memory) as pool:
            try:
                return pool.submit(task, cell).result()
            except BrokenProcessPool:
                continue
    return "its process was killed, perhaps for want of memory"


def _pool(processes: int, memory: int) -> ProcessPoolExecutor:
    # Read by the numerical libraries when a spawned process loads them.
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(memory,),
        max_tasks_per_child=_CELLS_PER_PROCESS,
    )


def _start(memory: int) -> None:
    """Bound threads and memory, and end with the parent."""
    import torch

    torch.set_num_threads(1)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
