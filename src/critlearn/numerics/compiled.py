"""How kernels are compiled: once, kept on disk, without Python's lock."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Kernel in machine code.

    Type checkers that wrap functions at import are taken off first: Numba compiles no wrappers.
    """
    return numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")(inspect.unwrap(function))
