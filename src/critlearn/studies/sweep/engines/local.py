"""Local engine: run cells in processes of one thread each, which end with the process that started them."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from typing import Any, Final

from critlearn.errors import InvalidInputError
from critlearn.studies.sweep.study.cells import Cell

ATTEMPTS: Final = 2
"""Number of attempts at a cell whose process is killed: once may be chance, twice is the cell."""

LEAST_MEMORY: Final = 2**29
"""Fewest bytes of data of a process: even a small cell takes more than 0.4 GiB, most of it for libraries."""

_CELLS_PER_PROCESS: Final = 256
"""Cells after which a process is replaced: starting one costs little beside them, and leaked memory is freed."""
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables from which numerical libraries take their number of threads when they are loaded."""

Task = Callable[[Cell], str | None]
"""Function that runs a cell and stores its result; it returns None, or the reason why the cell failed."""


@dataclass
class _Worker:
    """Worker process with its connection, the cell that it runs, and the number of cells so far."""

    process: BaseProcess
    connection: Connection
    cell: Cell | None = None
    cell_count: int = 0

    def start(self, cell: Cell) -> None:
        """Send it a cell to run; whether it has died is found when its answer is awaited."""
        self.cell, self.cell_count = cell, self.cell_count + 1
        with suppress(OSError):
            self.connection.send(cell)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


def run_locally(
    cells: tuple[Cell, ...], task: Task, *, processes: int, memory: int | None = None
) -> Generator[tuple[Cell, str | None]]:
    """Run cells; yield each as it finishes, with None or the reason why it failed.

    When a process is killed, only its own cell is lost; it is tried once more. A cell is sent to a process only when
    that is free.

    Parameters
    ----------
    cells
        Cells to be run.
    task
        Runs one cell and stores its result; must be importable by name. What it raises is raised here.
    processes
        Cells at once.
    memory
        Bytes of data that one process may hold; an equal share of the physical memory if None. Only Linux enforces it.
    """
    share = memory_share(processes, memory)
    waiting, attempts = deque(cells), Counter[str]()
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.cell for worker in workers):
            worn = [worker for worker in workers if worker.cell is None and worker.cell_count >= _CELLS_PER_PROCESS]
            for worker in worn:
                workers.remove(worker)
                worker.end()
            while waiting and (free := _free(workers, processes, task, share)):
                attempts[waiting[0].name] += 1
                free.start(waiting.popleft())
            for worker, cell, answer in _answers(workers):
                worker.cell = None
                if isinstance(answer, BaseException) and not isinstance(answer, EOFError):
                    raise answer
                if isinstance(answer, EOFError):
                    workers.remove(worker)
                    worker.end()
                    if attempts[cell.name] < ATTEMPTS:
                        waiting.appendleft(cell)
                        continue
                    answer = "its process was killed, perhaps for want of memory"
                yield cell, answer
    finally:
        for worker in workers:
            worker.end()


def memory_share(processes: int, memory: int | None) -> int:
    """Bytes of data that one process may hold; an equal share of the physical memory if None.

    Raises
    ------
    InvalidInputError
        If that is too little for any process.
    """
    share = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // processes if memory is None else memory
    if share < LEAST_MEMORY:
        whose = f"an equal share for {processes} processes" if memory is None else "the memory of a cell"
        raise InvalidInputError(
            f"{whose} is {share / 2**30:.2g} GiB; a process needs at least {LEAST_MEMORY / 2**30:.2g} GiB to begin"
        )
    return share


def _free(workers: list[_Worker], processes: int, task: Task, memory: int) -> _Worker | None:
    """Idle worker, started if another one is allowed; None if all are busy."""
    for worker in workers:
        if worker.cell is None:
            return worker
    if len(workers) == processes:
        return None
    # Not forked: locks and thread pools of the libraries that the parent has loaded do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_serve, args=(its, task, memory), daemon=True)
    with _one_thread():
        process.start()
    # Without a copy of its end here, the pipe closes when the process ends.
    its.close()
    workers.append(_Worker(process, ours))
    return workers[-1]


def _answers(workers: list[_Worker]) -> Iterator[tuple[_Worker, Cell, Any]]:
    """Answers of the workers that are done: None, a reason or an exception; EOFError for one that died."""
    busy = {worker.connection: (worker, worker.cell) for worker in workers if worker.cell is not None}
    for connection in wait_for_any(list(busy)):
        assert isinstance(connection, Connection)
        try:
            yield *busy[connection], connection.recv()
        except (EOFError, ConnectionError):
            yield *busy[connection], EOFError()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Context in which processes start with one thread in every numerical library."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _serve(connection: Connection, task: Task, memory: int) -> None:
    """Run cells in a worker process until the connection closes."""
    import torch

    # Ctrl-C reaches all processes of a terminal; the parent process decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    if sys.platform == "linux":
        import resource

        # A cell that asks for more gets a MemoryError and is reported, before the system kills some other process.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            cell = connection.recv()
        except EOFError:
            return
        try:
            answer: Any = task(cell)
        except Exception as problem:
            answer = problem
        connection.send(answer)


def _end_with_parent() -> None:
    """Wait until the parent process has ended, then end this one at once."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel])
    os._exit(1)
