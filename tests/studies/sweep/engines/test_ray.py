"""Cells on a Ray cluster, in a process of its own; addresses that are none, and what is done without a cluster."""

import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from apart import run_tests_apart
from critlearn.errors import InvalidInputError, MissingPackageError, OutputError
from critlearn.studies import load_study
from critlearn.studies.config import ToyConfig
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.engines.ray import _in_flight, run_on_ray
from critlearn.studies.sweep.engines.ray_cluster import Resources, cancel_unfinished
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray

CELLS = tuple(Cell("toy", ToyConfig(seed=seed)) for seed in range(4))


def refuse(cell: Cell) -> str | None:
    """Raise as a full disk does."""
    raise OutputError(f"no room for seed {cell.config.seed}")


def test_scenarios_on_a_cluster(tmp_path: Path) -> None:
    run_tests_apart(Path(__file__).with_name("scenarios_on_ray.py"), tmp_path)


def test_tasks_that_have_a_result_or_end_soon_are_not_cancelled() -> None:
    """Of ten tasks, 0 and 2 are done, 3 ends within the second that those have that may run, 1 goes on."""
    cancelled: list[str] = []
    done = {"0", "2"}

    def wait(tasks: list[str], *, num_returns: int, timeout: float, fetch_local: bool) -> tuple[list[str], list[str]]:
        assert num_returns == len(tasks)
        assert not fetch_local
        if timeout:
            done.add("3")
        # The order is not the one given.
        left = sorted(set(tasks) - done, reverse=True)
        return [task for task in tasks if task in done], left

    def cancel(task: str, *, force: bool) -> None:
        assert force
        cancelled.append(task)

    module: Any = ModuleType("ray")
    module.wait, module.cancel = wait, cancel
    cancel_unfinished(module, [str(number) for number in range(10)], 2)
    assert cancelled == ["9", "8", "7", "6", "5", "4", "1"]
    cancel_unfinished(module, [], 2)


def test_cells_that_a_killed_raylet_took_along_run_again(tmp_path: Path, without_shape_checker: None) -> None:
    """Once the raylet or the agent of its dashboard is killed, every task ends with `LocalRayletDiedError`."""
    (tmp_path / "lost.yaml").write_text(
        "name: lost\ndata: {samples: 1000}\nsystem: {loss: mse}\ntraining: {epochs: 2, batch_size: 500}\n"
        "seeds: [0, 1]\n"
    )
    study, store = load_study(tmp_path / "lost.yaml"), str(tmp_path / "store")

    def get(task: Any) -> None:
        raise ray.exceptions.LocalRayletDiedError

    module: Any = ModuleType("ray")
    module.exceptions, module.get = ray.exceptions, get
    module.wait = lambda tasks, **_: (tasks[:1], tasks[1:])

    def lost(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
        yield from _in_flight(module, cells, lambda cell: object(), 1, 1)

    def here(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
        yield from ((cell, task(cell)) for cell in cells)

    reason = "its process or machine was lost (LocalRayletDiedError)"
    assert [reason for _, reason in sweep(study, store, lost)] == [reason] * 2
    assert [reason for _, reason in sweep(study, store, here)] == [None] * 2
    assert [reason for _, reason in sweep(study, store, here)] == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "allowed are HOST:PORT, ray://HOST:PORT and auto"),
        ("http://127.0.0.1:80", "is not the address of a Ray cluster"),
        ("127.0.0.1:99999", "is not the address of a Ray cluster"),
        ("127.0.0.1:{free}", "no Ray cluster answers at"),
    ],
)
def test_an_address_without_a_cluster_is_refused(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as closed:
        # Bound, and nobody listens: nothing else can take the port.
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
        with pytest.raises(InvalidInputError, match=message):
            next(run_on_ray(CELLS, refuse, address=address.format(free=free)))


def test_a_token_found_after_ray_was_loaded_does_not_part_it_from_its_own_clusters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray reads its mode when it is loaded; servers that it starts later would read the other one."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(InvalidInputError, match="is not the address"):
        next(run_on_ray(CELLS, refuse, address="nonsense"))
    assert "RAY_AUTH_MODE" not in os.environ


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r'pip install "critlearn\[ray\]"'):
        next(run_on_ray(CELLS, refuse))


@pytest.mark.parametrize("amounts", [{"num_cpus": 0.0}, {"num_cpus": float("nan")}, {"num_gpus": -1.0}, {"memory": 0}])
def test_amounts_out_of_range_are_refused(amounts: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Resources(**amounts)
