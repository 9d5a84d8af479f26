"""Sweeps that are killed, and a disk that is full: writes ``docs/killed_sweeps.md``.

python validation/killed_sweeps.py
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from critlearn.analysis.run_folder import FLUCTUATIONS, RECORD
from critlearn.studies import load_results
from critlearn.whole_files import write_whole

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


def main() -> None:
    """Kill, fill, and write the page."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        text = HEADER + sweep_that_is_killed(Path(first)) + full_disk(Path(second))
    write_whole(PAGE, text.encode())
    print(text)


if __name__ == "__main__":
    main()
