"""Stop and go on: the state of a measurement on disk, written now and then, and removed at the end."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from critlearn.errors import DataError
from critlearn.fluctuations.fluctuations import Fluctuations
from critlearn.fluctuations.measurement import Measurement
from critlearn.fluctuations.quantities import Quantities
from critlearn.fluctuations.storage import load_fluctuations, save_fluctuations
from critlearn.network import NeuralSystem

_EVERY: Final = 30.0
"""Seconds between two states."""


class Checkpoint:
    """State of one measurement in a file, or nothing if there is no file.

    Parameters
    ----------
    path
        The file; None for none.
    system, quantities, first, lr, groups, samples
        What is measured, and its first batch: a state that belongs to something else is refused.
    """

    def __init__(
        self,
        path: Path | None,
        system: NeuralSystem,
        quantities: Quantities,
        *,
        first: tuple[Tensor, Tensor] | None = None,
        lr: float,
        groups: int,
        samples: int | None,
    ) -> None:
        self.path = path
        self._size, self._written = quantities.mini_batch, time.monotonic()
        self._mark = "" if path is None else _fingerprint(system, quantities, first, lr, groups, samples)

    def load(self) -> tuple[Fluctuations | None, int]:
        """What was counted before, and the number of samples that it took.

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
                f'"{self.path}" is the state of another measurement (its network, data or settings differ): '
                "remove it, or name another file"
            )
        return known, known.samples * self._size

    def offer(self, measurement: Measurement, earlier: Fluctuations | None) -> None:
        """Write the state if the last one is old enough."""
        if self.path is None or time.monotonic() - self._written < _EVERY:
            return
        self.write(measurement, earlier)

    def write(self, measurement: Measurement, earlier: Fluctuations | None) -> None:
        """Write the state: a file that is read while it is written is whole, the old one or the new one."""
        assert self.path is not None
        before = 0 if earlier is None else earlier.samples * self._size
        state = measurement.result(since=before)
        whole = state if earlier is None else earlier.merge(state)
        save_fluctuations(self.path, whole.marked(self._mark))
        self._written = time.monotonic()

    def remove(self) -> None:
        """The measurement is complete: its state is of no further use."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _fingerprint(
    system: NeuralSystem,
    quantities: Quantities,
    first: tuple[Tensor, Tensor] | None,
    lr: float,
    groups: int,
    samples: int | None,
) -> str:
    """Digest of weights, first data and settings."""
    digest = hashlib.sha256()
    for name, value in system.parameters.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for part in first or ():
        digest.update(part.cpu().contiguous().numpy().tobytes())
    series = quantities.series
    plain = {
        "units": quantities.units,
        "samples": quantities.samples,
        "series": {name: list(index) for name, index in series.items()} if isinstance(series, Mapping) else series,
        "mini_batch": quantities.mini_batch,
        "without_drift": quantities.without_drift,
        "seed": quantities.seed,
        "loss": system.loss.name,
        "settings": [lr, groups, samples],
    }
    digest.update(json.dumps(plain, sort_keys=True).encode())
    return digest.hexdigest()
