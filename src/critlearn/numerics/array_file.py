"""Named arrays from a file that anybody may have made: nothing is unpickled, every fault becomes one line."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from critlearn.errors import DataError

_FAULTS: Final = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    # An absurd shape in a damaged header, a compression or encryption that is not supported, a broken stream.
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions that NumPy, and what it reads with, raise for damaged or foreign files."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file, by name.

    Raises
    ------
    DataError
        If the file is missing, or is not an ``.npz`` file of plain arrays.
    """
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("it is a single array without a name")
        # All at once: NumPy reads an array, and finds it damaged, only when it is asked for.
        with stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise DataError(f'no such file: "{path}"') from None
    except _FAULTS as problem:
        raise DataError(
            f'"{path}" holds no arrays that can be read without unpickling: {first_line(problem)}'
        ) from problem
    odd = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if odd:
        raise DataError(f'"{path}" holds "{odd[0]}", which is no array')
    return arrays


def first_line(problem: BaseException) -> str:
    """First line of a message."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
