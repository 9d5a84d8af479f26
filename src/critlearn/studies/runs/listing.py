"""Runs by name: listed, read, compared and removed."""

import math
import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from critlearn.analysis.run_folder import FLUCTUATIONS, RECORD, WEIGHTS, no_runs, read_record, run_folders, runs_root
from critlearn.analysis.stored_files import check_files
from critlearn.analysis.table import row_of
from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.inference.comparison_tests import compare_exponents

_FILES: Final = (RECORD, FLUCTUATIONS, WEIGHTS)
"""Files that every run folder has; a folder without one of them is not removed as a run."""


def run_names(out: Path) -> list[str]:
    """Names of the runs in a folder, or in a store of a sweep, in alphabetical order.

    Raises
    ------
    DataError
        If it holds none.
    """
    names = [folder.name for folder in run_folders(out)]
    if not names:
        raise no_runs(out)
    return names


def find_run(out: Path, wanted: str) -> Path:
    """Folder of a run, by its name, by a prefix that no other run has, or by the path of the folder itself.

    Raises
    ------
    InvalidInputError
        If there is no such run, or there are several.
    """
    if (Path(wanted) / RECORD).is_file():
        return Path(wanted)
    names = run_names(out)
    fitting = [wanted] if wanted in names else [name for name in names if name.startswith(wanted)]
    if len(fitting) > 1:
        raise InvalidInputError(f'"{wanted}" is the beginning of {len(fitting)} runs: {", ".join(fitting[:3])}')
    if not fitting:
        near = get_close_matches(wanted, names, n=1, cutoff=0.3)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise InvalidInputError(
            f'no run "{wanted}" in "{out}"{hint} (`critlearn runs list --out {out}` lists all {len(names)})'
        )
    return runs_root(out) / fitting[0]


def run_record(folder: Path) -> dict[str, Any]:
    """Record of a run, with the folder where it is now.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    return {**read_record(folder), "run_dir": str(folder)}


def run_rows(out: Path) -> list[dict[str, Any]]:
    """Row of plain values for each run, with its first quantity; for a corrupt run its name and the reason.

    Raises
    ------
    DataError
        If there is no run.
    """
    rows = []
    for name in run_names(out):
        try:
            folder = runs_root(out) / name
            record = run_record(folder)
            # Sizes alone: a list should not read the weights of every network.
            check_files(folder, record, (FLUCTUATIONS, WEIGHTS), hashed=False)
            rows.append({"run": name, "status": "finished", **_row(record)})
        except DataError as problem:
            rows.append({"run": name, "status": "corrupt", "reason": str(problem)})
    return rows


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Row of a run in the list."""
    name = next(iter(record["quantities"]))
    row = row_of(record, name)
    return {
        "study": record["study"],
        "composition": record["composition"]["name"],
        "data": record["data"],
        "seed": record["seed"],
        "equilibrium": record["equilibrium"]["status"],
        "certified": record["equilibrium"]["certified"],
        "quantity": name,
        "exponent": row["exponent"],
        "ci95": None if row["ci_low"] is None else [row["ci_low"], row["ci_high"]],
        "verdict": row["verdict"],
        "agreement": row["agreement"],
        "explained_by": row["explained_by"],
    }


def compare_runs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and versions in which two records differ, and the exponents of the quantities that both have.

    The difference of two exponents is tested if both were measured. The test assumes independent runs, which two runs
    on the same data are not. Each exponent is that on the window of its run, and local exponents depend on the window.
    """
    quantities = {}
    for name in first["quantities"]:
        if name in second["quantities"]:
            pair = [record["quantities"][name]["measured"] for record in (first, second)]
            quantities[name] = {
                "exponents": [measured["exponent"] for measured in pair],
                "ci95": [measured["ci95"] for measured in pair],
                "windows": [measured["window"] for measured in pair],
                "verdicts": [measured["verdict"] for measured in pair],
                "difference": _difference(*pair),
            }
    return {
        "runs": [first["run_dir"], second["run_dir"]],
        "settings": _differing(first["config"], second["config"]),
        "versions": _differing(first["versions"], second["versions"]),
        "certified": [record["equilibrium"]["certified"] for record in (first, second)],
        "quantities": quantities,
        "unshared": sorted(set(first["quantities"]) ^ set(second["quantities"])),
    }


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """Test of the second exponent against the first."""
    if any(measured["exponent"] is None or not measured["stderr"] for measured in (first, second)):
        return None
    # The runs are taken to be independent: their variances add.
    error = math.hypot(first["stderr"], second["stderr"])
    return compare_exponents([(second["exponent"], error)], first["exponent"]).to_dict()


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Both values of every name in which they differ; None for a missing one."""
    names = dict.fromkeys([*first, *second])
    return {name: [first.get(name), second.get(name)] for name in names if first.get(name) != second.get(name)}


def removable_run(out: Path, wanted: str) -> Path:
    """Folder of a run that may be removed: named by its whole name or path, and complete.

    Raises
    ------
    InvalidInputError
        If it is not.
    """
    folder = find_run(out, wanted)
    if wanted not in (folder.name, str(folder)) and Path(wanted) != folder:
        raise InvalidInputError(f'"{wanted}" is not the whole name of a run; did you mean "{folder.name}"?')
    # Nothing else than a run is ever removed, whatever the name leads to.
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing or folder.is_symlink() or folder.resolve() == Path.cwd():
        reason = f"it has no {missing[0]}" if missing else "it is a link, or the current folder"
        raise InvalidInputError(f'"{folder}" is not removed: {reason}')
    return folder


def remove_run(folder: Path) -> None:
    """Remove a run; it is renamed first, so that a half-removed folder is never taken for a run.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    doomed = folder.parent / f".{folder.name}.removed"
    try:
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as problem:
        raise OutputError(f'cannot remove "{folder}": {problem.strerror}') from problem
