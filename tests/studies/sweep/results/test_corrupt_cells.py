"""Cells that are not what a sweep wrote: each is named with its fault, and none keeps others from being read."""

import json
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import yaml

from critlearn.cli.main import app, exit_code
from critlearn.studies import Study, load_results
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell

TEXT = """
name: small
system: {loss: mse}
data: {samples: 2000}
training: {epochs: 5, batch_size: 500, lr: 0.05}
sweep: {grid: {activation: [softsign, tanh]}}
"""


def here(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
    for cell in cells:
        yield cell, task(cell)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with a study file and its finished store."""
    jaxtyping.config.update("jaxtyping_disable", True)
    folder = tmp_path_factory.mktemp("corrupt")
    (folder / "small.yaml").write_text(TEXT)
    list(sweep(Study.model_validate(yaml.safe_load(TEXT)), str(folder / "store"), here))
    yield folder
    jaxtyping.config.update("jaxtyping_disable", False)


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Spoil a record that stays JSON."""

    def spoil(cell: Path) -> None:
        record = json.loads((cell / "run.json").read_text())
        change(record)
        (cell / "run.json").write_text(json.dumps(record))

    return spoil


def quantity(record: dict[str, Any]) -> dict[str, Any]:
    """A quantity of a record."""
    return next(iter(record["quantities"].values()))


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """Its fit, with an exponent."""
    found = quantity(record)["measured"]
    found.update(exponent=1.0, decades=1.0, window=[1.0, 10.0], log_window=[0.0, 2.3])
    return found


def append(cell: Path, text: str) -> None:
    """Write something at the end of a record: of two entries of one name the last one counts."""
    path = cell / "run.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + text)


def cut(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turn(path: Path) -> None:
    """Change a bit at the end of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty quantity": (edit(lambda r: r.update(quantities={"bias": {}})), "quantities.bias.axis: is missing"),
    "no quantity": (edit(lambda r: r.update(quantities={})), "quantities"),
    "no seconds": (edit(lambda r: r.pop("seconds")), "seconds: is missing"),
    "text": (edit(lambda r: r["equilibrium"].update(certified="perhaps")), "equilibrium.certified: should be a valid"),
    "list": (lambda cell: (cell / "run.json").write_text("[]") and None, "is not a record"),
    "no record": (lambda cell: (cell / "run.json").unlink(), "has no run.json"),
    "no weights": (lambda cell: (cell / "model.safetensors").unlink(), "has no model.safetensors"),
    "no sketches": (lambda cell: (cell / "fluctuations.npz").unlink(), "has no fluctuations.npz"),
    "no note": (lambda cell: (cell / "cell.json").unlink(), "has no cell.json"),
}


DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "deep": (lambda cell: (cell / "run.json").write_text('{"a": ' + "[" * 5000) and None, "nested more than 64 levels"),
    "ends": (edit(lambda r: measured(r).update(ci95=[None, None])), "a fit with an exponent has ends of ci95"),
    "accuracy": (edit(lambda r: r.update(accuracy="x")), "accuracy: should be a valid number"),
    "digits": (edit(lambda r: r.update(accuracy="0.5")), "accuracy: should be a valid number"),
    "infinite": (lambda cell: append(cell, ', "accuracy": 1e999}'), "not finite"),
    "state": (edit(lambda r: r["equilibrium"].update(status="\x1b[31mFINE")), "equilibrium.status: should be"),
    "config": (edit(lambda r: r.update(config={"lr": {"a": 1}})), "config.lr"),
    "curves": (edit(lambda r: quantity(r)["curves"]["measured"].update(exponent=[])), "have different lengths"),
    "empty sketches": (lambda cell: (cell / "fluctuations.npz").write_bytes(b"") and None, "is damaged"),
    "cut weights": (lambda cell: cut(cell / "model.safetensors"), "is damaged"),
    "other weights": (lambda cell: turn(cell / "model.safetensors"), "it is not the file that was written"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_corrupt_cell_is_named_and_the_other_one_is_read(
    fault: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = SPOILT[fault]
    store = tmp_path / "store"
    shutil.copytree(finished / "store", store)
    victim = sorted((store / "cells").iterdir())[0]
    spoil(victim)
    study = str(finished / "small.yaml")

    table = load_results(str(store))
    assert sorted(table["status"]) == ["corrupt", "finished", "finished"]
    assert table.loc[table["cell"] == victim.name, "reason"].str.contains(message, regex=False).all()
    for arguments in (["results", str(store), "--csv"], ["report", str(store)]):
        assert exit_code(app, arguments) == 0
    assert f"corrupt cell {victim.name}: " in capsys.readouterr().err
    assert exit_code(app, ["sweep", study, "--store", str(store), "--dry-run"]) == 0
    assert "2 cells, 0 to run; about" in capsys.readouterr().out

    assert exit_code(app, ["sweep", study, "--store", str(store), "--json"]) == 1
    told = capsys.readouterr()
    state = json.loads(told.out)
    assert (state["finished"], state["corrupt"]) == (1, 1)
    assert message in state["corrupt_cells"][victim.name]
    assert f"remove cells/{victim.name} to have it run again" in told.err


def test_a_run_whose_record_lost_a_number_is_listed_as_corrupt(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(study, runs)
    victim = sorted(path for path in runs.iterdir() if path.is_dir())[0]
    edit(lambda r: r.update(quantities={"bias": {}}))(victim)
    assert exit_code(app, ["runs", "list", "--out", str(runs), "--json"]) == 0
    listed = {row["run"]: row["status"] for row in json.loads(capsys.readouterr().out)["runs"]}
    assert [name for name, status in listed.items() if status == "corrupt"] == [victim.name]
    assert len(listed) == 4
    assert exit_code(app, ["report", str(victim)]) == 2
    assert "quantities.bias" in capsys.readouterr().err


def test_a_cell_that_failed_is_listed_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(cells: tuple[Cell, ...], task: Any) -> Generator[tuple[Cell, str | None]]:
        for cell in cells:
            yield cell, "no luck"

    list(sweep(Study.model_validate(yaml.safe_load(TEXT)), str(tmp_path), failing))
    assert load_results(str(tmp_path))["reason"].tolist() == ["no luck"] * 2
    assert exit_code(app, ["results", str(tmp_path)]) == 0
    assert capsys.readouterr().err.count(": no luck") == 2


@pytest.mark.parametrize("fault", DAMAGED)
def test_what_is_damaged_is_named_and_skipped(
    fault: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = DAMAGED[fault]
    store = tmp_path / "store"
    shutil.copytree(finished / "store", store)
    victim = sorted((store / "cells").iterdir())[0]
    spoil(victim)
    table = load_results(str(store))
    assert sorted(table["status"]) == ["corrupt", "finished", "finished"]
    assert table.loc[table["cell"] == victim.name, "reason"].str.contains(message, regex=False).all()
    # The same folders as plain runs: one that is damaged keeps no other one from being listed or shown.
    if fault != "other weights":
        assert exit_code(app, ["runs", "list", "--out", str(store), "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)["runs"]
        assert {row["run"]: row["status"] for row in listed}[victim.name] == "corrupt"
        assert len(listed) == 2
        assert exit_code(app, ["runs", "list", "--out", str(store)]) == 0
        assert "\x1b" not in "".join(capsys.readouterr())


def test_stores_of_earlier_versions_which_tell_no_hashes_are_read(finished: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished / "store", store)
    for cell in (store / "cells").iterdir():
        edit(lambda r: r.pop("files"))(cell)
    assert set(load_results(str(store))["status"]) == {"finished"}
    cut(cell / "model.safetensors")
    assert sorted(load_results(str(store))["status"]) == ["corrupt", "finished", "finished"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"study": {"name": "other"}}', '{"a": ' * 5000])
def test_a_study_whose_cells_cannot_be_read_keeps_no_other_one(
    content: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished / "store", store)
    (store / "studies" / "other.json").write_text(content)
    assert exit_code(app, ["results", str(store)]) == 0
    told = capsys.readouterr()
    assert "corrupt cell studies/other.json: " in told.err
    assert len(told.err.splitlines()) == 1
    assert "softsign" in told.out
