"""Named arrays from a file that anybody may have made: nothing is unpickled, every fault becomes one line."""

import gzip
import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import numpy as np

from critlearn.errors import DataError, first_line
from critlearn.reading.limits import LARGEST_CONTENT, LARGEST_EXPANDED

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


@contextmanager
def _by_any_python() -> Iterator[None]:
    """Read without NumPy's warning of headers that Python 2 wrote: they are read well, only slowly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional", UserWarning)
        yield


@_by_any_python()
def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file, by name.

    Raises
    ------
    DataError
        If the file is missing, or is not an ``.npz`` file of plain arrays.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                single = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
            raise ValueError("it is a single array without a name" if single else "it is no .npz archive")
        _check_sizes(path)
        stored = np.load(path, allow_pickle=False)
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


@_by_any_python()
def read_array(path: Path, *, compressed: bool = False) -> np.ndarray:
    """Read the array of an ``.npy`` file, which may be compressed with gzip.

    Raises
    ------
    DataError
        If the file cannot be read, is not an ``.npy`` file of plain values, or holds less than it says.
    """
    try:
        with io.BytesIO(expanded_gzip(path, LARGEST_EXPANDED)) if compressed else path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            # Memory is reserved as the header says: what it says must be there.
            needed = _size_within(file, size)
            if needed > LARGEST_CONTENT:
                raise ValueError(f"it takes more than {LARGEST_CONTENT >> 30} GiB: fit a part of it")
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except _FAULTS as problem:
        # NumPy's own words advise to unpickle, which runs what is in the file.
        pickled = "allow_pickle" in str(problem) or "Object arrays" in str(problem)
        why = "it holds Python objects; save an array of numbers" if pickled else first_line(problem)
        raise DataError(f'"{path}" cannot be read: {why}') from None


@_by_any_python()
def mapped_array(path: Path) -> np.ndarray:
    """Array of an ``.npy`` file, of which blocks are read when they are needed.

    Raises
    ------
    DataError
        As `read_array`.
    """
    if not path.is_file():
        raise DataError(f'there is no file "{path}"')
    try:
        # The header is looked at first: NumPy would compute with an absurd shape, and warn. No empty one is mapped.
        with path.open("rb") as file:
            empty = _size_within(file, path.stat().st_size) == 0
        return read_array(path) if empty else np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged file cannot be mapped: the reader of whole files says what is wrong.
    except _FAULTS:
        return read_array(path)


def expanded_gzip(path: Path, limit: int) -> bytes:
    """Content of a gzip file, expanded as far as a limit in bytes.

    The size that such a file gives at its end says nothing of a larger one, nor of several parts in a row.

    Raises
    ------
    DataError
        If the file is damaged, or expands to more.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f'"{path}" cannot be read: {first_line(problem)}') from None
    if len(content) > limit:
        raise DataError(f'"{path}" expands to more than {limit >> 20} MiB: expand it yourself, or save it as .npy')
    return content


def _check_sizes(path: Path) -> None:
    """Raise ValueError if arrays are larger than is plausible or than their file says, before any is expanded."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > LARGEST_CONTENT:
            raise ValueError(f"its arrays take more than {LARGEST_CONTENT >> 30} GiB")
        if sum(member.file_size for member in members if member.compress_type) > LARGEST_EXPANDED:
            raise ValueError(f"it expands to more than {LARGEST_EXPANDED >> 20} MiB: save it by numpy.savez or as .npy")
        for member in members:
            with archive.open(member) as file:
                if not member.filename.endswith(".npy"):
                    raise ValueError(f'it holds "{member.filename}", which is no array')
                needed, hold_objects = _size_of_array(file)
                if needed != member.file_size - file.tell() and not hold_objects:
                    raise ValueError(f'"{member.filename}" says that it takes {needed} bytes, and is not of that size')


def _size_within(file: io.BufferedIOBase | IO[bytes], size: int) -> int:
    """Bytes of the array that a file of that size begins with; ValueError if its header says more than there is."""
    needed, hold_objects = _size_of_array(file)
    if needed > size - file.tell() and not hold_objects:
        raise ValueError("it ends before its array does")
    return needed


def _size_of_array(file: io.BufferedIOBase | IO[bytes]) -> tuple[int, bool]:
    """Bytes of an array by its header, which is read, and whether they are Python objects instead."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(file)
    if kind.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError("its values take no bytes, or it has less than none of them")
    return math.prod(shape) * kind.itemsize, kind.hasobject
