"""Store of the results of studies: one folder for each cell, which is there whole or not at all."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from pydantic import ValidationError

from critlearn._version import __version__
from critlearn.analysis.analysis import Analysis
from critlearn.analysis.record_schema import parse_record
from critlearn.analysis.run_folder import CELLS, FLUCTUATIONS, RECORD, WEIGHTS, json_text, write_folder
from critlearn.analysis.stored_files import check_files
from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.reading.json_text import parsed_json
from critlearn.reading.validation_errors import describe_first_error
from critlearn.studies.sweep.results.files import StoreFiles
from critlearn.studies.sweep.study.cells import Cell
from critlearn.studies.sweep.study.manifest import Manifest, make_manifest
from critlearn.studies.sweep.study.schema import Study, study_text

MARK: Final = "critlearn-store.json"
CELL: Final = "cell.json"
"""Names of the file that marks a store, and of the file in a cell with its name, settings and code version."""
FORMAT: Final = 1
"""Version of the layout of stores; a store of another version is refused."""


@cache
def code_version() -> str:
    """Version of the package, and the start of the SHA-256 of its sources."""
    digest = hashlib.sha256()
    root = Path(str(files("critlearn")))
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class CellState:
    """State of a cell in a store.

    Parameters
    ----------
    status
        ``finished``, ``failed``, ``corrupt`` or ``missing``.
    record
        Record of a finished cell, with the code version under ``code``.
    reason
        Reason why it failed, or what is wrong with it.
    """

    status: str
    record: dict[str, Any] | None = None
    reason: str | None = None

    @property
    def due(self) -> bool:
        """Whether the next sweep runs it; a corrupt one is left for its owner to look at and remove."""
        return self.status in ("missing", "failed")


class ResultsStore:
    """Folder, or URL that fsspec knows, which holds the results of cells.

    On a local disk, a cell is written under a temporary name and renamed. Elsewhere it is uploaded with its record
    last, and is finished once the record is there.

    Parameters
    ----------
    location
        Folder or URL.
    create
        Create the store if the location is empty.

    Raises
    ------
    InvalidInputError
        If something else is at the location.
    OutputError
        If it cannot be created.
    """

    def __init__(self, location: str, *, create: bool = False) -> None:
        self.location = location
        self._files = StoreFiles(location)
        self.local = self._files.local
        if self._files.exists(MARK):
            self._check_format()
            return
        found = self._files.exists()
        if not create or (found and (self._files.is_file or self._visible())):
            reason = f"it has no {MARK}" if found else "there is nothing"
            raise InvalidInputError(f'"{location}" is not a store of results: {reason}')
        self._files.make(CELLS)
        self._files.make("studies")
        self._write(MARK, {"format": FORMAT})

    @classmethod
    def existing(cls, location: str) -> "ResultsStore | None":
        """Store at a location, or None if one could be created there; nothing is written.

        Raises
        ------
        InvalidInputError
            If something else is there.
        OutputError
            If it cannot be looked at.
        """
        files = StoreFiles(location)
        try:
            # Of a server that does not answer, a backend may say that nothing exists there; a listing fails.
            empty = not files.names()
        except OutputError as problem:
            if not isinstance(problem.__cause__, FileNotFoundError):
                raise
            empty = True
        return None if empty else cls(location)

    def _check_format(self) -> None:
        """Raise if another version of critlearn has laid the store out differently."""
        try:
            found = self._read(MARK).get("format")
        except DataError as problem:
            raise InvalidInputError(f'"{self.location}" is not a store of results: {problem}') from None
        if found != FORMAT:
            raise InvalidInputError(
                f'"{self.location}" is a store of format {found!r}; this version of critlearn reads format {FORMAT}'
            )

    @property
    def address(self) -> str:
        """Absolute path, or URL: valid in processes that run in another folder."""
        return self._files.address

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the store for one sweep; the lock of a process that was killed is released by the system.

        Object stores have no such lock: at worst the same cell is written there twice, with the same content.

        Raises
        ------
        OutputError
            If another sweep holds it, or it cannot be written to.
        """
        if not self.local:
            yield
            return
        lock = FileLock(self._files.path(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(f'another sweep is running on the store "{self.location}"') from None
        except OSError as problem:
            reason = problem.strerror or problem
            raise OutputError(f'the store "{self.location}" cannot be written to: {reason}') from None
        try:
            self._remove_partial()
            yield
        finally:
            self._remove_partial()
            lock.release()

    def _remove_partial(self) -> None:
        """Remove half-written cells of processes that were ended."""
        for partial in Path(self._files.path(CELLS)).glob(".*.partial"):
            shutil.rmtree(partial, ignore_errors=True)

    def register(self, study: Study, cells: tuple[Cell, ...]) -> None:
        """Write the manifest of a study, its cells and swept settings; earlier cells that were run stay listed.

        Raises
        ------
        DataError
            If the manifest of that name cannot be read.
        """
        before = self._manifest(study.name) if self._files.exists(f"studies/{study.name}.json") else None
        manifest = make_manifest(study, cells, before)
        run = {name: cell for name, cell in manifest.earlier.items() if not self.cell(name).due}
        if len(run) < len(manifest.earlier) and before is not None:
            manifest = make_manifest(study, cells, before.model_copy(update={"cells": run, "earlier": {}}))
        self._write(f"studies/{study.name}.json", manifest.model_dump(mode="json"))
        # The study file itself is kept, so that the store can be made again from it.
        self._files.write(f"studies/{study.name}.yaml", study_text(study).encode())

    def study_file(self, name: str) -> str | None:
        """Path of the stored study file; None in a store of an earlier version, which kept none."""
        file = f"studies/{name}.yaml"
        return f"{self.location.rstrip('/')}/{file}" if self._files.exists(file) else None

    def studies(self) -> dict[str, Manifest]:
        """Manifests of all studies that can be read, by name."""
        return {name: found for name, found in self.manifests().items() if isinstance(found, Manifest)}

    def manifests(self) -> dict[str, Manifest | DataError]:
        """Manifests of all studies by name, and what is wrong with those that cannot be read."""
        names = [Path(name).stem for name in self._files.names("studies") if name.endswith(".json")]
        found: dict[str, Manifest | DataError] = {}
        for name in names:
            if not name.startswith("."):
                try:
                    found[name] = self._manifest(name)
                except DataError as problem:
                    found[name] = problem
        return found

    def _manifest(self, name: str) -> Manifest:
        file = f"studies/{name}.json"
        content = self._read(file)
        try:
            return Manifest.model_validate(content)
        except ValidationError as problem:
            reason = describe_first_error(problem, content)
            raise DataError(f'"{self._files.path(file)}" is not the manifest of a study: {reason}') from None

    def cell(self, name: str) -> CellState:
        """State of a cell; damaged files are a status, never an error."""
        folder = f"{CELLS}/{name}"
        if self._files.exists(f"{folder}/{RECORD}" if not self.local else folder):
            try:
                return CellState("finished", self.record(name))
            except DataError as problem:
                return CellState("corrupt", reason=str(problem))
        if self._files.exists(f"failures/{name}.json"):
            return CellState("failed", reason=self._failure(name))
        return CellState("missing")

    def record(self, name: str) -> dict[str, Any]:
        """Record of a finished cell, with the code version under ``code``.

        Raises
        ------
        DataError
            If a file is missing or damaged.
        OutputError
            If it is not there.
        """
        folder = f"{CELLS}/{name}"
        present = self._files.names(folder)
        missing = [file for file in (RECORD, CELL, FLUCTUATIONS, WEIGHTS) if file not in present]
        if missing:
            raise DataError(f'"{self._files.path(folder)}" has no {missing[0]}')
        file = f"{folder}/{RECORD}"
        record, note = parse_record(self._files.read(file), self._files.path(file)), self._read(f"{folder}/{CELL}")
        self._check_files(folder, record)
        if note.get("cell") != name or not isinstance(note.get("code"), str):
            raise DataError(f'"{self._files.path(folder)}/{CELL}" is not that of the cell')
        return {**record, "code": note["code"]}

    def _check_files(self, folder: str, record: dict[str, Any]) -> None:
        """Raise if sketches or weights are not those that were written; of remote ones the sizes are compared."""
        if self.local:
            check_files(Path(self._files.path(folder)), record, (FLUCTUATIONS, WEIGHTS))
            return
        for name, stored in record.get("files", {}).items():
            size = self._files.size(f"{folder}/{name}")
            if size is not None and size != stored["bytes"]:
                place = self._files.path(f"{folder}/{name}")
                raise DataError(f'"{place}" is damaged: it has {size:,} bytes, and {stored["bytes"]:,} were written')

    def _failure(self, name: str) -> str:
        """Reason why a cell failed."""
        try:
            return str(self._read(f"failures/{name}.json").get("reason"))
        except DataError as problem:
            return str(problem)

    def write(self, cell: Cell, result: Analysis) -> None:
        """Write a finished cell; its page can be made from it at any time.

        Raises
        ------
        OutputError
            If it cannot be written; the cell is then not there.
        """
        note = {"cell": cell.name, "kind": cell.kind, "config": cell.settings, "code": code_version()}
        texts = {CELL: json_text(note)}
        target = f"{CELLS}/{cell.name}"
        if self.local:
            write_folder(Path(self._files.path(target)), result, lambda _: texts)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / cell.name
                write_folder(folder, result, lambda _: texts)
                self._files.upload(folder, target, last=RECORD)
        self._files.remove(f"failures/{cell.name}.json")

    def write_failure(self, cell: Cell, reason: str) -> None:
        """Write the reason why a cell failed; the next sweep runs it again."""
        self._files.make("failures")
        self._write(f"failures/{cell.name}.json", {"cell": cell.name, "reason": reason, "code": code_version()})

    def _visible(self) -> bool:
        return any(not name.startswith(".") for name in self._files.names())

    def _write(self, name: str, content: dict[str, Any]) -> None:
        self._files.write(name, json_text(content).encode())

    def _read(self, name: str) -> dict[str, Any]:
        return parsed_json(self._files.read(name), f'"{self._files.path(name)}" cannot be read: it')
