"""Files of a results store, in a folder or behind a URL, with the same errors for all backends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import fsspec

from critlearn.errors import CritlearnError, DataError, InvalidInputError, OutputError, first_line
from critlearn.whole_files import replacing

_NOT_SHARED: Final = ("memory",)
"""Protocols of fsspec whose files only one process sees."""

_NO_STORES: Final = frozenset(
    {"zip", "tar", "libarchive", "reference", "data", "dir", "generic", "async_wrapper", "dask", "jlab", "jupyter"}
    | {"github", "git", "gist", "hf", "dbfs", "root", "asynclocal"}
    | {"simplecache", "blockcache", "filecache", "cached", "pyarrow_hdfs"}
)
"""Protocols of fsspec for archives, code hosts, caches and views of other places: no sweep writes there."""


def _check_address(location: str) -> None:
    """Raise for what cannot be a store, before anything is opened or looked up."""
    protocol, divided, _ = location.partition("://")
    if "::" in location or (divided and protocol in _NO_STORES):
        raise InvalidInputError(
            f'"{location}" is not a store: it is a folder, or a place such as s3://bucket/results that files are '
            "written to"
        )


class StoreFiles:
    """Folder, or URL that fsspec knows; names of files are relative to it.

    Parameters
    ----------
    location
        Folder or URL.

    Raises
    ------
    InvalidInputError
        If fsspec does not know the URL, or what it names is not shared between processes.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        _check_address(location)
        try:
            self._backend, root = fsspec.core.url_to_fs(location)
        # A backend is made, which may look for its server or its settings, and fail in its own ways.
        except Exception as problem:
            raise InvalidInputError(f'"{location}" is not a store: {first_line(problem)}') from problem
        protocols = (self._backend.protocol,) if isinstance(self._backend.protocol, str) else self._backend.protocol
        if any(protocol in _NOT_SHARED for protocol in protocols):
            raise InvalidInputError(f'"{location}" is not a store: other processes do not see it')
        self.local = "file" in protocols
        self._root = str(root).rstrip("/")

    @property
    def address(self) -> str:
        """Absolute path, or URL: valid in processes that run in another folder."""
        return self._root if self.local else self.location

    @property
    def is_file(self) -> bool:
        """Whether the location is a file."""
        with self._translated_errors():
            return bool(self._backend.isfile(self._root))

    def path(self, name: str = "") -> str:
        """Path of a file or folder, as the backend needs it."""
        return f"{self._root}/{name}" if name else self._root

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of that name exists now; caches are cleared, as other processes may have written."""
        with self._translated_errors():
            self._backend.invalidate_cache()
            return bool(self._backend.exists(self.path(name)))

    def names(self, folder: str = "") -> list[str]:
        """Sorted names in a folder."""
        with self._translated_errors():
            self._backend.invalidate_cache()
            return sorted(Path(path).name for path in self._backend.ls(self.path(folder), detail=False))

    def make(self, folder: str) -> None:
        """Create a folder unless it exists."""
        with self._translated_errors():
            self._backend.makedirs(self.path(folder), exist_ok=True)

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        try:
            with self._translated_errors():
                return bytes(self._backend.cat_file(self.path(name)))
        except OutputError as problem:
            raise DataError(f'"{self.path(name)}" cannot be read: {problem.__cause__}') from problem

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where the backend does not tell."""
        with self._translated_errors():
            found = self._backend.size(self.path(name))
        return None if found is None else int(found)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole."""
        if self.local:
            with replacing(Path(self.path(name))) as temporary:
                temporary.write_bytes(content)
            return
        with self._translated_errors():
            self._backend.pipe_file(self.path(name), content)

    def upload(self, folder: Path, name: str, *, last: str) -> None:
        """Copy the files of a local folder, one of them after all others."""
        with self._translated_errors():
            # False sorts before True: the named file goes last.
            for path in sorted(folder.iterdir(), key=lambda path: path.name == last):
                self._backend.put_file(str(path), self.path(f"{name}/{path.name}"))

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        if self.exists(name):
            with self._translated_errors():
                self._backend.rm(self.path(name))

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Context that translates the exceptions of any backend into an `OutputError` of one line."""
        try:
            yield
        except CritlearnError:
            raise
        except Exception as problem:
            reason = getattr(problem, "strerror", None) or " ".join(str(problem).split()) or type(problem).__name__
            raise OutputError(f'the store "{self.location}" cannot be used: {reason}') from problem
