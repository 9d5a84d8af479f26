"""Compilation of kernels: once, kept on disk, run without Python's lock."""

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function into a kernel of machine code.

    Type checkers that wrap functions at import are taken off first: Numba compiles no wrappers. What is kept on disk is
    found again by the kernel's name, file and line, and forgotten when that file changes. Kernels and constants of
    other files that it uses become part of its machine code, so that their state is made part of the name.
    """
    plain: Any = inspect.unwrap(function)
    used = _used(plain)
    if used:
        plain.__qualname__ += "-" + hashlib.sha256("\n".join(sorted(used)).encode()).hexdigest()[:12]
    # NumPy's error model: a division by zero gives infinity or NaN, and costs no test.
    return numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")(plain)


def _used(function: Any) -> set[str]:
    """Kernels of other files that stand beside a function, with the state of their files, and constants."""
    found: set[str] = set()
    for name, value in function.__globals__.items():
        if isinstance(value, bool | int | float | np.number):
            found.add(f"{name}={value!r}")
        kernel = getattr(value, "py_func", None)
        if kernel is not None and kernel.__module__ != function.__module__:
            found.add(_state(kernel.__code__.co_filename))
            found |= _used(kernel)
    return found


@cache
def _state(file: str) -> str:
    """Name, size and time of change of a file."""
    status = os.stat(file)
    return f"{os.path.basename(file)} {status.st_size} {status.st_mtime_ns}"
