"""Table of many stored runs: a row for each run and quantity."""

from pathlib import Path
from typing import Any

import pandas as pd

from critlearn.analysis.run_folder import FLUCTUATIONS, RECORD, WEIGHTS, no_runs, read_record, run_folders
from critlearn.analysis.stored_files import check_files
from critlearn.analysis.table import measured_quantities
from critlearn.errors import DataError
from critlearn.studies.sweep.results.store import MARK
from critlearn.studies.sweep.results.table import COLUMNS, load_results, quantity_columns
from critlearn.studies.sweep.study.conditions import in_one_field, parse_condition


def runs_table(folder: Path, *, where: str | None = None) -> pd.DataFrame:
    """Table of all runs in a folder, with the settings in which they differ as columns; of a store, by `load_results`.

    The folder of a single run is a table of that run. A record that cannot be read is a row of status ``corrupt``.

    Parameters
    ----------
    folder
        Folder of runs, of one run, or store of a sweep.
    where
        Conditions on columns, as for `load_results`.

    Raises
    ------
    DataError
        If the folder holds no run.
    InvalidInputError
        If a condition has an unknown name.
    """
    if (folder / MARK).is_file():
        return load_results(str(folder), where=where)
    rows: list[dict[str, Any]] = []
    settings: list[dict[str, Any]] = []
    alone = folder.resolve()
    for run_folder in [alone] if (alone / RECORD).is_file() else run_folders(folder):
        name = run_folder.name
        try:
            record = read_record(run_folder)
            check_files(run_folder, record, (FLUCTUATIONS, WEIGHTS), hashed=False)
        except DataError as problem:
            rows.append({"cell": name, "status": "corrupt", "reason": str(problem)})
            settings.append({})
            continue
        run = {"study": record["study"], "cell": name, "status": "finished", "seed": record["seed"]}
        run["code"] = record["versions"].get("critlearn")
        quantities = measured_quantities(record)
        rows += [{**run, **quantity_columns(record, quantity)} for quantity in quantities]
        swept = {setting: in_one_field(value) for setting, value in record["config"].items() if setting != "seed"}
        settings += [swept] * len(quantities)
    if not rows:
        raise no_runs(folder)
    values = pd.DataFrame(settings)
    differing = [name for name in values if values[name].dropna().nunique() > 1]
    table = pd.concat([pd.DataFrame(rows, columns=list(COLUMNS)), values[differing]], axis=1)
    if where is None:
        return table
    condition = parse_condition(where)
    plain = table.astype(object).where(table.notna(), None).to_dict("records")
    return table[[condition.holds({str(name): value for name, value in row.items()}) for row in plain]]


def setting_columns(table: pd.DataFrame) -> list[str]:
    """Names of the columns that are settings."""
    return [str(name) for name in table.columns if name not in COLUMNS]
