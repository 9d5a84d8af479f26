"""State of a measurement on disk, written now and then and removed at the end, so that it can be resumed."""

import time
from pathlib import Path
from typing import Final

from critlearn.errors import DataError, InvalidInputError
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
        """Write the state if the last one is old enough."""
        if self.path is None or time.monotonic() - self._written < _EVERY:
            return
        self.write(accumulator, earlier)

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
