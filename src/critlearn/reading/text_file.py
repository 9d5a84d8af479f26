"""Text of a file, read no further than a limit says."""

import os
import sys
from pathlib import Path

from critlearn.errors import DataError
from critlearn.reading.limits import LARGEST_TEXT, LARGEST_UNSEEN_TEXT


def read_text(path: Path, limit: int | None = None) -> str:
    """Text of a file in UTF-8, with or without a mark of its order of bytes at the beginning.

    Parameters
    ----------
    path
        File.
    limit
        Largest number of bytes; that of all plain text if None.

    Raises
    ------
    DataError
        If it cannot be read, is larger, or is not text.
    """
    limit = LARGEST_TEXT if limit is None else limit
    try:
        with path.open("rb") as file:
            # A device and a pipe have no size, so that what is read is bounded too.
            large = os.fstat(file.fileno()).st_size > limit
            content = b"" if large else file.read(limit + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise DataError(f'"{path}" cannot be read: {reason}') from None
    if large or len(content) > limit:
        raise DataError(f'"{path}" takes more than {limit >> 20} MiB; large tables are read as .npy or .npz')
    return decoded(content, f'"{path}"')


def decoded(content: bytes, source: str) -> str:
    """Text that some bytes are.

    Raises
    ------
    DataError
        If they are none in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"{source} is not a text file in UTF-8: {problem}") from None
    if "\0" in text:
        raise DataError(f"{source} cannot be read: it is not text")
    return text


def standard_input() -> str:
    """All text on standard input.

    Raises
    ------
    DataError
        If it is closed, too much, or not text.
    """
    if sys.stdin is None:
        raise DataError("standard input is closed")
    try:
        text = sys.stdin.read(LARGEST_UNSEEN_TEXT + 1)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError("standard input must be text, one row a line; binary data are read from a file (.npy, .npz)")
    if len(text) > LARGEST_UNSEEN_TEXT:
        raise DataError(
            f"standard input is more than {LARGEST_UNSEEN_TEXT >> 20} MiB of text: put it in a file, or save it as .npy"
        )
    return text
