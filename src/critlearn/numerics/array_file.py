"""Named arrays from a file that anybody may have made: nothing is unpickled, every fault becomes one line."""

import math
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

_LARGEST_CONTENT: Final = 4 << 30
"""Bytes of all arrays of a file together: what a machine with 8 GiB can hold beside a network."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file, by name.

    Raises
    ------
    DataError
        If the file is missing, or is not an ``.npz`` file of plain arrays.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_sizes(path)
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
    return arrays


def _check_sizes(path: Path) -> None:
    """Raise ValueError if arrays are larger than is plausible or than their file says, before any is expanded."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _LARGEST_CONTENT:
            raise ValueError(f"its arrays take more than {_LARGEST_CONTENT >> 30} GiB")
        for member in members:
            with archive.open(member) as file:
                if not member.filename.endswith(".npy"):
                    raise ValueError(f'it holds "{member.filename}", which is no array')
                version = np.lib.format.read_magic(file)
                read_header = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read_header = np.lib.format.read_array_header_2_0
                shape, _, kind = read_header(file)
                if math.prod(shape) * kind.itemsize != member.file_size - file.tell() and not kind.hasobject:
                    raise ValueError(f'"{member.filename}" says that its shape is {shape}, and is not of that size')


def first_line(problem: BaseException) -> str:
    """First line of a message."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
