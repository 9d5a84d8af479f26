"""Sweeps, analyses and trainings that are killed, and a disk that is full: writes ``docs/killed_sweeps.md``.

python validation/killed_sweeps.py
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import TensorDataset

import critlearn
from critlearn import Composition, Monitor, NeuralSystem, analyze
from critlearn.analysis.run_folder import FLUCTUATIONS, RECORD, write_run
from critlearn.errors import CritlearnError
from critlearn.monitoring.storage import save_record
from critlearn.studies import load_results, load_study
from critlearn.studies.sweep.engines.local import Task
from critlearn.studies.sweep.run import sweep
from critlearn.studies.sweep.study.cells import Cell
from critlearn.studies.user_networks.checkpoint import load_checkpoint
from critlearn.whole_files import replacing, write_whole

PAGE = Path(__file__).resolve().parent.parent / "docs" / "killed_sweeps.md"
CELLS = 48
KILLS = 3
STUDY = """
name: killed
system: {loss: mse}
data: {samples: 5000}
training: {epochs: 20, batch_size: 500, lr: 0.05}
sweep:
  grid: {activation: [sigmoid, tanh, softsign, arctan]}
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
"""
MOMENTS = 20
SMALL = """
name: small
system: {loss: mse}
data: {samples: 1000}
training: {epochs: 2, batch_size: 500}
seeds: [0, 1, 2, 3, 4, 5]
"""
HEADER = """# Sweeps that are killed

A sweep of 48 small cells on two processes, whose process group gets SIGKILL at random moments and which is started
again each time. *Kept* are cells whose record has the same bytes and the same time of writing at the end as before.

Made by `python validation/killed_sweeps.py` (part of `make validate`).

"""


def command(study: Path, store: Path) -> list[str]:
    """The program, as a user calls it."""
    program = "from critlearn.cli.main import main; main()"
    return [sys.executable, "-c", program, "sweep", str(study), "--store", str(store), "--processes", "2", "--json"]


def finished(store: Path) -> dict[str, tuple[int, bytes]]:
    """Time of writing and content of the record of each finished cell."""
    paths = [path for path in store.glob(f"cells/*/{RECORD}") if not path.parent.name.startswith(".")]
    return {path.parent.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def killed(study: Path, store: Path, generator: random.Random) -> tuple[float, dict[str, tuple[int, bytes]]]:
    """Kill the group of a sweep at a random moment after it has begun to finish cells."""
    before = len(finished(store))
    started = time.monotonic()
    process = subprocess.Popen(command(study, store), start_new_session=True, stderr=subprocess.DEVNULL)
    while len(finished(store)) <= before and process.poll() is None:
        time.sleep(0.02)
    time.sleep(generator.uniform(0, 6))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return time.monotonic() - started, finished(store)


def torn(store: Path) -> list[str]:
    """Files of finished cells that cannot be read, and what is left half-written."""
    found = [str(path) for path in store.rglob("*partial*")]
    for path in store.glob("cells/*"):
        try:
            json.loads((path / RECORD).read_text())
            with np.load(path / FLUCTUATIONS) as arrays:
                assert all(arrays[name].size >= 0 for name in arrays)
        except (OSError, ValueError):
            found.append(str(path))
    return found


def sweep_that_is_killed(folder: Path) -> str:
    """Kill, restart, and look at what is there."""
    study, store, generator = folder / "study.yaml", folder / "store", random.Random(1)
    study.write_text(STUDY)
    lines = ["| start | killed after | cells finished by then |", "| --- | --- | --- |"]
    kept: dict[str, tuple[int, bytes]] = {}
    for number in range(1, KILLS + 1):
        seconds, now = killed(study, store, generator)
        assert all(now[name] == state for name, state in kept.items()), "a finished cell was run again"
        kept = now
        lines.append(f"| {number} | {seconds:.1f} s | {len(kept)} |")
        print(lines[-1], flush=True)
    done = subprocess.run(command(study, store), capture_output=True, text=True, check=False)
    end = finished(store)
    table = load_results(str(store))
    state = json.loads(done.stdout)
    lines.append(f"| {KILLS + 1} | not killed, exit {done.returncode} | {len(end)} |")
    same = sum(end.get(name) == state for name, state in kept.items())
    return "\n".join(lines) + (
        f"\n\nAt the end {state['finished']} of {CELLS} cells are finished; {same} of the {len(kept)} that were "
        f"finished at the last kill are kept. The table has {len(table)} rows for {table['cell'].nunique()} cells, all "
        f"of status {', '.join(sorted(set(table['status'])))}. Torn or half-written files: {len(torn(store))}.\n"
    )


def full_disk(folder: Path) -> str:
    """The same sweep in a file system of 1 MiB, which needs the right to mount one."""
    study, disk = folder / "study.yaml", folder / "disk"
    study.write_text(STUDY)
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        return "\n## A full disk\n\nNot tried: no file system could be mounted.\n"
    try:
        done = subprocess.run(command(study, disk / "store"), capture_output=True, text=True, check=False)
        kept = len(finished(disk / "store"))
        message = done.stderr.strip().splitlines()[-1].replace(str(disk), "DISK")
        broken = torn(disk / "store")
        table = load_results(str(disk / "store"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    whole = int((table["status"] == "finished").sum())
    return (
        f"\n## A full disk\n\nThe same sweep on a file system of 1 MiB ends with exit {done.returncode} and the line"
        f"\n\n    {message}\n\n{kept} cells were finished, and are read as whole ({whole} rows); torn or half-written "
        f"files: {len(broken)}.\n"
    )


def swept(folder: Path) -> None:
    """Sweep cells in this process."""
    (folder / "study.yaml").write_text(SMALL)
    study = load_study(folder / "study.yaml")

    def here(cells: tuple[Cell, ...], task: Task) -> Generator[tuple[Cell, str | None]]:
        yield from ((cell, task(cell)) for cell in cells)

    assert [reason for _, reason in sweep(study, str(folder / "store"), here) if reason] == []


def analyzed(folder: Path) -> None:
    """Analyse a network, and keep the run."""
    torch.manual_seed(0)
    t = torch.where(torch.rand(500) < 0.5, 1.0, -1.0).double()
    model = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()
    analysis = analyze(
        model, Composition("sigmoid", "bce"), TensorDataset(t[:, None] + torch.randn(500, 1).double(), t)
    )
    write_run(folder / "runs", analysis, lambda *_: "a page")


def trained(folder: Path) -> None:
    """Train with a monitor, from the last weights on, and keep its record and the weights."""
    torch.manual_seed(0)
    x = torch.randn(200, 2)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    if (folder / "weights.safetensors").exists():
        load_checkpoint(model, folder / "weights.safetensors")
    system = NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(x, x.sum(dim=1).sign()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(system, optimizer, every=10) as monitor:
        for step in range(1, 101):
            optimizer.zero_grad()
            torch.nn.functional.softplus(-model(x)[:, 0] * x.sum(dim=1).sign()).mean().backward()
            optimizer.step()
            monitor.step()
            if step % 10 == 0:
                save_record(folder / "monitor.safetensors", monitor.record)
                with replacing(folder / "weights.safetensors") as part:
                    save_file(model.state_dict(), part)


def broken(folder: Path) -> list[str]:
    """What is there under its own name and cannot be read."""
    found = []
    runs = [path for place in ("runs", "store/cells") for path in folder.glob(f"{place}/[!.]*")]
    for path in (*runs, *folder.glob("monitor.safetensors"), *folder.glob("weights.safetensors")):
        try:
            (load_file if path.name.startswith("weights") else critlearn.load)(path)
        except (CritlearnError, SafetensorError) as problem:
            found.append(f"{path}: {problem}")
    return found


def ended(work: Callable[[Path], None], folder: Path, moment: Callable[[], object] | None = None) -> int:
    """Do something in a process that gets SIGKILL once a function returns, if there is one; its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work(folder)
            status = 0
        finally:
            os._exit(status)
    alive, over = threading.Lock(), threading.Event()

    def kill() -> None:
        if moment is None:
            return
        moment()
        with alive:
            if not over.is_set():
                os.kill(child, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    # A process that has ended keeps its number until it is waited for, so that no other one is killed in its place.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with alive:
        over.set()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def first_change(folder: Path, seconds: float) -> None:
    """Return so many seconds after something was written in a folder, or after a minute."""
    before, late = files_of(folder), time.monotonic() + 60
    while files_of(folder) == before and time.monotonic() < late:
        time.sleep(0.001)
    time.sleep(seconds)


def files_of(folder: Path) -> set[str]:
    """Names of all files below a folder, also those that are half-written."""
    return {name for _, _, names in os.walk(folder) for name in names}


def killed_at_random(work: Callable[[Path], None], folder: Path, kills: int) -> tuple[int, int, int, bool]:
    """Kill some work at random moments; how often it was killed, when files were there, what broke, how it ended.

    Half the moments are drawn from the time that the work takes unbroken, the others from the tenth of a second after
    it has begun to write. A sweep goes on in the same folder; the rest begins in one of its own.
    """
    generator = random.Random(1)
    (folder / "unbroken").mkdir()
    started = time.monotonic()
    assert ended(work, folder / "unbroken") == 0
    whole, count, there, torn_files = time.monotonic() - started, 0, 0, 0
    for number in range(kills):
        if work is not swept or not number % 4:
            place = folder / f"{number}"
            place.mkdir()
        moment = partial(time.sleep, generator.uniform(0, whole))
        if number % 2:
            moment = partial(first_change, place, generator.uniform(0, 0.1))
        count += ended(work, place, moment) == -signal.SIGKILL
        torn_files += len(broken(place))
        there += bool(files_of(place) - {"study.yaml"})
    return count, there, torn_files, ended(work, place) == 0 and not broken(place)


def random_moments(folder: Path, kills: int) -> str:
    """Section on work of each kind that is killed at random moments of it."""
    lines = [
        f"\n## Killed at {kills} random moments\n\nA sweep in one process, started again after each kill; an analysis "
        "that ends in the folder of a run; a training that keeps the record of its monitor and its weights every ten "
        "steps. *Broken* is what is there under its own name and cannot be read.\n\n"
        "| | killed | files were there | broken | started again, it ends whole |\n| --- | --- | --- | --- | --- |"
    ]
    for name, work in (("sweep", swept), ("`analyze`", analyzed), ("training with a `Monitor`", trained)):
        (place := folder / work.__name__).mkdir()
        count, there, torn_files, whole = killed_at_random(work, place, kills)
        lines.append(f"| {name} | {count} | {there} | {torn_files} | {'yes' if whole else 'no'} |")
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Kill, fill, and write the page."""
    with tempfile.TemporaryDirectory() as moments:
        # First, as only what has not counted anything may be forked.
        end = random_moments(Path(moments), MOMENTS)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        text = HEADER + sweep_that_is_killed(Path(first)) + full_disk(Path(second)) + end
    write_whole(PAGE, text.encode())
    print(text)


if __name__ == "__main__":
    main()
