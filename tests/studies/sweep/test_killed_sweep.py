"""A sweep whose process group is killed goes on where it was, and ends with what an unbroken one gives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.studies import load_study
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell

STUDY = """
name: killed
system: {activation: softsign, loss: mse}
data: {samples: 2000}
training: {epochs: 20, batch_size: 500, lr: 0.05}
seeds: [0, 1, 2, 3]
"""


PROGRAM = [sys.executable, "-c", "from critlearn.cli.main import main; main()"]


def _sweep(study: Path, store: Path, processes: int) -> list[str]:
    return ["sweep", str(study), "--store", str(store), "--processes", str(processes), "--json"]


def _finished(store: Path) -> list[str]:
    return sorted(path.parent.name for path in store.glob("cells/*/run.json") if not path.parent.name.startswith("."))


def _results(store: str) -> dict[str, Any]:
    """Quantities of all cells, by name."""
    kept = ResultsStore(store)
    return {name: kept.record(name)["quantities"] for plan in kept.studies().values() for name in plan.cells}


def test_a_killed_sweep_goes_on_with_the_same_results_as_one_process(
    tmp_path: Path, without_shape_checker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    study, store = tmp_path / "killed.yaml", tmp_path / "store"
    study.write_text(STUDY)
    first = subprocess.Popen([*PROGRAM, *_sweep(study, store, 2)], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not _finished(store) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = {name: (store / "cells" / name / "run.json").stat().st_mtime_ns for name in _finished(store)}
    assert before

    assert exit_code(app, _sweep(study, store, 1)) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == len(_finished(store)) == 4
    assert all((store / "cells" / name / "run.json").stat().st_mtime_ns == time for name, time in before.items())
    assert not [path for path in store.rglob("*partial*")]

    def here(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
        for cell in cells:
            yield cell, task(cell)

    unbroken = str(tmp_path / "unbroken")
    list(sweep(load_study(study), unbroken, here))
    assert _results(unbroken) == _results(str(store))
