"""Save and load whatever critlearn keeps in files: fluctuations, records of monitors, runs, and results of sweeps."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from critlearn.errors import DataError, InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from critlearn.analysis import Analysis
    from critlearn.fluctuations import Fluctuations
    from critlearn.monitoring import MonitorRecord

    Storable: TypeAlias = Fluctuations | MonitorRecord | Analysis

_ZIP_START = b"PK"
"""First bytes of a zip archive, as NumPy's ``.npz`` files are; a safetensors file starts with a length."""


def save(value: "Storable", path: Path | str) -> None:
    """Write a value under a name, whole or not at all.

    Parameters
    ----------
    value
        `Fluctuations` (written as ``.npz``), a monitor's record (``.safetensors``), or an `Analysis` (a new folder with
        record, fluctuations, weights and report).
    path
        File, or folder of a run; a file that is there is replaced, a folder is not.

    Raises
    ------
    InvalidInputError
        If the value is of a kind that is not kept in files.
    OutputError
        If it cannot be written.
    """
    from critlearn.analysis import Analysis
    from critlearn.fluctuations import Fluctuations, save_fluctuations
    from critlearn.monitoring import MonitorRecord
    from critlearn.monitoring.storage import save_record

    path = Path(path)
    if isinstance(value, Fluctuations):
        save_fluctuations(path, value)
    elif isinstance(value, MonitorRecord):
        save_record(path, value)
    elif isinstance(value, Analysis):
        from critlearn.analysis.run_folder import REPORT, write_folder
        from critlearn.reports.page import report_page

        write_folder(
            path, value, lambda record: {REPORT: report_page(record, value.fluctuations, training=value.training)}
        )
    else:
        raise InvalidInputError(
            f"what can be saved is an Analysis, Fluctuations, or the record of a Monitor; got {type(value).__name__}"
        )


def load(
    path: Path | str,
) -> "Storable | pd.DataFrame":
    """Read what `save`, ``critlearn analyze``, ``run`` or ``sweep`` wrote.

    Nothing is unpickled. What the path holds is found out from its content.

    Returns
    -------
    Fluctuations
        Of a ``.npz`` file.
    MonitorRecord
        Of a ``.safetensors`` file.
    Analysis
        Of a run's folder.
    pandas.DataFrame
        Of a sweep's results, in a folder or behind a URL: one row for each cell and quantity.

    Raises
    ------
    DataError
        If there is nothing, or something else.
    """
    if "://" in str(path):
        return _results(str(path))
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise InvalidInputError(f"a path is a text or a pathlib.Path; got {path!r}")
    path = Path(path)
    if path.is_dir():
        from critlearn.analysis.run_folder import RECORD, read_analysis

        return read_analysis(path) if (path / RECORD).exists() else _results(str(path))
    try:
        with path.open("rb") as file:
            start = file.read(len(_ZIP_START))
    except OSError as problem:
        raise DataError(f'cannot read "{path}": {problem.strerror}') from problem
    if start == _ZIP_START:
        from critlearn.fluctuations import load_fluctuations

        return load_fluctuations(path)
    from critlearn.monitoring.storage import load_record

    return load_record(path)


def _results(location: str) -> "pd.DataFrame":
    """Table of a sweep's results; what is no store is told with all that could have been there."""
    from critlearn.studies import load_results

    try:
        return load_results(location)
    except InvalidInputError as problem:
        raise DataError(f'"{location}" holds neither a run nor results of a sweep: {problem}') from problem
