"""State of a measurement on disk, written now and then and removed at the end, so that it can be resumed."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.fluctuations.accumulation.accumulator import Accumulator
from critlearn.fluctuations.result import Fluctuations
from critlearn.fluctuations.storage import load_fluctuations, save_fluctuations

_EVERY: Final = 30.0
"""Seconds between two states: the most work that an interruption loses."""


def check_place(path: Path | str | None) -> None:
    """Raise if the file of a checkpoint cannot be written, before hours have gone into what it is to hold.

    Raises
    ------
    InvalidInputError
        If it is a folder, or in one that does not exist.
    """
    if path is None:
        return
    if Path(path).is_dir():
        raise InvalidInputError(f'the checkpoint "{path}" is a folder: name a file in it')
    if not Path(path).absolute().parent.is_dir():
        raise InvalidInputError(f'the folder of the checkpoint "{path}" does not exist: make it first')


class Checkpoint:
    """State of one measurement in a file, or nothing if there is no file.

    Parameters
    ----------
    path
        The file; None for none.
    mark
        Fingerprint of the measurement: a state that belongs to something else is refused.
    mini_batch
        Samples that are counted as one.
    """

    def __init__(self, path: Path | None, mark: str, mini_batch: int) -> None:
        self.path = path
        self._mark, self._size, self._written = mark, mini_batch, time.monotonic()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from measuring into the same file; a lock ends with the process that holds it.

        Raises
        ------
        OutputError
            If another process does so, or the folder cannot be written to.
        """
        if self.path is None:
            yield
            return
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(f'another process is measuring into "{self.path}": name another file') from None
        except OSError as problem:
            raise OutputError(f'cannot write the checkpoint "{self.path}": {problem.strerror or problem}') from None
        try:
            yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def load(self) -> tuple[Fluctuations | None, int]:
        """Fluctuations counted before the interruption, and the number of samples that they took.

        Raises
        ------
        DataError
            If the state belongs to another measurement, or cannot be read.
        """
        if self.path is None or not self.path.exists():
            return None, 0
        known = load_fluctuations(self.path)
        if known.mark != self._mark:
            raise DataError(
                f'"{self.path}" is the state of another measurement (its network, loss, data or settings differ): '
                "remove it, or name another file"
            )
        return known, known.samples * self._size

    def offer(self, accumulator: Accumulator, earlier: Fluctuations | None) -> None:
        """Write the state if the last one is old enough; where the disk is full, the count goes on without it."""
        if self.path is None or time.monotonic() - self._written < _EVERY:
            return
        try:
            self.write(accumulator, earlier)
        except OutputError as problem:
            self._written = time.monotonic()
            warnings.warn(f"the measurement goes on, and its state is as old as before: {problem}", stacklevel=4)

    def write(self, accumulator: Accumulator, earlier: Fluctuations | None) -> None:
        """Write the state; whoever reads the file meanwhile finds the old state or the new one, never a part."""
        assert self.path is not None
        before = 0 if earlier is None else earlier.samples * self._size
        state = accumulator.result(since=before)
        whole = state if earlier is None else earlier.merge(state)
        save_fluctuations(self.path, whole.marked(self._mark))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the state of a measurement that is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
