"""Local engine: cells on processes of one thread each, which end with the process that started them."""

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
"""Times that a cell is tried whose process is killed."""

LEAST_MEMORY: Final = 2**29
"""Bytes of data below which a process cannot begin: a small cell takes more than 0.4 GiB, most of it for libraries."""

_CELLS_PER_PROCESS: Final = 256
"""So many that starting a process costs little beside them; what libraries have left in memory goes with it."""
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Task = Callable[[Cell], str | None]


@dataclass
class _Worker:
    """A process, what it is asked and answers through, the cell that it runs, and how many it was given."""

    process: BaseProcess
    connection: Connection
    cell: Cell | None = None
    given: int = 0

    def give(self, cell: Cell) -> None:
        """Let it run a cell; that it has died is seen where its answer is awaited."""
        self.cell, self.given = cell, self.given + 1
        with suppress(OSError):
            self.connection.send(cell)

    def end(self) -> None:
        """Stop it, whatever it does."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


def run_locally(
    cells: tuple[Cell, ...], task: Task, *, processes: int, memory: int | None = None
) -> Generator[tuple[Cell, str | None]]:
    """Cells as they finish, each with None or the reason why it failed.

    A process that is killed takes only its own cell with it, which is tried once more. A cell is handed to a process
    when that is free, and not before.

    Parameters
    ----------
    cells
        What is to be run.
    task
        Runs and keeps one cell; must be importable by name. What it raises is raised here.
    processes
        Cells at once.
    memory
        Bytes of data that one process may hold; an equal share of the physical memory if None. Only Linux bounds it.
    """
    share = memory_share(processes, memory)
    waiting, attempts = deque(cells), Counter[str]()
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.cell for worker in workers):
            for worker in [worker for worker in workers if worker.cell is None and worker.given >= _CELLS_PER_PROCESS]:
                workers.remove(worker)
                worker.end()
            while waiting and (free := _free(workers, processes, task, share)):
                attempts[waiting[0].name] += 1
                free.give(waiting.popleft())
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
    """Bytes of data that one process may hold: what is given, or an equal share of the physical memory.

    Raises
    ------
    InvalidInputError
        If no process can begin with that.
    """
    share = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // processes if memory is None else memory
    if share < LEAST_MEMORY:
        whose = f"an equal share for {processes} processes" if memory is None else "the memory of a cell"
        raise InvalidInputError(
            f"{whose} is {share / 2**30:.2g} GiB; a process needs at least {LEAST_MEMORY / 2**30:.2g} GiB to begin"
        )
    return share


def _free(workers: list[_Worker], processes: int, task: Task, memory: int) -> _Worker | None:
    """A worker without a cell, started if there may be one more; None if all are at work."""
    for worker in workers:
        if worker.cell is None:
            return worker
    if len(workers) == processes:
        return None
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_serve, args=(its, task, memory), daemon=True)
    with _one_thread():
        process.start()
    # With no copy of its end here, the end of the process is the end of the pipe.
    its.close()
    workers.append(_Worker(process, ours))
    return workers[-1]


def _answers(workers: list[_Worker]) -> Iterator[tuple[_Worker, Cell, Any]]:
    """What the workers that are done answered: None, a reason or what was raised; an EOFError of one that died."""
    busy = {worker.connection: (worker, worker.cell) for worker in workers if worker.cell is not None}
    for connection in wait_for_any(list(busy)):
        assert isinstance(connection, Connection)
        try:
            yield *busy[connection], connection.recv()
        except (EOFError, ConnectionError):
            yield *busy[connection], EOFError()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Environment in which numerical libraries start with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _serve(connection: Connection, task: Task, memory: int) -> None:
    """Run cells until there are no more; the process that asks ends this one."""
    import torch

    # Ctrl-C reaches all processes of a terminal; the asking one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    if sys.platform == "linux":
        import resource

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
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel])
    os._exit(1)
