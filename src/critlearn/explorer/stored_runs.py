"""Stored runs as the page needs them, read again only when their files have changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from critlearn.analysis.run_folder import FLUCTUATIONS, RECORD, read_run, runs_root
from critlearn.errors import DataError
from critlearn.explorer.pictures.picture import Picture, drawn
from critlearn.figures.anatomy import explained
from critlearn.reports.explanation import anatomy_illustration, anatomy_sentence, ladder_rows, level_meanings
from critlearn.reports.page import illustrations
from critlearn.studies.runs.listing import run_record
from critlearn.studies.runs.table import runs_table, setting_columns

_WATCHED: Final = (RECORD, f"*/{RECORD}", "cells/*", f"cells/*/{RECORD}", "studies/*.json", "failures/*.json")
_LABELLED: Final = ("activation", "loss", "inputs", "data", "seed")
"""Settings that a run's label names anyway."""

State = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, eq=False)
class Runs:
    """The table of a folder, and a name in words for each of its runs that can be shown."""

    table: pd.DataFrame
    labels: dict[str, str]


@dataclass(frozen=True, eq=False)
class Shown:
    """Sentence and picture of one quantity of a run."""

    statement: str
    picture: Picture


@dataclass(frozen=True, eq=False)
class Explained:
    """What explains a run: its anatomy drawn and in sentences, levels with their meaning, and the ladder as a table."""

    picture: Picture | None
    sentences: tuple[str, ...]
    levels: tuple[str, ...]
    ladder: pd.DataFrame


def runs_of(folder: Path) -> Runs:
    """Runs of a folder, of a store of a sweep, or the one run whose folder it is.

    Raises
    ------
    DataError
        If there is none.
    """
    return _runs(str(folder), state_of(folder, _WATCHED))


def quantity_of(folder: Path, cell: str, quantity: str) -> Shown | None:
    """Sentence and density of a quantity of a run; None if the run has no such quantity.

    Raises
    ------
    DataError
        If the run cannot be read.
    """
    place = place_of(folder, cell)
    return _shown(str(place), quantity, state_of(place, (RECORD, FLUCTUATIONS)))


def explanation_of(folder: Path, cell: str) -> Explained | None:
    """What explains a run; None if it has no ladder of predictions.

    Raises
    ------
    DataError
        If the run cannot be read.
    """
    place = place_of(folder, cell)
    return _explained(str(place), state_of(place, (RECORD,)))


def place_of(folder: Path, cell: str) -> Path:
    """Folder of a run."""
    return folder if (folder / RECORD).is_file() else runs_root(folder) / cell


def state_of(folder: Path, watched: tuple[str, ...]) -> State:
    """Names, times and sizes of the watched files: they differ where a file has changed."""
    found = []
    for path in sorted(path for pattern in watched for path in folder.glob(pattern)):
        about = path.stat()
        found.append((str(path), about.st_mtime_ns, about.st_size))
    return tuple(found)


@st.cache_data(max_entries=4, show_spinner=False)
def _runs(folder: str, state: State) -> Runs:
    """Table and labels of a folder, kept until its state changes."""
    table = runs_table(Path(folder))
    labels = {}
    varied = [name for name in setting_columns(table) if name not in _LABELLED]
    for cell, rows in table[table["quantity"].notna()].groupby("cell", sort=False):
        try:
            record = run_record(place_of(Path(folder), str(cell)))
        except DataError:
            # It was there when the table was read.
            continue
        labels[str(cell)] = label(str(cell), record, {name: rows[name].iloc[0] for name in varied})
    return Runs(table, labels)


def label(cell: str, record: Mapping[str, Any], varied: Mapping[str, Any]) -> str:
    """A run in words: composition, data, seed, further settings that vary, and what is left of its name."""
    config = record["config"]
    inputs = config.get("data") or config.get("inputs") or record["data"]
    others = [f"{name.replace('_', ' ')} {value}" for name, value in varied.items() if not pd.isna(value)]
    seed = f"seed {record['seed']}"
    before, _, after = cell.rpartition(f"-s{record['seed']}-")
    short = after if before else cell[:8]
    return " · ".join([record["composition"]["name"], str(inputs), seed, *others, short])


@st.cache_data(max_entries=100, show_spinner=False)
def _shown(place: str, quantity: str, state: State) -> Shown | None:
    """Sentence and picture of a quantity, kept until the state of the run's files changes."""
    record, fluctuations = read_run(Path(place))
    if quantity not in record["quantities"]:
        return None
    statement = str(record["quantities"][quantity]["statement"])
    return Shown(statement, drawn(illustrations(record, fluctuations)[quantity][0]))


@st.cache_data(max_entries=20, show_spinner=False)
def _explained(place: str, state: State) -> Explained | None:
    """What explains a run, kept until the state of its record changes."""
    quantities = run_record(Path(place))["quantities"]
    rows = ladder_rows(quantities)
    if not rows:
        return None
    variables = explained(quantities)
    levels = level_meanings(quantities)
    table = [
        {
            "quantity": row.quantity,
            "measured k": row.measured,
            "level": f"{level.level} {level.name}",
            "k": level.exponent,
            "distance": level.distance,
            "noise": level.noise,
            "outcome": level.outcome,
            "samples needed": level.needed,
        }
        for row in rows
        for level in row.levels
    ]
    return Explained(
        drawn(anatomy_illustration(quantities)) if variables else None,
        tuple(f"{name}: {anatomy_sentence(entry)}." for name, entry in variables.items()),
        tuple(f"{number} {name}: {meaning}." for number, (name, meaning) in levels.items()),
        pd.DataFrame(table),
    )
