"""Series over time from files: an array, a table, or checkpoints of a network in the order of their names."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from critlearn.cli.columns import choose_column, read_columns
from critlearn.dynamics.series import check_times
from critlearn.errors import DataError, InvalidInputError
from critlearn.numerics.array_file import LARGEST_CONTENT, first_line, read_array

_CHECKPOINT: Final = ".safetensors"

_TIMES: Final = ("time", "times", "step", "steps", "t")
"""Names of columns that are times unless another one is named."""

_MOST_BYTES: Final = 512 << 20
"""Bytes of the values that are kept of checkpoints: half of the memory that the command may need."""

_KINDS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""NumPy's types of the floating-point numbers of a checkpoint; none for bfloat16, the upper half of a float32."""


@dataclass(frozen=True, eq=False)
class SeriesFile:
    """Series of a file, or of many, with its times where they are known."""

    series: np.ndarray
    times: np.ndarray | None
    source: str


def read_series(files: Sequence[str], *, only: str | None, time: str | None, variables: int, seed: int) -> SeriesFile:
    """Read a series.

    Parameters
    ----------
    files
        One ``.npy`` file, which is read in blocks, or one that `critlearn fit` reads as a table; or checkpoints
        ``.safetensors``, one for each time.
    only
        Pattern of the names of tensors, or of columns; all of them if None.
    time
        Column with the times.
    variables
        Number of entries of checkpoints that are kept, drawn at random.
    seed
        Of that.

    Raises
    ------
    DataError
        If a file cannot be read, or checkpoints are of different networks.
    InvalidInputError
        If files of different kinds are given, or numbers in the names of checkpoints are not equally spaced.
    """
    kinds = {Path(file).suffix.lower() for file in files}
    if kinds == {_CHECKPOINT}:
        if time is not None:
            raise InvalidInputError("--time names a column of a table; the times of checkpoints are in their names")
        return _read_checkpoints(files, only, variables, seed)
    if len(files) != 1:
        raise InvalidInputError(
            f"one series is one file, or checkpoints {_CHECKPOINT}; got {len(files)} files of the kinds "
            f"{', '.join(sorted(kinds))}"
        )
    (file,) = files
    if kinds == {".npy"}:
        if only is not None or time is not None:
            raise InvalidInputError("--only and --time choose columns by name, which an array has not")
        return SeriesFile(_mapped(Path(file)), None, file)
    return _read_table(file, only, time)


def natural_order(names: Sequence[str]) -> list[str]:
    """Names in the order of the numbers in them.

    >>> natural_order(["step10", "step9", "step100"])
    ['step9', 'step10', 'step100']
    """

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", name)
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]

    return sorted(names, key=key)


def _mapped(path: Path) -> np.ndarray:
    """Array of a file, of which blocks are read when they are needed."""
    if not path.is_file():
        raise DataError(f'there is no file "{path}"')
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    # An empty array cannot be mapped, a damaged file not be read: the reader of whole files says what is wrong.
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError):
        return read_array(path)


def _read_table(file: str, only: str | None, time: str | None) -> SeriesFile:
    """Series of the columns of a table."""
    columns = read_columns(file)
    if time is None:
        time = next((name for name in columns if name.strip().lower() in _TIMES and len(columns) > 1), None)
    times = None if time is None else choose_column(columns, time, file)
    names = [name for name in columns if name != time and (only is None or fnmatch.fnmatchcase(name, only))]
    if not names:
        raise InvalidInputError(f'no column of "{file}" is a series: it has {", ".join(list(columns)[:8]) or "none"}')
    chosen = [choose_column(columns, name, file) for name in names]
    if len({len(column) for column in chosen}) > 1:
        raise DataError(f'the columns of "{file}" have different lengths')
    return SeriesFile(np.stack(chosen, axis=1).astype(np.float64), times, file)


def _read_checkpoints(files: Sequence[str], only: str | None, variables: int, seed: int) -> SeriesFile:
    """Series of the same entries of checkpoints."""
    if variables < 1:
        raise InvalidInputError(f"--variables is at least 1; got {variables}")
    ordered = natural_order(files)
    _check_numbers(ordered)
    shapes = _tensors(ordered[0], only, None)[1]
    total = sum(shapes.values())
    if not total:
        raise DataError(f'"{ordered[0]}" holds no floating-point numbers{"" if only is None else f" named {only}"}')
    kept = min(variables, total)
    if kept * len(ordered) * np.dtype(np.float32).itemsize > _MOST_BYTES:
        most = _MOST_BYTES // (len(ordered) * np.dtype(np.float32).itemsize)
        raise InvalidInputError(
            f"{kept} entries of {len(ordered)} checkpoints are too many: at most {most} (--variables)"
        )
    drawn = np.sort(np.random.default_rng(seed).choice(total, kept, replace=False))
    series = np.empty((len(ordered), kept), dtype=np.float32)
    for row, file in enumerate(ordered):
        found, sizes = _tensors(file, only, drawn)
        if sizes != shapes:
            raise DataError(
                f'"{file}" is of another network than "{ordered[0]}": its tensors have other names or sizes'
            )
        series[row] = found
    number = f"{len(ordered)} checkpoints" + ("" if kept == total else f", {kept} of {total} entries")
    return SeriesFile(series, None, number)


def _check_numbers(names: Sequence[str]) -> None:
    """Raise if the last number in the names tells that checkpoints are not equally spaced."""
    numbers = [re.findall(r"\d+", Path(name).stem) for name in names]
    if len(names) < 3 or any(not found or len(found[-1]) > 15 for found in numbers):
        return
    last = np.array([int(found[-1]) for found in numbers])
    # Where it begins again, as steps do in each epoch, it is no time.
    if (np.diff(last) > 0).all():
        check_times(last, len(last))


def _tensors(file: str, only: str | None, entries: np.ndarray | None) -> tuple[np.ndarray | None, dict[str, int]]:
    """Chosen entries of all floating-point tensors of a file, one after the other by name, and the size of each."""
    from safetensors import SafetensorError, deserialize

    path = Path(file)
    if not path.is_file():
        raise DataError(f'there is no file "{file}"')
    if path.stat().st_size > LARGEST_CONTENT:
        raise DataError(f'"{file}" takes more than {LARGEST_CONTENT >> 30} GiB')
    try:
        held = dict(deserialize(path.read_bytes()))
    except (OSError, SafetensorError, ValueError) as problem:
        raise DataError(f'"{file}" is no safetensors file: {first_line(problem)}') from None
    names = [
        name
        for name, tensor in sorted(held.items())
        if tensor["dtype"] in _KINDS and (only is None or fnmatch.fnmatchcase(name, only))
    ]
    sizes = {name: int(np.prod(held[name]["shape"], dtype=np.int64)) for name in names}
    if entries is None:
        return None, sizes
    parts, start = [], 0
    for name in names:
        stop = start + sizes[name]
        first, last = np.searchsorted(entries, [start, stop])
        parts.append(_numbers(held[name]["data"], held[name]["dtype"], entries[first:last] - start))
        start = stop
    return np.concatenate(parts), sizes


def _numbers(data: bytes | bytearray, kind: str, entries: np.ndarray) -> np.ndarray:
    """Entries of a tensor as floating-point numbers."""
    chosen = np.frombuffer(data, dtype=_KINDS[kind])[entries]
    if kind == "BF16":
        return (chosen.astype(np.uint32) << 16).view(np.float32)
    return chosen.astype(np.float32)
