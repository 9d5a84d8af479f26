"""A sweep in one process: finished cells stay, others are run, and the table has all of them."""

import errno
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from critlearn.errors import InvalidInputError, OutputError
from critlearn.studies import Study, load_results
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.results.table import save_table
from critlearn.studies.sweep.run import run_cell, sweep
from critlearn.studies.sweep.state import estimate, sweep_state
from critlearn.studies.sweep.study.cells import Cell, expand

STUDY = Study.model_validate(
    {
        "name": "small",
        "system": {"loss": "mse"},
        "data": {"samples": 2000},
        "training": {"epochs": 20, "batch_size": 500, "lr": 0.05},
        "sweep": {"grid": {"activation": ["softsign", "tanh"]}},
    }
)


def here(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
    for cell in cells:
        yield cell, task(cell)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    jaxtyping.config.update("jaxtyping_disable", True)
    location = str(tmp_path_factory.mktemp("results"))
    assert [reason for _, reason in sweep(STUDY, location, here)] == [None, None]
    yield location
    jaxtyping.config.update("jaxtyping_disable", False)


def test_finished_cells_are_never_run_again(store: str) -> None:
    assert sweep_state((STUDY,), store).complete
    assert list(sweep(STUDY, store, here)) == []


def test_the_table_has_a_row_for_each_cell_and_quantity(store: str) -> None:
    table = load_results(store)
    assert {"cell", "status", "quantity", "measured_exponent", "predicted_exponent", "seed", "activation"} <= set(table)
    assert sorted(zip(table["activation"], table["quantity"], strict=True)) == [
        (activation, quantity) for activation in ("softsign", "tanh") for quantity in ("bias", "weight")
    ]
    assert len(load_results(store, where="activation == tanh")) == 2
    assert table["epochs_trained"].between(1, 20).all()


def test_a_corrupt_cell_is_reported_and_skipped(store: str) -> None:
    record = next(iter(Path(store).glob("cells/*/run.json")))
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    try:
        assert sorted(load_results(store)["status"]) == ["corrupt", "finished", "finished"]
        assert not sweep_state((STUDY,), store).complete
    finally:
        record.write_text(whole)


def test_a_changed_study_keeps_the_cells_of_the_earlier_one_in_the_table(store: str, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    shutil.copytree(store, place)
    changed = Study.model_validate(
        {
            **STUDY.model_dump(exclude_none=True),
            "system": {"activation": "softsign"},
            "training": {"epochs": 10, "batch_size": 500, "lr": 0.05},
            "sweep": {"grid": {"loss": ["mse"]}},
        }
    )

    def nowhere(cells: tuple[Cell, ...], task: Any) -> Generator[tuple[Cell, str | None]]:
        yield from ()

    list(sweep(changed, place, nowhere))
    table = load_results(place)
    assert sorted(zip(table["epochs"], table["activation"], table["status"], table["planned"], strict=True)) == [
        (10, "softsign", "missing", True),
        *[(20, activation, "finished", False) for activation in ("softsign", "tanh") for _ in range(2)],
    ]
    # Back to the first one: nothing is run again, and what was never run is forgotten.
    assert list(sweep(STUDY, place, here)) == []
    again = load_results(place)
    assert again["planned"].all()
    pd.testing.assert_frame_equal(again, load_results(store))


def test_a_plan_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    ResultsStore(str(tmp_path), create=True)
    (tmp_path / "studies" / "small.json").write_text('{"study": {"name": "small"}, "swept": []}')
    (row,) = load_results(str(tmp_path)).to_dict("records")
    assert row["status"] == "corrupt"
    assert "is not the manifest of a study: cells: is missing" in row["reason"]


def test_a_store_belongs_to_one_sweep_at_a_time(store: str) -> None:
    with ResultsStore(store).locked(), pytest.raises(OutputError, match="another sweep"):
        list(sweep(STUDY, store, here))


def test_a_store_that_cannot_be_written_to_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ResultsStore(str(tmp_path), create=True)
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match="cannot be written to: Is a directory"):
        list(sweep(STUDY, str(tmp_path), here))
    (tmp_path / ".lock").rmdir()

    def read_only(*arguments: Any, **settings: Any) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(OutputError, match="cannot be written to: Read-only file system"):
        list(sweep(STUDY, str(tmp_path), here))


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="not a store"):
        list(sweep(STUDY, str(tmp_path), here))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    for content, told in (('{"format": 99}', "is a store of format 99; .* reads format 1"), ("{", "is not a store of")):
        (tmp_path / "critlearn-store.json").write_text(content)
        with pytest.raises(InvalidInputError, match=told):
            load_results(str(tmp_path))
        with pytest.raises(InvalidInputError, match=told):
            list(sweep(STUDY, str(tmp_path), here))


def test_a_dry_run_refuses_what_is_no_store_and_writes_nothing(tmp_path: Path) -> None:
    assert estimate((STUDY,), str(tmp_path / "new"), 1)["seconds"] is None
    assert estimate((STUDY,), str(tmp_path), 1)["due"] == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="is not a store of results: it has no"):
        estimate((STUDY,), str(tmp_path), 1)
    with pytest.raises(InvalidInputError, match="is not a store of results"):
        estimate((STUDY,), str(tmp_path / "thesis.txt"), 1)


def test_the_time_is_estimated_from_finished_cells(store: str) -> None:
    more = STUDY.model_copy(update={"seeds": (0, 1, 2)})
    plan = estimate((more,), store, 2)
    seconds = load_results(store).drop_duplicates("cell")["seconds"]
    assert (plan["cells"], plan["due"]) == (6, 4)
    assert plan["seconds"] == pytest.approx(seconds.mean() * 4 / 2)


def test_a_cell_that_fails_is_noted_and_run_again(tmp_path: Path) -> None:
    def failing(cells: tuple[Cell, ...], task: Any) -> Generator[tuple[Cell, str | None]]:
        for cell in cells:
            yield cell, "no luck"

    list(sweep(STUDY, str(tmp_path), failing))
    assert sweep_state((STUDY,), str(tmp_path)).to_dict()["failed"] == 2
    offered: list[Cell] = []

    def refusing(cells: tuple[Cell, ...], task: Any) -> Generator[tuple[Cell, str | None]]:
        offered.extend(cells)
        yield from ()

    list(sweep(STUDY, str(tmp_path), refusing))
    assert len(offered) == 2


def test_an_error_that_nobody_foresaw_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Cell) -> None:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(Cell, "run", broken)
    ResultsStore(str(tmp_path), create=True)
    reason = run_cell(expand(STUDY)[0], location=str(tmp_path))
    line = broken.__code__.co_firstlineno + 1
    assert reason == f"ZeroDivisionError: float division by zero (line {line} of {Path(__file__).name})"


def test_what_a_worker_left_half_written_is_gone_when_the_sweep_ends(tmp_path: Path) -> None:
    def dying(cells: tuple[Cell, ...], task: Any) -> Generator[tuple[Cell, str | None]]:
        (tmp_path / "cells" / f".{cells[0].name}.partial").mkdir()
        raise OutputError("no space")
        yield

    with pytest.raises(OutputError, match="no space"):
        list(sweep(STUDY, str(tmp_path), dying))
    assert not list((tmp_path / "cells").iterdir())


def test_the_table_is_written_as_parquet_with_a_type_for_each_column(store: str, tmp_path: Path) -> None:
    table = load_results(store)
    table["mixed"] = [1, "two", 3, None]
    read = pd.read_parquet(save_table(table, tmp_path / "table.parquet"))
    assert pd.api.types.is_float_dtype(read["measured_exponent"])
    assert pd.api.types.is_integer_dtype(read["seed"])
    assert read["mixed"].fillna("").tolist() == ["1", "two", "3", ""]
    assert read["cell"].tolist() == table["cell"].tolist()
    np.testing.assert_array_equal(read["measured_exponent"].astype(float), table["measured_exponent"].astype(float))


def test_the_table_is_written_whole_or_not_at_all(store: str, tmp_path: Path) -> None:
    table = load_results(store)
    with pytest.raises(InvalidInputError, match=r"tables are written as .parquet; got \"table.xlsx\""):
        save_table(table, tmp_path / "table.xlsx")
    with pytest.raises(OutputError, match="cannot write"):
        save_table(table, tmp_path / "nowhere" / "table.parquet")
    assert list(tmp_path.iterdir()) == []
