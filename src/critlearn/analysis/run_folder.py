"""Run folders: written under a temporary name and renamed, so that a run is there whole or not at all; and read."""

import errno
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from critlearn.analysis.analysis import Analysis
from critlearn.analysis.record_schema import parse_record
from critlearn.analysis.stored_files import check_files, described
from critlearn.errors import DataError, OutputError
from critlearn.fluctuations import Fluctuations, load_fluctuations, save_fluctuations
from critlearn.monitoring.storage import MONITOR, save_record
from critlearn.whole_files import replacing, write_whole

RECORD: Final = "run.json"
FLUCTUATIONS: Final = "fluctuations.npz"
WEIGHTS: Final = "model.safetensors"
REPORT: Final = "report.html"
"""Names of the files of a run: record, sketches, weights and page."""
_LONGEST: Final = 80
"""Characters of a composition in the name of a folder."""

CELLS: Final = "cells"
"""Folder of a store of a sweep that holds its runs."""


def write_run(out: Path, result: Analysis, report: Any) -> dict[str, Any]:
    """Write a run to a new folder, named by its settings and the time, and return its record with that folder.

    Parameters
    ----------
    out
        Folder for runs.
    result
        Result of the run.
    report
        Function from the record and the sketches to the text of the page.

    Raises
    ------
    OutputError
        If something cannot be written; nothing is left behind then.
    """
    record = result.record
    while True:
        folder = fresh_folder(out, record["study"], record["composition"]["name"], str(record["seed"]))
        try:
            return write_folder(folder, result, lambda record: {REPORT: report(record, result.fluctuations)})
        except _TakenError:
            # By another process in the same second: the next name is free, or that after it.
            continue


def write_folder(
    folder: Path, result: Analysis, texts: Callable[[dict[str, Any]], Mapping[str, str]]
) -> dict[str, Any]:
    """Write a run to a folder of that name, which must not exist, and return its record.

    Parameters
    ----------
    folder
        The run's own folder.
    result
        Result of the run.
    texts
        From the record to further files of text by name.

    Raises
    ------
    OutputError
        If something cannot be written; nothing is left behind then.
    """
    temporary = _partial(folder)
    record = {**result.record, "run_dir": str(folder)}
    try:
        temporary.mkdir(parents=True)
    except OSError as problem:
        # What is there is another's, and stays.
        raise _failed(folder, problem) from problem
    try:
        save_fluctuations(temporary / FLUCTUATIONS, result.fluctuations)
        with replacing(temporary / WEIGHTS) as part:
            save_file(result.weights, part)
        record["files"] = {name: described(temporary / name) for name in (FLUCTUATIONS, WEIGHTS)}
        (temporary / RECORD).write_text(json_text(record), encoding="utf-8")
        if result.training is not None:
            save_record(temporary / MONITOR, result.training)
        for name, text in texts(record).items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.rename(folder)
    except (OSError, SafetensorError) as problem:
        raise _failed(folder, problem) from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return record


class _TakenError(OutputError):
    """A folder that another process has made, or is making."""


def _failed(folder: Path, problem: Exception) -> OutputError:
    """Error of a run that could not be written."""
    taken = isinstance(problem, OSError) and problem.errno in (errno.EEXIST, errno.ENOTEMPTY)
    reason = getattr(problem, "strerror", None) or problem
    return (_TakenError if taken else OutputError)(f'cannot write the run to "{folder}": {reason}')


def _partial(folder: Path) -> Path:
    """Folder in which a run is written before it has its name."""
    return folder.parent / f".{folder.name}.partial"


def write_into(folder: Path, result: Analysis) -> dict[str, Any]:
    """Write a run into a folder that is there; the record, which is returned, comes last and makes the folder a run.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    part = folder / ".run"
    record = {**write_folder(part, result, lambda _: {}), "run_dir": str(folder)}
    try:
        for name in (FLUCTUATIONS, WEIGHTS):
            (part / name).replace(folder / name)
        write_whole(folder / RECORD, json_text(record).encode())
    except OSError as problem:
        raise OutputError(f'cannot write the run to "{folder}": {problem.strerror}') from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def json_text(values: Mapping[str, Any]) -> str:
    """Text of a JSON file of plain values, one to a line, so that files are compared line by line."""
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def read_run(folder: Path) -> tuple[dict[str, Any], Fluctuations]:
    """Record and sketches of a stored run.

    Raises
    ------
    DataError
        If the folder holds no run, or its sketches are not those that were written.
    """
    record = read_record(folder)
    check_files(folder, record, (FLUCTUATIONS,))
    return record, load_fluctuations(folder / FLUCTUATIONS)


def read_analysis(folder: Path) -> Analysis:
    """Analysis of a stored run, with its weights, and without network and data.

    Raises
    ------
    DataError
        If the folder holds no run, or one of its files is damaged.
    """
    record, fluctuations = read_run(folder)
    check_files(folder, record, (WEIGHTS,))
    try:
        return Analysis(record, fluctuations, load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as problem:
        raise DataError(f'"{folder / WEIGHTS}" cannot be read: {problem}') from problem


def read_record(folder: Path) -> dict[str, Any]:
    """Record of a stored run.

    Raises
    ------
    DataError
        If the folder holds no run, or its record is damaged.
    """
    try:
        return parse_record((folder / RECORD).read_bytes(), str(folder / RECORD))
    except OSError as problem:
        raise DataError(f'"{folder}" holds no run: {problem.strerror}') from problem


def runs_root(place: Path) -> Path:
    """Folder that contains the run folders: in a store of a sweep, its folder of cells."""
    return place / CELLS if (place / CELLS).is_dir() else place


def run_folders(place: Path) -> list[Path]:
    """Run folders in a folder, or in a store of a sweep, by name; without those that are being written."""
    found = (path.parent for path in runs_root(place).glob(f"*/{RECORD}"))
    return sorted(folder for folder in found if not folder.name.startswith("."))


def no_runs(place: Path) -> DataError:
    """Error for a folder without runs, which says how to make one."""
    return DataError(f'"{place}" holds no run: `critlearn run ... --out {place}` makes one')


def fresh_folder(out: Path, study: str, composition: str, seeds: str) -> Path:
    """New folder, named by study, composition, seeds and the time at Greenwich, which no summer time turns back.

    Raises
    ------
    OutputError
        If all names of this second are taken.
    """
    composition = "".join(c if c.isalnum() or c in "+.-" else "-" for c in composition)
    # The longest name of a file is 255 bytes; an expression may have a thousand.
    composition = composition[:_LONGEST].encode()[: 2 * _LONGEST].decode(errors="ignore")
    stem = f"{study}-{composition}-s{seeds}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    # Runs that end in the same second get a number.
    for number in range(1, 1000):
        folder = out / (stem if number == 1 else f"{stem}-{number}")
        if not folder.exists() and not _partial(folder).exists():
            return folder
    raise OutputError(f'no free name for a run in "{out}"')
