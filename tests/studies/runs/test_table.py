"""Stored runs as one table."""

from pathlib import Path

import pytest

from critlearn.errors import InvalidInputError
from critlearn.reports.study_page import statement
from critlearn.studies.runs.table import runs_table, setting_columns


def test_runs_become_a_table_with_the_settings_that_differ(study: Path) -> None:
    table = runs_table(study)
    assert len(table) == 8
    assert setting_columns(table) == ["activation", "loss"]
    assert set(table["quantity"]) == {"bias", "weight"}
    assert statement(table).startswith("4 runs, ")


def test_a_store_of_a_sweep_is_read_without_what_is_half_written(study: Path, tmp_path: Path) -> None:
    runs = sorted(path for path in study.iterdir() if path.is_dir())[:2]
    for run, name in zip(runs, ("aa", ".bb.partial"), strict=True):
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "run.json").write_text((run / "run.json").read_text())
    assert set(runs_table(tmp_path)["cell"]) == {"aa"}


def test_a_record_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert runs_table(tmp_path)["status"].tolist() == ["corrupt"]


def test_conditions_choose_rows_of_runs_as_of_a_store(study: Path) -> None:
    table = runs_table(study)
    bias = runs_table(study, where="quantity == bias and seed == 0")
    expected = table[(table["quantity"] == "bias") & (table["seed"] == 0)]
    assert bias["cell"].tolist() == expected["cell"].tolist()
    assert 0 < len(bias) < len(table)
    with pytest.raises(InvalidInputError, match="unknown"):
        runs_table(study, where="nonsense == 1")
