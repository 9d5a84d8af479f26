"""Table of all cells of a store: a row for each cell and quantity."""

from pathlib import Path
from typing import Any, Final

import pandas as pd

from critlearn.analysis.table import measured_quantities, row_of
from critlearn.errors import DataError, InvalidInputError
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.conditions import in_one_field, parse_condition
from critlearn.studies.sweep.study.manifest import Manifest
from critlearn.whole_files import replacing

COLUMNS: Final = (
    "equilibrium", "study", "cell", "status", "quantity", "measured_exponent", "predicted_exponent", "ci_low",
    "ci_high", "decades", "verdict", "agreement", "explained_by", "certified", "epochs_trained", "seconds", "code",
    "planned", "reason", "seed",
)  # fmt: skip
"""Columns of every table of results; those of the swept settings follow."""


def load_results(location: str, *, where: str | None = None, every_quantity: bool = False) -> pd.DataFrame:
    """Table of a store; cells that are not finished have one row without a quantity.

    Parameters
    ----------
    location
        Folder or URL of the store.
    where
        Conditions on columns, as in ``activation == tanh and measured_exponent > 1.2``.
    every_quantity
        Whether to have rows of all quantities of the records, also of those that the study does not ask for.

    Raises
    ------
    InvalidInputError
        If it is not a store, or a condition has an unknown name.
    """
    store = ResultsStore(location)
    manifests = store.manifests()
    read = {study: found for study, found in manifests.items() if isinstance(found, Manifest)}
    swept = list(dict.fromkeys(name for manifest in read.values() for name in manifest.swept))
    # A study whose list of cells cannot be read is a row as a corrupt cell is, and keeps no other one from being read.
    rows = [
        {**dict.fromkeys([*COLUMNS, *swept]), "study": study, "cell": f"studies/{study}.json", "status": "corrupt"}
        | {"reason": str(problem)}
        for study, problem in manifests.items()
        if isinstance(problem, DataError)
    ]
    rows += [
        row
        for study, manifest in read.items()
        for row in _rows(store, study, manifest, swept, every_quantity=every_quantity)
    ]
    if where is not None:
        condition = parse_condition(where)
        rows = [row for row in rows if condition.holds(row)]
    return pd.DataFrame(rows, columns=[*COLUMNS, *swept])


def save_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table of results as Parquet, with a type for each column; columns of mixed types become text.

    Raises
    ------
    InvalidInputError
        If the file is not named ``.parquet``.
    OutputError
        If it cannot be written.
    """
    if path.suffix != ".parquet":
        raise InvalidInputError(f'tables are written as .parquet; got "{path.name}"')
    typed = table.convert_dtypes()
    mixed = [name for name in typed.columns if typed[name].dtype == object]
    with replacing(path) as temporary:
        typed.astype(dict.fromkeys(mixed, "string")).to_parquet(temporary, index=False)
    return path


def _rows(
    store: ResultsStore, study: str, manifest: Manifest, swept: list[str], *, every_quantity: bool
) -> list[dict[str, Any]]:
    """Rows of one study; earlier cells that have failed or were never run are left out."""
    wanted = () if every_quantity else manifest.study.measure.quantities
    rows = []
    for cell_name, cell in manifest.all_cells().items():
        base = dict.fromkeys(COLUMNS)
        stored = store.cell(cell_name)
        if cell_name in manifest.earlier and stored.due:
            continue
        base |= {"study": study, "cell": cell_name, "status": stored.status, "seed": cell.config["seed"]}
        base |= {"planned": cell_name in manifest.cells, "reason": stored.reason}
        base |= {setting: in_one_field(cell.config.get(setting)) for setting in swept}
        record = stored.record
        if record is None:
            rows.append(base)
            continue
        shown = [name for name in measured_quantities(record) if not wanted or name in wanted]
        rows += [{**base, **quantity_columns(record, name), "code": record["code"]} for name in shown]
    return rows


def quantity_columns(record: dict[str, Any], name: str) -> dict[str, Any]:
    """Columns of a table that describe one quantity of a run: the entries of `COLUMNS` that come from its record."""
    row = row_of(record, name)
    kept = ("quantity", "predicted_exponent", "ci_low", "ci_high", "decades", "verdict", "agreement", "explained_by")
    return {
        **{column: row[column] for column in kept},
        "measured_exponent": row["exponent"],
        "equilibrium": row["status"],
        "certified": record["equilibrium"]["certified"],
        "epochs_trained": record["equilibrium"]["epochs"],
        "seconds": record["seconds"],
    }
