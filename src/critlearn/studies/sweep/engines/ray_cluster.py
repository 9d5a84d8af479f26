"""Connection to a Ray cluster, or one started here; the resources of a task; and exceptions raised on the cluster."""

import math
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from critlearn.errors import InvalidInputError, MissingPackageError

_PATIENCE: Final = 5.0
"""Seconds in which an address must answer: Ray itself would try for two minutes, and then end the process."""

_LAST_SECONDS: Final = 1.0
"""Seconds that running tasks have to end before they are cancelled."""


@dataclass(frozen=True)
class Resources:
    """Resources that one task takes of a machine.

    Parameters
    ----------
    num_cpus
        Number of processors; the task has one thread for each whole one.
    num_gpus
        Number of GPUs; a fraction shares one.
    memory
        Bytes that are reserved; none if None.

    Raises
    ------
    InvalidInputError
        If one is out of range.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory: int | None = None

    def __post_init__(self) -> None:
        """Raise if an amount is out of range."""
        if not (math.isfinite(self.num_cpus) and self.num_cpus > 0):
            raise InvalidInputError(f"a task needs more than 0 processors; got {self.num_cpus:g}")
        if not (math.isfinite(self.num_gpus) and self.num_gpus >= 0):
            raise InvalidInputError(f"the number of GPUs must not be negative; got {self.num_gpus:g}")
        if self.memory is not None and self.memory <= 0:
            raise InvalidInputError(f"the memory must be above 0 bytes; got {self.memory}")

    @property
    def threads(self) -> int:
        """Number of threads of a task."""
        return max(1, int(self.num_cpus))

    @property
    def amounts(self) -> dict[str, float]:
        """Amounts above 0, by Ray's name of the resource."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in amounts.items() if amount}

    def capacity_of(self, machine: dict[str, float]) -> int:
        """Number of tasks that a machine can run at once."""
        return int(min(machine.get(name, 0.0) // amount for name, amount in self.amounts.items()))


@contextmanager
def connected_cluster(address: str | None, processes: int | None, resources: Resources) -> Iterator[ModuleType]:
    """Context in which Ray is connected to a cluster; a connection from before is used, and stays open.

    Parameters
    ----------
    address
        Address of a running cluster; if None that of the environment variable ``RAY_ADDRESS``, or else a cluster is
        started here and ended.
    processes
        Tasks at once that a cluster started here has room for; all processors if None.
    resources
        Resources that one task takes.

    Raises
    ------
    MissingPackageError
        If Ray is not installed.
    InvalidInputError
        If nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    if address not in (None, "local") and _has_token() and "ray" not in sys.modules:
        # Ray sends a token only if this variable is set before Ray is imported; set later, it cannot start a cluster of
        # its own. A cluster without tokens ignores it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise MissingPackageError('the engine "ray" needs Ray: pip install "critlearn[ray]"') from None
    if ray.is_initialized():
        yield ray
        return
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address in (None, "local"):
        settings |= {"address": "local", "include_dashboard": False}
        if processes is not None:
            settings["num_cpus"] = math.ceil(processes * resources.num_cpus)
    else:
        assert address is not None
        _check_answers(address)
        settings["address"] = address
    try:
        ray.init(**settings)
    except (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError) as problem:
        reason = " ".join(str(problem).split())[:300]
        if address is None:
            raise InvalidInputError(f"no Ray cluster can be started: {reason}") from None
        hint = "; for one with a token set RAY_AUTH_TOKEN, and RAY_AUTH_MODE=token before Ray is loaded"
        if os.environ.get("RAY_AUTH_MODE") == "token" and _has_token():
            hint = ""
        raise InvalidInputError(f'no Ray cluster at "{address}": {reason}{hint}') from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _has_token() -> bool:
    """Whether Ray will find a token for a cluster."""
    known = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return known or Path("~/.ray/auth_token").expanduser().exists()


def _check_answers(address: str) -> None:
    """Raise if nothing listens at an address."""
    if address == "auto":
        return
    allowed = "allowed are HOST:PORT, ray://HOST:PORT and auto"
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise InvalidInputError(f'"{address}" is not the address of a Ray cluster ({problem}); {allowed}') from None
    if parts.scheme not in ("", "ray") or not host or port is None:
        raise InvalidInputError(f'"{address}" is not the address of a Ray cluster; {allowed}')
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as problem:
        raise InvalidInputError(f'no Ray cluster answers at "{address}": {problem.strerror or problem}') from None


def capacity(ray: ModuleType, resources: Resources) -> int:
    """Number of tasks that the cluster can run at once.

    Raises
    ------
    InvalidInputError
        If no machine there has what a task takes.
    """
    tasks = sum(resources.capacity_of(node["Resources"]) for node in ray.nodes() if node["Alive"])
    if not tasks:
        raise InvalidInputError(f"no machine of the cluster has {_listed(resources.amounts)}: {_machines(ray)}")
    return tasks


def cancel_unfinished(ray: ModuleType, tasks: Sequence[Any], room: int) -> None:
    """Cancel the tasks that have not finished; those that run get a second to end by themselves.

    Ray kills the process that submitted a task ("Tried to complete task that was not pending") if it is cancelled just
    as it ends, and tasks that fail for the same reason end together. A task still in the queue is safe to cancel.

    Parameters
    ----------
    ray
        Ray, connected.
    tasks
        References to the tasks' results, in the order of submission, in which Ray starts them.
    room
        Number of tasks that the cluster can run at once.
    """
    unfinished = _unfinished(ray, tasks, 0.0)
    # From the end of the queue, lest one is started meanwhile.
    for task in reversed(unfinished[room:]):
        ray.cancel(task, force=True)
    for task in _unfinished(ray, unfinished[:room], _LAST_SECONDS):
        ray.cancel(task, force=True)


def _unfinished(ray: ModuleType, tasks: Sequence[Any], seconds: float) -> list[Any]:
    """Tasks that have no result yet when all have one or the seconds are over, in the order given."""
    if not tasks:
        return []
    waiting = set(ray.wait(list(tasks), num_returns=len(tasks), timeout=seconds, fetch_local=False)[1])
    return [task for task in tasks if task in waiting]


def original_exception(problem: Any) -> BaseException:
    """Exception as it was raised on a machine of the cluster."""
    cause: BaseException = problem.cause
    if isinstance(cause, ImportError):
        return InvalidInputError(f"a machine of the cluster lacks what is installed here ({cause}): install it there")
    return cause


def _machines(ray: ModuleType) -> str:
    """Resources of the machines of a cluster, in words."""
    found = [_listed(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    return "; ".join(sorted(set(found))) or "it has no machine"


def _listed(amounts: dict[str, float]) -> str:
    parts = [f"{amounts[name]:g} {name}" for name in ("CPU", "GPU") if amounts.get(name)]
    if memory := amounts.get("memory"):
        parts.append(f"{memory / 2**30:.3g} GiB of memory")
    return ", ".join(parts) or "nothing"
