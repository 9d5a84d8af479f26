"""Ray engine: cells on the machines of a Ray cluster."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any, Final

from critlearn.studies.sweep.engines.local import ATTEMPTS, Task
from critlearn.studies.sweep.engines.ray_cluster import Resources, connected, raised, room_for
from critlearn.studies.sweep.study.cells import Cell

_AHEAD: Final = 2
"""Cells handed to the cluster for each that it can run: enough that it never waits, few enough to hold."""


def run_on_ray(
    cells: tuple[Cell, ...],
    task: Task,
    *,
    address: str | None = None,
    resources: Resources | None = None,
    processes: int | None = None,
) -> Generator[tuple[Cell, str | None]]:
    """Cells as they finish, each with None or the reason why it failed.

    A process or a machine that dies takes only its cells with it, which are tried once more. No more cells are handed
    to the cluster than keep it busy.

    Parameters
    ----------
    cells
        What is to be run.
    task
        Runs and keeps one cell, on a machine of the cluster; must be importable by name there. What it raises is raised
        here.
    address
        Address of a running cluster (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``); if None that of the environment
        variable ``RAY_ADDRESS``, or else a cluster is started here.
    resources
        What one cell takes; one processor if None.
    processes
        Cells at once; as many as the cluster has room for if None.

    Raises
    ------
    InvalidInputError
        If Ray is not installed, nothing answers at the address, or no machine there has what a cell takes.
    """
    resources = resources or Resources()
    with connected(address, processes, resources) as ray:
        room = room_for(ray, resources)
        remote = ray.remote(
            num_cpus=resources.num_cpus, num_gpus=resources.num_gpus, memory=resources.memory, max_retries=0
        )(_run)
        limit = min(_AHEAD * room, processes or _AHEAD * room)
        yield from _in_flight(ray, cells, lambda cell: remote.remote(task, cell, resources.threads), limit)


def _in_flight(
    ray: ModuleType, cells: tuple[Cell, ...], start: Callable[[Cell], Any], limit: int
) -> Iterator[tuple[Cell, str | None]]:
    """Cells as they finish, of which at most ``limit`` are with the cluster."""
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
                    raise raised(problem) from None
                except ray.exceptions.RayError as problem:
                    if attempts[cell.name] < ATTEMPTS:
                        waiting.appendleft(cell)
                    else:
                        yield cell, f"its process or machine was lost ({type(problem).__name__})"
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _run(task: Task, cell: Cell, threads: int) -> str | None:
    """Run a cell on so many threads, where sums of floating-point numbers do not depend on the machine's processors."""
    import torch

    torch.set_num_threads(threads)
    return task(cell)
