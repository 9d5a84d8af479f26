"""What the engines of a sweep cost, and a plan for a large one: writes docs/sweep_speed.md.

python benchmarks/sweep.py
python benchmarks/sweep.py --child ENGINE PROCESSES     32 cells, and cells that do nothing, in a process of its own
"""

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from critlearn.studies import Study, load_results
from critlearn.studies.config import ToyConfig
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.run import Engine, sweep
from critlearn.studies.sweep.study.cells import Cell, expand
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "sweep_speed.md"
RUNS = (("local", 1), ("local", 2), ("ray", 1), ("ray", 2))
REPEATS = 3
STUDY = {
    "name": "speed",
    "system": {"kind": "toy", "loss": "mse"},
    "data": {"samples": 20_000},
    "training": {"epochs": 60, "batch_size": 1000, "lr": 0.02},
    "sweep": {"grid": {"activation": ["sigmoid", "tanh", "softsign", "arctan"]}},
    "seeds": list(range(8)),
}
EMPTY = 512
"""Cells that do nothing."""

PLANNED, MACHINES, PROCESSORS = 10_000, 100, 16


def nothing(cell: Cell) -> str | None:
    """A cell that takes no time."""
    return None


def engine(name: str, processes: int) -> Engine:
    """One of the engines."""
    if name == "local":
        from critlearn.studies.sweep.engines.local import run_locally

        return partial(run_locally, processes=processes)
    from critlearn.studies.sweep.engines.ray import run_on_ray

    return partial(run_on_ray, processes=processes)


def child(name: str, processes: int) -> dict[str, Any]:
    """Seconds of 32 cells with the start of the engine, and of cells that do nothing after the first."""
    study = Study.model_validate(STUDY)
    with tempfile.TemporaryDirectory() as store:
        started = time.perf_counter()
        done = list(sweep(study, store, engine(name, processes)))
        wall = time.perf_counter() - started
        assert [reason for _, reason in done] == [None] * 32
        kept = ResultsStore(store)
        inside = sum(kept.record(cell.name)["seconds"] for cell in expand(study))
    cells = tuple(Cell("toy", ToyConfig(seed=seed)) for seed in range(EMPTY))
    started = time.perf_counter()
    running = engine(name, processes)(cells, nothing)
    next(running)
    first = time.perf_counter() - started
    assert len(list(running)) == EMPTY - 1
    rest = time.perf_counter() - started - first
    return {"wall": wall, "inside": inside, "first": first, "each": rest / (EMPTY - 1)}


def in_a_process(name: str, processes: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(processes)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(answer.splitlines()[-1])


def seconds_per_cell(repeat: int, action: Any) -> float:
    """Median over cells."""
    taken = []
    for number in range(repeat):
        started = time.perf_counter()
        action(number)
        taken.append(time.perf_counter() - started)
    return median(taken)


def pieces() -> dict[str, float]:
    """What a cell costs beside its computation: seconds, and bytes."""
    study = Study.model_validate(STUDY | {"seeds": [0]})
    cells = expand(study)
    many = Study.model_validate(STUDY | {"seeds": list(range(PLANNED // 4))})
    started = time.perf_counter()
    expand(many)
    expanded = (time.perf_counter() - started) / PLANNED
    result = cells[0].run()
    copies = expand(Study.model_validate(STUDY | {"seeds": list(range(50))}))
    with tempfile.TemporaryDirectory() as location:
        store = ResultsStore(location, create=True)
        store.register(study, copies)
        written = seconds_per_cell(len(copies), lambda number: store.write(copies[number], result))
        size = sum(path.stat().st_size for path in Path(location, "cells", copies[0].name).iterdir())
        status = seconds_per_cell(len(copies), lambda number: store.status(copies[number].name))
        started = time.perf_counter()
        assert len(load_results(location)) >= len(copies)
        table = (time.perf_counter() - started) / len(copies)
    return {"expand": expanded, "write": written, "bytes": size, "status": status, "table": table}


def plan(found: dict[str, float], cell: float, handed: float) -> list[str]:
    """A large sweep, from the pieces."""
    at_once = MACHINES * PROCESSORS
    rate = at_once / cell
    driver = PLANNED * handed
    computed = PLANNED * cell / at_once
    return [
        f"## A plan for {PLANNED:,} cells on {MACHINES} machines of {PROCESSORS} processors",
        "",
        "On paper, from the pieces above; nothing of it was run on so many machines.",
        "",
        "| piece | one cell | all cells |",
        "| --- | --- | --- |",
        f"| computing, {at_once:,} at once | {cell:.1f} s | {computed:.0f} s |",
        f"| expanding the study, in the process that started the sweep | {1e3 * found['expand']:.2f} ms | "
        f"{PLANNED * found['expand']:.0f} s |",
        f"| looking which are finished, there, when the sweep goes on | {1e3 * found['status']:.1f} ms | "
        f"{PLANNED * found['status']:.0f} s |",
        f"| handing out and taking back, there | {1e3 * handed:.1f} ms | {driver:.0f} s |",
        f"| writing, on the machines | {1e3 * found['write']:.0f} ms | {PLANNED * found['write'] / at_once:.1f} s |",
        f"| table of results, once | {1e3 * found['table']:.0f} ms | {PLANNED * found['table']:.0f} s |",
        f"| storage | {found['bytes'] / 1e6:.2f} MB | {PLANNED * found['bytes'] / 1e9:.1f} GB |",
        "",
        f"Cells of {cell:.1f} s would come back at {rate:,.0f} a second, each with {found['bytes'] / 1e6:.2f} MB: "
        f"{rate * found['bytes'] / 1e9:.2f} GB a second to the store, and the process that started the sweep takes at "
        f"most {1 / handed:,.0f} a second. "
        + (
            f"So it is the bottleneck for cells shorter than {at_once * handed:.0f} s, and the store for cells shorter "
            f"than {at_once * found['bytes'] / 1e9:.0f} s if it takes 1 GB a second. Above that the machines are busy, "
            "and the sweep takes as long as the cells do."
        ),
        "",
        "A store on a disk that all machines share has one lock, on the machine that started the sweep; each cell is "
        "renamed into place once. On an object store a cell is five uploads.",
    ]


def page() -> str:
    """The tables; the engines by turns."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {run: [] for run in RUNS}
    for _ in range(REPEATS):
        for run in RUNS:
            found[run].append(in_a_process(*run))
    wall = {run: median(one["wall"] for one in taken) for run, taken in found.items()}
    base = wall["local", 1]
    out = [
        "# What a sweep costs",
        "",
        f"32 cells of the toy model, and {EMPTY} cells that do nothing; medians of {REPEATS} turns, each engine in a",
        "process of its own, on two processors. Written by `python benchmarks/sweep.py`. *In cells* is the time that",
        "the records tell; *start* the time to the first of the cells that do nothing, *each* that of one more.",
        "",
        "| engine | at once | 32 cells | speed-up | in cells | start | each |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, processes), taken in found.items():
        middle = {key: median(one[key] for one in taken) for key in ("inside", "first", "each")}
        out.append(
            f"| {name} | {processes} | {wall[name, processes]:.1f} s | {base / wall[name, processes]:.2f} | "
            f"{middle['inside']:.1f} s | {middle['first']:.1f} s | {1e3 * middle['each']:.1f} ms |"
        )
    cell = mean(one["inside"] for one in found["local", 1]) / 32
    handed = median(one["each"] for one in found["ray", 2])
    return "\n".join([*out, "", *plan(pieces(), cell, handed)]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.stdout.write(json.dumps(child(sys.argv[2], int(sys.argv[3]))) + "\n")
    else:
        write_whole(PAGE, page().encode())
