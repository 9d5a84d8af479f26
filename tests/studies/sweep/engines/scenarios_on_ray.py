"""Cells and measurements on a Ray cluster started here; `test_ray` runs these tests in a process of their own."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError, OutputError
from critlearn.fluctuations import measure
from critlearn.network import NeuralSystem, feed_forward
from critlearn.studies import load_study, measure_on_ray
from critlearn.studies.config import ToyConfig
from critlearn.studies.sweep.engines.local import ATTEMPTS, run_locally
from critlearn.studies.sweep.engines.ray import run_on_ray
from critlearn.studies.sweep.engines.ray_cluster import Resources
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell, expand

ray = pytest.importorskip("ray")

CELLS = tuple(Cell("toy", ToyConfig(seed=seed)) for seed in range(4))
STUDY = """
name: three
system: {activation: softsign, loss: mse}
data: {samples: 2000}
training: {epochs: 20, batch_size: 500, lr: 0.05}
seeds: [0, 1, 2]
"""


def count_attempts(cell: Cell, *, folder: Path, kills: int) -> str | None:
    """Leave one file for each attempt; the process of seed 1 kills itself the given number of times."""
    seed = cell.config.seed
    tried = len(list(folder.glob(f"{seed}-*")))
    (folder / f"{seed}-{tried}").touch()
    if seed == 1 and tried < kills:
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def refuse(cell: Cell) -> str | None:
    """Raise as a full disk does."""
    raise OutputError(f"no room for seed {cell.config.seed}")


def begin(cell: Cell, *, folder: Path) -> str | None:
    """Say that the cell was begun."""
    (folder / str(cell.config.seed)).touch()
    return None


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster of two processors for all tests."""
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=2**27,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    yield
    ray.shutdown()


def _quantities(store: str, cells: tuple[Cell, ...]) -> dict[str, Any]:
    kept = ResultsStore(store)
    return {cell.name: kept.record(cell.name)["quantities"] for cell in cells}


@pytest.mark.usefixtures("cluster", "without_shape_checker")
def test_a_cluster_gives_what_local_processes_give(tmp_path: Path) -> None:
    (tmp_path / "three.yaml").write_text(STUDY)
    study = load_study(tmp_path / "three.yaml")
    remote, local = str(tmp_path / "remote"), str(tmp_path / "local")
    assert [reason for _, reason in sweep(study, remote, run_on_ray)] == [None] * 3
    assert [reason for _, reason in sweep(study, local, partial(run_locally, processes=1))] == [None] * 3
    assert _quantities(remote, expand(study)) == _quantities(local, expand(study))


@pytest.mark.usefixtures("cluster", "without_shape_checker")
def test_a_measurement_in_parts_is_that_of_one_machine_bin_for_bin() -> None:
    inputs = torch.linspace(-3.0, 3.0, 300).reshape(100, 3)
    data = TensorDataset(inputs, (inputs.sum(dim=1, keepdim=True) > 0) * 2.0 - 1.0)
    system = NeuralSystem(feed_forward(3, (7,), "tanh", seed=0), Composition("softsign", "mse"), data)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = measure(system, batch_size=9, lr=0.1)
    finally:
        torch.set_num_threads(threads)
    parts = measure_on_ray(system, 3, batch_size=9, lr=0.1)
    assert dict(parts) == dict(whole)
    assert parts.samples == whole.samples == 100


@pytest.mark.usefixtures("cluster")
def test_what_a_part_raises_is_raised_here() -> None:
    data = TensorDataset(torch.zeros(4, 3), torch.ones(4, 1))
    system = NeuralSystem(feed_forward(3, (2,), "tanh", seed=0), Composition("softsign", "mse"), data)
    with pytest.raises(InvalidInputError, match=r"1\.\.2 parts; got 5"):
        measure_on_ray(system, 5, batch_size=2)


@pytest.mark.usefixtures("cluster")
def test_a_cell_whose_process_is_killed_is_tried_again(tmp_path: Path) -> None:
    done = dict(run_on_ray(CELLS, partial(count_attempts, folder=tmp_path, kills=1)))
    assert set(done.values()) == {None}
    assert len(done) == len(CELLS)
    assert len(list(tmp_path.glob("1-*"))) == 2


@pytest.mark.usefixtures("cluster")
def test_a_cell_that_always_kills_its_process_fails_alone(tmp_path: Path) -> None:
    done = {
        cell.config.seed: reason
        for cell, reason in run_on_ray(CELLS, partial(count_attempts, folder=tmp_path, kills=99))
    }
    assert "lost" in str(done.pop(1))
    assert set(done.values()) == {None}
    assert len(list(tmp_path.glob("1-*"))) == ATTEMPTS


@pytest.mark.usefixtures("cluster")
def test_cells_are_handed_to_the_cluster_as_others_finish(tmp_path: Path) -> None:
    running = run_on_ray(CELLS, partial(begin, folder=tmp_path), processes=1)
    assert next(running)[0].config.seed == 0
    running.close()
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


@pytest.mark.usefixtures("cluster")
def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(OutputError, match="no room for seed 0"):
        list(run_on_ray(CELLS[:1], refuse))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(num_gpus=1), "no machine of the cluster has 1 CPU, 1 GPU: 2 CPU, .* GiB of memory"),
        (Resources(num_cpus=3), "no machine of the cluster has 3 CPU"),
        (Resources(memory=2**50), "GiB of memory"),
    ],
)
def test_what_no_machine_has_is_refused_at_once(resources: Resources, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        next(run_on_ray(CELLS, refuse, resources=resources))
