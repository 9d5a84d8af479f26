"""Cells on real processes: killed ones are tried again, the others go on, and what a task raises is raised."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from critlearn.errors import OutputError
from critlearn.studies.config import ToyConfig
from critlearn.studies.sweep.engines.local import ATTEMPTS, run_locally
from critlearn.studies.sweep.study.cells import Cell

CELLS = tuple(Cell("toy", ToyConfig(seed=seed)) for seed in range(5))


def count_attempts(cell: Cell, *, folder: Path, kills: int, victim: int) -> str | None:
    """Leave one file for each attempt; the victim's process kills itself the given number of times."""
    seed = cell.config.seed
    tried = len(list(folder.glob(f"{seed}-*")))
    (folder / f"{seed}-{tried}-{os.getpid()}").touch()
    if seed == victim and tried < kills:
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def wait_and_start(cell: Cell, *, folder: Path) -> str | None:
    """Say that the cell has started; those after the first two take long."""
    (folder / str(cell.config.seed)).touch()
    if cell.config.seed >= 2:
        time.sleep(60)
    return None


def refuse(cell: Cell) -> str | None:
    """Raise as a full disk does."""
    raise OutputError(f"no room for seed {cell.config.seed}")


def test_a_killed_cell_is_tried_again_and_the_others_once(tmp_path: Path) -> None:
    task = partial(count_attempts, folder=tmp_path, kills=1, victim=1)
    done = dict(run_locally(CELLS, task, processes=2))
    assert set(done.values()) == {None}
    assert len(done) == len(CELLS)
    attempts = [sum(path.name.startswith(f"{seed}-") for path in tmp_path.iterdir()) for seed in range(len(CELLS))]
    assert attempts == [1, 2, 1, 1, 1]


def test_a_cell_that_always_kills_its_process_fails_alone(tmp_path: Path) -> None:
    task = partial(count_attempts, folder=tmp_path, kills=99, victim=0)
    done = {cell.config.seed: reason for cell, reason in run_locally(CELLS[:3], task, processes=1)}
    assert done[1] is None
    assert done[2] is None
    assert "killed" in str(done[0])
    assert len(list(tmp_path.glob("0-*"))) == ATTEMPTS


def test_cells_are_handed_out_when_a_process_is_free_and_processes_end_with_the_sweep(tmp_path: Path) -> None:
    running = run_locally(CELLS, partial(wait_and_start, folder=tmp_path), processes=1)
    started = time.monotonic()
    assert [next(running)[0].config.seed for _ in range(2)] == [0, 1]
    running.close()  # type: ignore[attr-defined]
    # The third may have been handed out; it is not waited for, and the fourth was never begun.
    assert time.monotonic() - started < 55
    assert not (tmp_path / "3").exists()


def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(OutputError, match="no room for seed 0"):
        list(run_locally(CELLS[:1], refuse, processes=1))
