"""Methods of stored runs: their settings and versions, and the study files that made them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from critlearn.analysis.run_folder import read_record, run_folders
from critlearn.errors import DataError
from critlearn.studies.sweep.results.store import MARK, ResultsStore
from critlearn.studies.sweep.study.schema import study_text


@dataclass(frozen=True, eq=False)
class RunMethod:
    """Method of one run.

    Parameters
    ----------
    study
        Kind of the system, as in ``critlearn run KIND``.
    config
        All of its settings.
    versions
        Versions of critlearn and of the packages that the numbers depend on; empty if it is not finished.
    tolerance
        Tolerance of the certificate of equilibrium; None if the run is not finished, or its record has none.
    """

    study: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    tolerance: float | None


@dataclass(frozen=True, eq=False)
class Methods:
    """Methods of all runs in a folder or store.

    Parameters
    ----------
    location
        Folder or URL, as the user wrote it.
    runs
        Methods of every run that can be read, or that a study has yet to run.
    study_files
        Text of each study file by its path; none where runs were made one by one.
    """

    location: str
    runs: tuple[RunMethod, ...]
    study_files: Mapping[str, str]


def read_methods(location: str) -> Methods:
    """Methods of the runs in a folder, or in the store of a sweep.

    Raises
    ------
    DataError
        If a manifest of the store cannot be read.
    """
    if "://" in location or (Path(location) / MARK).is_file():
        return _of_store(location)
    runs = []
    for folder in run_folders(Path(location)):
        # The table of runs lists what cannot be read, with the reason.
        with suppress(DataError):
            runs.append(_of_record(read_record(folder)))
    return Methods(location, tuple(runs), {})


def _of_store(location: str) -> Methods:
    store = ResultsStore(location)
    runs, texts = [], {}
    for name, manifest in store.studies().items():
        texts[store.study_file(name) or f"{name}.yaml"] = study_text(manifest.study)
        for cell_name, cell in manifest.all_cells().items():
            record = store.cell(cell_name).record
            runs.append(RunMethod(cell.kind, cell.config, {}, None) if record is None else _of_record(record))
    return Methods(location, tuple(runs), texts)


def _of_record(record: Mapping[str, Any]) -> RunMethod:
    return RunMethod(record["study"], record["config"], record["versions"], record["equilibrium"].get("tolerance"))
