"""Files beside a record: their size and hash stand in it, so that a cut or exchanged file is no finished run."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from critlearn.errors import DataError


def described(path: Path) -> dict[str, Any]:
    """Size and hash of a file, as a record has them."""
    return {"bytes": path.stat().st_size, "sha256": _hash(path)}


def check_files(folder: Path, record: Mapping[str, Any], names: Sequence[str], *, hashed: bool = True) -> None:
    """Raise if a file is not the one that was written with a record.

    Parameters
    ----------
    folder
        Folder of the run.
    record
        Its record; that of an earlier version tells nothing of files, which are then looked at.
    names
        Files that are checked.
    hashed
        Whether to read them whole, or to compare their sizes alone.

    Raises
    ------
    DataError
        If one is missing, cut, or another one.
    """
    for name in names:
        path = folder / name
        stored = record.get("files", {}).get(name)
        try:
            size = path.stat().st_size
            if stored is None:
                _check_ends(path)
            elif size != stored["bytes"]:
                raise DataError(f'"{path}" is damaged: it has {size:,} bytes, and {stored["bytes"]:,} were written')
            elif hashed and _hash(path) != stored["sha256"]:
                raise DataError(f'"{path}" is damaged: it is not the file that was written, by its hash')
        except OSError as problem:
            raise DataError(f'"{path}" cannot be read: {problem.strerror or problem}') from None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_ends(path: Path) -> None:
    """Raise for a file that is cut: both formats tell where they end."""
    if path.suffix == ".npz" and not zipfile.is_zipfile(path):
        raise DataError(f'"{path}" is damaged: it is no .npz archive')
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, ValueError) as problem:
            raise DataError(f'"{path}" is damaged: {problem}') from None
