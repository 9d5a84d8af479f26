"""Sketches on disk: one NumPy file, compressed unless it is large, without pickled objects."""

from pathlib import Path

import numpy as np

from critlearn.errors import DataError
from critlearn.fluctuations.quantities import Series
from critlearn.fluctuations.result import NOT_RECORDED, Fluctuations
from critlearn.numerics.log_sketch import LogSketch
from critlearn.reading.arrays import read_arrays
from critlearn.reading.limits import LARGEST_EXPANDED
from critlearn.whole_files import replacing

_FIELDS = ("first_bin", "positive", "negative", "zeros")
"""Arrays of a `LogSketch` in the file."""


def save_fluctuations(path: Path, fluctuations: Fluctuations) -> None:
    """Write all sketches, to a temporary name first.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays = {
        f"{name}/{field}": array for name, sketch in fluctuations.items() for field, array in sketch.to_arrays().items()
    }
    arrays["samples"] = np.array(fluctuations.samples)
    arrays["log_floor"] = np.array(np.nan if fluctuations.log_floor is None else fluctuations.log_floor)
    arrays["floor_reference"] = np.array(fluctuations.floor_reference)
    arrays["over"] = np.array(fluctuations.over)
    arrays["mark"] = np.array(fluctuations.mark)
    for name, size in fluctuations.variables.items():
        arrays[f"{name}/variables"] = np.array(size)
    for name, size in fluctuations.drawn_from.items():
        arrays[f"{name}/drawn_from"] = np.array(size)
    for name, entries in fluctuations.series.entries.items():
        arrays[f"{name}/entries"] = entries
        arrays[f"{name}/log_size"] = fluctuations.series.log_size[name]
        arrays[f"{name}/sign"] = fluctuations.series.negative[name]
    # As they are, if they are more than is expanded of a compressed file: series over many samples can be.
    large = sum(array.nbytes for array in arrays.values()) > LARGEST_EXPANDED
    with replacing(path) as temporary, temporary.open("wb") as file:
        (np.savez if large else np.savez_compressed)(file, allow_pickle=False, **arrays)


def load_fluctuations(path: Path) -> Fluctuations:
    """Read the fluctuations in a file of `save_fluctuations`.

    Raises
    ------
    DataError
        If the file is missing or holds something else.
    """
    stored = read_arrays(path)
    try:
        names = [key.removesuffix("/zeros") for key in stored if key.endswith("/zeros")]
        sketches = {
            name: LogSketch.from_arrays({field: stored[f"{name}/{field}"] for field in _FIELDS}) for name in names
        }
        variables = {name: int(stored[f"{name}/variables"]) for name in names}
        floor = float(stored["log_floor"])
        kept = [key.removesuffix("/entries") for key in stored if key.endswith("/entries")]
        series = Series(
            *({name: stored[f"{name}/{part}"] for name in kept} for part in ("entries", "log_size", "sign"))
        )
        # Files of earlier versions have no mark, and no reference of the floor.
        mark = str(stored["mark"]) if "mark" in stored else ""
        samples, log_floor = int(stored["samples"]), None if np.isnan(floor) else floor
        reference = str(stored.get("floor_reference", NOT_RECORDED))
        over = str(stored.get("over", "samples"))
        drawn = {name: int(stored[f"{name}/drawn_from"]) for name in names if f"{name}/drawn_from" in stored}
        return Fluctuations(sketches, variables, samples, log_floor, series, mark, reference, over, drawn)
    except KeyError as problem:
        raise DataError(f'"{path}" holds no fluctuations: {problem.args[0]} is missing') from problem
    except (ValueError, TypeError, OverflowError) as problem:
        raise DataError(f'"{path}" holds no fluctuations: {problem}') from problem
