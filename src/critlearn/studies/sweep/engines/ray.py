"""Ray engine: run cells on the machines of a Ray cluster."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any, Final

from critlearn.studies.sweep.engines.local import ATTEMPTS, Task
from critlearn.studies.sweep.engines.ray_cluster import (
    Resources,
    cancel_unfinished,
    capacity,
    connected_cluster,
    original_exception,
)
from critlearn.studies.sweep.study.cells import Cell

_AHEAD: Final = 2
"""Cells submitted for each that the cluster can run: enough that it never waits, few enough for its memory."""


def run_on_ray(
    cells: tuple[Cell, ...],
    task: Task,
    *,
    address: str | None = None,
    resources: Resources | None = None,
    processes: int | None = None,
) -> Generator[tuple[Cell, str | None]]:
    """Run cells; yield each as it finishes, with None or the reason why it failed.

    When a process or a machine dies, only its own cells are lost; they are tried once more. Only as many cells as keep
    the cluster busy are submitted at a time.

    Parameters
    ----------
    cells
        Cells to be run.
    task
        Runs one cell and stores its result, on a machine of the cluster, where it must be importable by name. What it
        raises is raised here.
    address
        Address of a running cluster (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``); if None that of the environment
        variable ``RAY_ADDRESS``, or else a cluster is started here.
    resources
        Resources of one cell; one processor if None.
    processes
        Cells at once; as many as the cluster has room for if None.

    Raises
    ------
    InvalidInputError
        If Ray is not installed, nothing answers at the address, or no machine there has what a cell takes.
    """
    resources = resources or Resources()
    with connected_cluster(address, processes, resources) as ray:
        room = capacity(ray, resources)
        # No retries by Ray: attempts are counted here, and a cell that is lost twice is reported.
        remote = ray.remote(
            num_cpus=resources.num_cpus, num_gpus=resources.num_gpus, memory=resources.memory, max_retries=0
        )(_run)
        limit = min(_AHEAD * room, processes or _AHEAD * room)
        yield from _in_flight(ray, cells, lambda cell: remote.remote(task, cell, resources.threads), limit, room)


def _in_flight(
    ray: ModuleType, cells: tuple[Cell, ...], start: Callable[[Cell], Any], limit: int, room: int
) -> Iterator[tuple[Cell, str | None]]:
    """Yield cells as they finish, with at most ``limit`` of them submitted at a time, of which ``room`` can run."""
    waiting, attempts = deque(cells), Counter[str]()
    running: dict[Any, Cell] = {}
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                cell = waiting.popleft()
                attempts[cell.name] += 1
                running[start(cell)] = cell
            for done in ray.wait(list(running), num_returns=1)[0]:
                cell = running.pop(done)
                try:
                    yield cell, ray.get(done)
                except ray.exceptions.RayTaskError as problem:
                    raise original_exception(problem) from None
                except ray.exceptions.RayError as problem:
                    if attempts[cell.name] < ATTEMPTS:
                        waiting.appendleft(cell)
                    else:
                        yield cell, f"its process or machine was lost ({type(problem).__name__})"
    finally:
        cancel_unfinished(ray, tuple(running), room)


def _run(task: Task, cell: Cell, threads: int) -> str | None:
    """Run a cell on a set number of threads, so that sums do not depend on the machine's number of processors."""
    import torch

    torch.set_num_threads(threads)
    return task(cell)
