"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from critlearn.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Temporary path in the same folder, to be written in the block; it takes the place of the file at its end.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # Two processes that write the same file must not write into the same part of it.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Some libraries make files that nobody else may read; this one has the rights that the user's umask gives.
        temporary.touch()
        rights = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != rights:
            temporary.chmod(stat.S_IMODE(rights))
        temporary.replace(path)
    except OSError as problem:
        raise OutputError(f'cannot write "{path}": {problem.strerror or problem}') from None
    finally:
        if temporary.is_file():
            temporary.unlink()


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file, and the folders that lead to it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f'cannot write "{path}": {problem.strerror or problem}') from None
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def check_writable(out: Path) -> None:
    """See whether runs can be written to a folder, before anything is computed; nothing of the attempt is left.

    Raises
    ------
    OutputError
        If it cannot be made or written to.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.mkdir()
        probe.rmdir()
    except OSError as problem:
        raise OutputError(f'cannot write to the folder "{out}": {problem.strerror}') from problem
    finally:
        for folder in made:
            if folder.exists():
                folder.rmdir()
