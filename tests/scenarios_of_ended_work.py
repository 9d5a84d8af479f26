"""Work that is killed, interrupted, or finds no room; `test_ended_work` runs these tests in a process of their own.

Processes are forked, as each would otherwise load all libraries anew: only what has not counted anything may be.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import critlearn
from critlearn.cli.main import main
from critlearn.errors import OutputError
from critlearn.monitoring.storage import load_record, save_record
from reference.validation_scripts import script
from shape_checker import switched_off

NETWORK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def network():
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return model, nn.BCEWithLogitsLoss(), TensorDataset(x, (x[:, :1] > 0).float())
"""

SECONDS = 60
"""Time after which a process is ended that waits for a signal which does not come."""


@dataclass(frozen=True)
class Ended:
    """Exit status of a process, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without drawing, which takes most of a short analysis."""
    monkeypatch.setattr("critlearn.reports.page._source", lambda illustration: "data:image/svg+xml,")
    with switched_off():
        yield


def ended(work: Callable[[], object], folder: Path, place: str = "", call: int = 1, ending: int = 0) -> Ended:
    """Do some work in a process; it gets a signal when it calls the function at a place for so many times."""
    reached, reaches = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(SECONDS)
            # A test run in the background is told to ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
            if ending:
                _wait_at(place, call, reaches)
            work()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except KeyboardInterrupt:
            status = 130
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(reaches)
    if os.read(reached, 1):
        os.kill(child, ending)
    os.close(reached)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(status, (folder / "out").read_text(), (folder / "err").read_text())


def _wait_at(place: str, call: int, reaches: int) -> None:
    """Put a function in the place of one that tells when it is called for so many times, and waits for what comes."""
    where, _, name = place.rpartition(".")
    holder = resolve_name(where)
    real, calls = getattr(holder, name), count(1)

    def waits(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == call:
            os.write(reaches, b"x")
            time.sleep(SECONDS)
        return real(*arguments, **settings)

    setattr(holder, name, waits)


def program(*arguments: str) -> Callable[[], None]:
    """The program with its arguments."""

    def run() -> None:
        sys.argv = ["critlearn", *arguments]
        main()

    return run


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[[], None]:
    (tmp_path / "net.py").write_text(NETWORK)
    network = f"{tmp_path / 'net.py'}:network"
    return program("analyze", network, "--only", "2.*", "--out", str(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("place", "ending"),
    [
        ("analysis.analyze.certify", signal.SIGTERM),
        ("fluctuations.measure._count", signal.SIGINT),
        ("analysis.road.fit_power_law", signal.SIGTERM),
        ("analysis.run_folder.save_file", signal.SIGINT),
    ],
)
def test_an_analysis_that_is_stopped_before_anything_is_finished_leaves_nothing(
    place: str, ending: int, tmp_path: Path, analyze: Callable[[], None]
) -> None:
    done = ended(analyze, tmp_path, f"critlearn.{place}", 1, ending)
    assert (done.status, done.out) == (130, "")
    assert done.err == "critlearn: stopped; runs that were finished are whole\n"
    assert not [*tmp_path.glob("runs/*")]


@pytest.mark.parametrize(
    ("place", "call", "left", "ending"),
    [("fit_power_law", 2, ["2.weight"], signal.SIGINT), ("modes_or_reason", 1, ["modes"], signal.SIGTERM)],
)
def test_what_is_finished_of_an_analysis_that_is_stopped_is_a_run(
    place: str, call: int, left: list[str], ending: int, tmp_path: Path, analyze: Callable[[], None]
) -> None:
    done = ended(analyze, tmp_path, f"critlearn.analysis.road.{place}", call, ending)
    assert done.status == 130
    assert done.err == "critlearn: stopped; runs that were finished are whole\n"
    assert "interrupted: missing are" in done.out
    (folder,) = tmp_path.glob("runs/*")
    found = critlearn.load(folder)
    assert isinstance(found, critlearn.Analysis)
    assert found.record["unfinished"] == left
    assert set(found.record["quantities"]) == {"2.bias", "2.weight"} - set(left)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_while_it_trains_leaves_nothing(ending: int, tmp_path: Path) -> None:
    run = program("run", "two-class", "--data", "gaussians", "--hidden", "2", "--out", str(tmp_path / "runs"))
    done = ended(run, tmp_path, "critlearn.equilibrium.approach._train_epoch", 3, ending)
    assert (done.status, done.out) == (130, "")
    assert done.err == "critlearn: stopped; runs that were finished are whole\n"
    assert not [*tmp_path.glob("runs/*")]


def _train(folder: Path, steps: int) -> None:
    """Train with a monitor, whose record is kept, as the weights are, however the training ends."""
    # As the page on monitors says; without it Python ends at once.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    system = critlearn.NeuralSystem(model, critlearn.Composition("sigmoid", "bce"), TensorDataset(x, x[:, 0].sign()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = critlearn.Monitor(system, optimizer, every=10)
    try:
        with monitor:
            for _ in range(steps):
                optimizer.zero_grad()
                nn.functional.softplus(-model(x)[:, 0] * x[:, 0].sign()).mean().backward()
                optimizer.step()
                monitor.step()
    finally:
        save_record(folder / "monitor.safetensors", monitor.record)
        assert all(module.training for module in model.modules())
        torch.save(model.state_dict(), folder / "weights.pt")


@pytest.mark.parametrize(
    ("place", "call", "steps", "states", "ending"),
    [
        ("fluctuations.accumulation.accumulator.Accumulator.add_gradients", 7, 10, [0], signal.SIGTERM),
        ("monitoring.monitor.update_distribution", 3, 21, [0, 10, 20], signal.SIGINT),
        ("monitoring.updates.SeriesRecorder.take", 16, 15, [0, 10], signal.SIGTERM),
    ],
)
def test_a_monitored_training_that_is_stopped_has_its_record_and_its_weights(
    place: str, call: int, steps: int, states: list[int], ending: int, tmp_path: Path
) -> None:
    done = ended(lambda: _train(tmp_path, 1000), tmp_path, f"critlearn.{place}", call, ending)
    assert (done.status, done.err) == (130, "")
    record = load_record(tmp_path / "monitor.safetensors")
    assert [state.step for state in record.states] == states
    assert record.steps == steps
    assert all(state.problem is None for state in record.states)
    (tmp_path / "unbroken").mkdir()
    assert ended(lambda: _train(tmp_path / "unbroken", steps), tmp_path / "unbroken").status == 0
    stopped, unbroken = (torch.load(tmp_path / place / "weights.pt") for place in (".", "unbroken"))
    assert all(torch.equal(stopped[name], unbroken[name]) for name in unbroken)


def _with_room(size: int, work: Callable[[], object]) -> Callable[[], object]:
    """Some work in a process that may write no file beyond a size: what a full disk is, without one."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return run


def test_an_analysis_that_finds_no_room_is_shown_and_leaves_nothing(
    tmp_path: Path, analyze: Callable[[], None]
) -> None:
    done = ended(_with_room(8000, analyze), tmp_path)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert "cannot write the run to" in done.err
    assert "File too large" in done.err
    assert "DRIFTING" in done.out
    assert "2.bias" in done.out
    assert "report:" not in done.out
    assert not [*tmp_path.glob("runs/*")]


def test_a_record_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "monitor.safetensors"
    assert ended(lambda: _train(tmp_path, 20), tmp_path).status == 0
    before = path.read_bytes()
    record = load_record(path)

    def again() -> None:
        with pytest.raises(OutputError, match=r"cannot write .*monitor"):
            save_record(path, record)

    done = ended(_with_room(len(before) // 2, again), tmp_path)
    assert (done.status, done.err) == (0, "")
    assert path.read_bytes() == before
    assert not [*tmp_path.glob(".*")]


@pytest.mark.parametrize("name", ["analyzed", "trained"])
def test_nothing_is_broken_by_kills(name: str, tmp_path: Path) -> None:
    """A small part of the validation; sweeps have a test of their own."""
    killed = script("killed_sweeps")
    count, there, broken, whole = killed.killed_at_random(getattr(killed, name), tmp_path, 2)
    assert count <= 2
    assert there
    assert (broken, whole) == (0, True)
