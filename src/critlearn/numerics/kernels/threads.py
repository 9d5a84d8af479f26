"""Plain threads for kernels that release Python's lock: Numba's own pool and torch's would get in each other's way."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch


def threads() -> int:
    """Threads that kernels may use: as many as torch does."""
    return max(1, min(torch.get_num_threads(), _cores()))


def on_threads(kernel: Callable[..., None], pieces: Iterable[tuple[Any, ...]]) -> None:
    """Call a kernel with the arguments of each piece, at the same time, and wait for all."""
    waiting = list(pieces)
    if len(waiting) == 1:
        kernel(*waiting[0])
        return
    list(_pool().map(lambda piece: kernel(*piece), waiting))


@cache
def _cores() -> int:
    """Cores of the machine; asking takes long."""
    return os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that live as long as the process."""
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="critlearn-kernel")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool but not its threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
