"""How stored runs were made, and the study files that made them: what the page of many runs tells of its methods."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from critlearn.errors import DataError
from critlearn.studies.record_schema import parse_record
from critlearn.studies.run_folder import RECORD
from critlearn.studies.runs.table import runs_folder
from critlearn.studies.sweep.results.store import MARK, ResultsStore
from critlearn.studies.sweep.study.schema import study_text


@dataclass(frozen=True, eq=False)
class RunMethod:
    """How one run was made.

    Parameters
    ----------
    study
        Kind of its system, as in ``critlearn run KIND``.
    config
        All of its settings.
    versions
        Of critlearn and the packages that its numbers depend on; empty if it is not finished.
    tolerance
        Of its certificate of equilibrium; None if it is not finished, or its record does not tell.
    """

    study: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    tolerance: float | None


@dataclass(frozen=True, eq=False)
class Methods:
    """How the runs of one place were made.

    Parameters
    ----------
    place
        Folder or URL, as it was given.
    runs
        Of every run that can be read, or that a study still plans.
    study_files
        Text of each study file by its path; none where runs were made one by one.
    """

    place: str
    runs: tuple[RunMethod, ...]
    study_files: Mapping[str, str]


def read_methods(place: str) -> Methods:
    """Methods of the runs in a folder, or in the store of a sweep.

    Raises
    ------
    DataError
        If a plan of the store cannot be read.
    """
    if "://" in place or (Path(place) / MARK).is_file():
        return _of_store(place)
    runs = []
    for path in sorted(runs_folder(Path(place)).glob(f"*/{RECORD}")):
        if path.parent.name.startswith("."):
            continue
        try:
            record = parse_record(path.read_bytes(), str(path))
        except (OSError, DataError):
            # The table of runs names it, with what is wrong.
            continue
        runs.append(_of_record(record))
    return Methods(place, tuple(runs), {})


def _of_store(place: str) -> Methods:
    store = ResultsStore(place)
    runs, texts = [], {}
    for name, plan in store.studies().items():
        texts[store.study_file(name) or f"{name}.yaml"] = study_text(plan.study)
        for cell_name, cell in plan.all_cells().items():
            record = store.cell(cell_name).record
            runs.append(RunMethod(cell.kind, cell.config, {}, None) if record is None else _of_record(record))
    return Methods(place, tuple(runs), texts)


def _of_record(record: Mapping[str, Any]) -> RunMethod:
    return RunMethod(record["study"], record["config"], record["versions"], record["equilibrium"].get("tolerance"))
