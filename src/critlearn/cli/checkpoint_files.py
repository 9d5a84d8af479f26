"""Series of the entries of checkpoints of a network, one file for each time."""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from critlearn.cli.checkpoint_order import order_in_time
from critlearn.cli.columns import listed
from critlearn.errors import DataError, InvalidInputError, first_line
from critlearn.reading.limits import LARGEST_CONTENT

CHECKPOINT: Final = ".safetensors"

_MOST_BYTES: Final = 512 << 20
"""Bytes of the values that are kept of checkpoints: half of the memory that the command may need."""

_KINDS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""NumPy's types of the floating-point numbers that are read; none for bfloat16, the upper half of a float32."""


@dataclass(frozen=True)
class _Layout:
    """What a checkpoint holds: kind and shape of each tensor that is read, by name, and the kinds of all others."""

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    skipped: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: math.prod(shape) for name, (_, shape) in self.tensors.items()}


def read_checkpoints(files: Sequence[str], only: str | None, variables: int, seed: int) -> tuple[np.ndarray, str]:
    """Series of the same entries of checkpoints, and a line that says what it holds.

    Parameters
    ----------
    files
        Checkpoints, in any order.
    only
        Pattern of the names of tensors; all of them if None.
    variables
        Number of entries that are kept, drawn at random.
    seed
        Of that.

    Raises
    ------
    DataError
        If a file cannot be read, or checkpoints are of different networks.
    InvalidInputError
        If the order in time is not known, or its steps are not equal, or too many entries are asked for.
    """
    if variables < 1:
        raise InvalidInputError(f"--variables is at least 1; got {variables}")
    ordered, time = order_in_time(files)
    layout = _layout(_held(ordered[0]), only)
    total = sum(layout.sizes.values())
    skipped = [f"{name} ({kind})" for name, kind in layout.skipped.items()]
    left_out = f"; skipped, as only {', '.join(_KINDS)} are read: {listed(skipped)}" if skipped else ""
    if not total:
        named = "" if only is None else f" named {only}"
        raise DataError(f'"{ordered[0]}" holds no floating-point numbers{named} that can be read{left_out}')
    kept = min(variables, total)
    double = any(kind == "F64" for kind, _ in layout.tensors.values())
    kind = np.dtype(np.float64 if double else np.float32)
    most = _MOST_BYTES // (len(ordered) * kind.itemsize)
    if kept > most:
        raise InvalidInputError(
            f"{kept} entries of {len(ordered)} checkpoints are too many: at most {most} (--variables)"
        )
    drawn = np.sort(np.random.default_rng(seed).choice(total, kept, replace=False))
    series = np.empty((len(ordered), kept), dtype=kind)
    for row, file in enumerate(ordered):
        held = _held(file)
        if _layout(held, only).tensors != layout.tensors:
            raise DataError(
                f'"{file}" is of another network than "{ordered[0]}": its tensors have other names, shapes or types'
            )
        series[row] = _entries(held, layout, drawn)
    said = f"{len(ordered)} checkpoints" + (f", {time}" if time else "")
    return series, said + ("" if kept == total else f"; {kept} of {total} entries") + left_out


def _held(file: str) -> dict[str, dict[str, Any]]:
    """Tensors of a file by name, as bytes."""
    from safetensors import SafetensorError, deserialize

    path = Path(file)
    if not path.is_file():
        raise DataError(f'there is no file "{file}"')
    if path.stat().st_size > LARGEST_CONTENT:
        raise DataError(f'"{file}" takes more than {LARGEST_CONTENT >> 30} GiB')
    try:
        return dict(sorted(deserialize(path.read_bytes())))
    except (OSError, SafetensorError, ValueError) as problem:
        raise DataError(f'"{file}" is no safetensors file: {first_line(problem)}') from None


def _layout(held: Mapping[str, Mapping[str, Any]], only: str | None) -> _Layout:
    """Kinds and shapes of the tensors that are chosen."""
    chosen = {name: held[name] for name in held if only is None or fnmatch.fnmatchcase(name, only)}
    return _Layout(
        {name: (of["dtype"], tuple(of["shape"])) for name, of in chosen.items() if of["dtype"] in _KINDS},
        {name: of["dtype"] for name, of in chosen.items() if of["dtype"] not in _KINDS},
    )


def _entries(held: Mapping[str, Mapping[str, Any]], layout: _Layout, entries: np.ndarray) -> np.ndarray:
    """Chosen entries of all tensors, one after the other by name."""
    parts, start = [], 0
    for name, size in layout.sizes.items():
        first, last = np.searchsorted(entries, [start, start + size])
        parts.append(_numbers(held[name]["data"], held[name]["dtype"], entries[first:last] - start))
        start += size
    return np.concatenate(parts)


def _numbers(data: bytes | bytearray, kind: str, entries: np.ndarray) -> np.ndarray:
    """Entries of a tensor as floating-point numbers, of double precision only where they have been."""
    chosen = np.frombuffer(data, dtype=_KINDS[kind])[entries]
    if kind == "BF16":
        return (chosen.astype(np.uint32) << 16).view(np.float32)
    return chosen if kind == "F64" else chosen.astype(np.float32)
