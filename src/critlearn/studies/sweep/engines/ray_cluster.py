"""A Ray cluster: connected to, or started here; what a task takes of it; what was raised on it."""

import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from critlearn.errors import InvalidInputError, MissingPackageError

_PATIENCE: Final = 5.0
"""Seconds in which an address must answer: Ray itself would try for two minutes, and then end the program."""


@dataclass(frozen=True)
class Resources:
    """What one task takes of a machine.

    Parameters
    ----------
    num_cpus
        Processors; as many threads as whole ones.
    num_gpus
        GPUs; parts of one are shared.
    memory
        Bytes that are set aside; none if None.

    Raises
    ------
    InvalidInputError
        If one is out of range.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory: int | None = None

    def __post_init__(self) -> None:
        """Refuse amounts out of range."""
        if not (math.isfinite(self.num_cpus) and self.num_cpus > 0):
            raise InvalidInputError(f"a task needs more than 0 processors; got {self.num_cpus:g}")
        if not (math.isfinite(self.num_gpus) and self.num_gpus >= 0):
            raise InvalidInputError(f"the number of GPUs must not be negative; got {self.num_gpus:g}")
        if self.memory is not None and self.memory <= 0:
            raise InvalidInputError(f"the memory must be above 0 bytes; got {self.memory}")

    @property
    def threads(self) -> int:
        """Threads of a task."""
        return max(1, int(self.num_cpus))

    @property
    def named(self) -> dict[str, float]:
        """Amounts above 0, by the name that Ray has for them."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in amounts.items() if amount}

    def fitting(self, machine: dict[str, float]) -> int:
        """Tasks that a machine can run at once."""
        return int(min(machine.get(name, 0.0) // amount for name, amount in self.named.items()))


@contextmanager
def connected(address: str | None, processes: int | None, resources: Resources) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; a connection that was there before stays.

    Parameters
    ----------
    address
        Address of a running cluster; if None that of the environment variable ``RAY_ADDRESS``, or else a cluster is
        started here and ended.
    processes
        Tasks at once that a cluster started here has room for; all processors if None.
    resources
        What one task takes.

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
        # Ray sends a token only if it is told to before it is loaded; told later, it cannot start a cluster of its own.
        # A cluster that wants no token takes no notice.
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
        _answering(address)
        settings["address"] = address
    try:
        ray.init(**settings)
    except (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError) as problem:
        reason = " ".join(str(problem).split())[:300]
        if address is None:
            raise InvalidInputError(f"no Ray cluster can be started: {reason}") from None
        told = os.environ.get("RAY_AUTH_MODE") == "token" and _has_token()
        hint = "" if told else "; for one with a token set RAY_AUTH_TOKEN, and RAY_AUTH_MODE=token before Ray is loaded"
        raise InvalidInputError(f'no Ray cluster at "{address}": {reason}{hint}') from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _has_token() -> bool:
    """Whether there is a token for a cluster, where Ray looks for it."""
    known = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return known or Path("~/.ray/auth_token").expanduser().exists()


def _answering(address: str) -> None:
    """Refuse an address where nothing listens."""
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


def room_for(ray: ModuleType, resources: Resources) -> int:
    """Tasks that the cluster can run at once.

    Raises
    ------
    InvalidInputError
        If no machine there has what a task takes.
    """
    room = sum(resources.fitting(node["Resources"]) for node in ray.nodes() if node["Alive"])
    if not room:
        raise InvalidInputError(f"no machine of the cluster has {_listed(resources.named)}: {_machines(ray)}")
    return room


def raised(problem: Any) -> BaseException:
    """What was raised on a machine of the cluster, as it would have been here."""
    cause: BaseException = problem.cause
    if isinstance(cause, ImportError):
        return InvalidInputError(f"a machine of the cluster lacks what is installed here ({cause}): install it there")
    return cause


def _machines(ray: ModuleType) -> str:
    """What the machines of a cluster have."""
    found = [_listed(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    return "; ".join(sorted(set(found))) or "it has no machine"


def _listed(amounts: dict[str, float]) -> str:
    parts = [f"{amounts[name]:g} {name}" for name in ("CPU", "GPU") if amounts.get(name)]
    if memory := amounts.get("memory"):
        parts.append(f"{memory / 2**30:.3g} GiB of memory")
    return ", ".join(parts) or "nothing"
