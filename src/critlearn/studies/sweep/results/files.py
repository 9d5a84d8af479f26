"""Files of a results store, in a folder or behind a URL, with one kind of error for all backends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import fsspec

from critlearn.errors import CritlearnError, DataError, InvalidInputError, OutputError
from critlearn.whole_files import replacing

_OF_ONE_PROCESS: Final = ("memory",)


class StoreFiles:
    """A folder, or what is behind a URL that fsspec knows; names are relative to it.

    Parameters
    ----------
    location
        Folder or URL.

    Raises
    ------
    InvalidInputError
        If there is no such kind of URL, or what it means is not shared between processes.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        try:
            self._backend, root = fsspec.core.url_to_fs(location)
        except (ImportError, ValueError) as problem:
            raise InvalidInputError(f'"{location}" is not a store: {problem}') from problem
        protocols = (self._backend.protocol,) if isinstance(self._backend.protocol, str) else self._backend.protocol
        if any(protocol in _OF_ONE_PROCESS for protocol in protocols):
            raise InvalidInputError(f'"{location}" is not a store: other processes do not see it')
        self.local = "file" in protocols
        self._root = str(root).rstrip("/")

    @property
    def address(self) -> str:
        """Where it is, from whatever folder it is looked for."""
        return self._root if self.local else self.location

    @property
    def is_file(self) -> bool:
        """Whether there is a file in its place."""
        with self._reached():
            return bool(self._backend.isfile(self._root))

    def path(self, name: str = "") -> str:
        """Path for the backend."""
        return f"{self._root}/{name}" if name else self._root

    def exists(self, name: str = "") -> bool:
        """Whether there is something of that name now: others may have written since."""
        with self._reached():
            self._backend.invalidate_cache()
            return bool(self._backend.exists(self.path(name)))

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder, in order."""
        with self._reached():
            self._backend.invalidate_cache()
            return sorted(Path(path).name for path in self._backend.ls(self.path(folder), detail=False))

    def make(self, folder: str) -> None:
        """Make a folder, if it is not there."""
        with self._reached():
            self._backend.makedirs(self.path(folder), exist_ok=True)

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        try:
            with self._reached():
                return bytes(self._backend.cat_file(self.path(name)))
        except OutputError as problem:
            raise DataError(f'"{self.path(name)}" cannot be read: {problem.__cause__}') from problem

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole."""
        if self.local:
            with replacing(Path(self.path(name))) as temporary:
                temporary.write_bytes(content)
            return
        with self._reached():
            self._backend.pipe_file(self.path(name), content)

    def upload(self, folder: Path, name: str, *, last: str) -> None:
        """Copy the files of a local folder, one of them after all others."""
        with self._reached():
            for path in sorted(folder.iterdir(), key=lambda path: path.name == last):
                self._backend.put_file(str(path), self.path(f"{name}/{path.name}"))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.exists(name):
            with self._reached():
                self._backend.rm(self.path(name))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """What a backend raises, as one line: those of object stores have errors of their own."""
        try:
            yield
        except CritlearnError:
            raise
        except Exception as problem:
            reason = getattr(problem, "strerror", None) or " ".join(str(problem).split()) or type(problem).__name__
            raise OutputError(f'the store "{self.location}" cannot be used: {reason}') from problem
