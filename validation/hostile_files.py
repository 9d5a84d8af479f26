"""Mutated files of each kind, given to the commands that read it: what is refused is refused in one line.

python validation/hostile_files.py [FILES]    writes docs/hostile_files.md
"""

import contextlib
import gzip
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file
from torch.utils.data import TensorDataset

import critlearn
from critlearn.analysis.run_folder import write_run
from critlearn.cli.main import app, exit_code
from critlearn.monitoring import MonitorRecord
from critlearn.studies import ToyConfig, load_data, run_toy
from critlearn.studies.sweep.results.store import ResultsStore
from critlearn.studies.sweep.study.cells import Cell, expand
from critlearn.studies.sweep.study.reading import load_study
from critlearn.whole_files import write_whole

PAGE: Final = Path(__file__).parents[1] / "docs" / "hostile_files.md"

FILES: Final = 10_000
"""Files by default, of all kinds together."""

SECONDS: Final = 10.0
MEMORY: Final = 1 << 30
"""Most processor time of a command, and most memory that it may need beside what is held already."""

TOKENS: Final = (
    *(
        b"[" * 3000,
        b"{" * 3000,
        b'{"a":' * 3000,
        b"1" * 5000,
        b"1e999",
        b"-1e999",
        b"NaN",
        b"Infinity",
        b"null",
        b"true",
    ),
    *(b"&a [*a]", b"*a", b"!!int abc", b"2020-13-45", b"!!python/object/apply:os.system [ls]", b"---", b"<<: *a"),
    *(b"\x00", b"\x1b[31m", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"'", b",", b"\n", b"\r", b";", b"#", b'"\\ud800"'),
    *(b"9" * 18, b"-9223372036854775809", b"1e-400", b"0x" + b"f" * 200, b"a" * 70_000, b"," * 30_000, b"../../x"),
)
"""What breaks readers of text, put anywhere; the last ones are large."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: the file that is mutated, and the commands that read it, as arguments or as functions."""

    file: Path
    commands: tuple[list[str] | Callable[..., Any], ...]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Content with a few changes: cut, repeated, turned bits, bytes put in, tokens that break readers."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(changed) + 1)
        length = chance.choice((1, 2, 8, 64, 512))
        match chance.randrange(7):
            case 0:
                del changed[place:]
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = changed[place : place + length] * chance.choice((1, 3, 100))
            case 3 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 4:
                changed[place:place] = chance.randbytes(length)
            case 5:
                changed[place:place] = chance.choice(TOKENS)
            case _:
                # In place of a whole word, where readers of structured text look for a value.
                end = next((at for at in range(place, len(changed)) if changed[at] in b",\n]}: "), len(changed))
                changed[place:end] = chance.choice(TOKENS)
    return bytes(changed)


def attack(kind: Kind, seed: int) -> list[tuple[str, int]]:
    """Give a mutated file to each command of its kind, and return the names of commands with their exit codes.

    Raises
    ------
    AssertionError
        If a command ends otherwise than it may.
    """
    whole = kind.file.read_bytes()
    found = []
    try:
        kind.file.write_bytes(mutated(whole, random.Random(seed)))
        for command in kind.commands:
            found.append((_name(command), _run(command)))
    finally:
        kind.file.write_bytes(whole)
    return found


def _name(command: list[str] | Callable[..., Any]) -> str:
    if isinstance(command, list):
        return " ".join(command[:2] if command[0] == "runs" else command[:1])
    return str(getattr(command, "__name__", command))


def _run(command: list[str] | Callable[..., Any]) -> int:
    """Exit code of a command, whose output, time and memory are checked."""
    out, err = io.StringIO(), io.StringIO()
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit_code(app, command) if isinstance(command, list) else exit_code(lambda *_, **__: _quiet(command))
    taken = time.process_time() - start
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    told = err.getvalue()
    assert code in (0, 2), f"exit {code}: {told}"
    assert code == 0 or (out.getvalue() == "" and len(told.splitlines()) == 1), told
    assert all(sign in "\n\t" or sign.isprintable() for sign in out.getvalue() + told), ascii(told)
    assert taken < SECONDS, f"{taken:.1f} s"
    assert more < MEMORY, f"{more >> 20} MiB"
    return code


def _quiet(command: Callable[..., Any]) -> int:
    command()
    return 0


def kinds(folder: Path) -> dict[str, Kind]:
    """Whole files of each kind, made in a folder, with their commands."""
    chance = np.random.default_rng(0)
    table = pd.DataFrame({"a": chance.pareto(1.0, 12) + 1, "b": chance.normal(size=12), "t": [0, 1] * 6})
    table.to_csv(folder / "table.csv", index=False)
    table.to_parquet(folder / "table.parquet")
    (folder / "table.csv.gz").write_bytes(gzip.compress((folder / "table.csv").read_bytes()))
    np.savetxt(folder / "numbers.txt", table["a"])
    np.save(folder / "array.npy", table["a"])
    np.savez_compressed(folder / "arrays.npz", x=table[["a", "b"]].to_numpy(), t=table["t"])
    for step in (1, 2, 3):
        save_file({"w": chance.normal(size=(3, 4))}, folder / f"step{step}.safetensors")
    config = ToyConfig(samples=1000, epochs=2, batch_size=250)
    result = run_toy(config)
    runs, store = folder / "runs", folder / "store"
    run = Path(write_run(runs, result, lambda *_: "")["run_dir"])
    shutil.copytree(run, runs / "other")
    # Records of earlier versions tell no hashes: files are then judged by what is in them.
    earlier = folder / "earlier" / run.name
    shutil.copytree(run, earlier)
    record = json.loads((earlier / "run.json").read_text())
    del record["files"]
    (earlier / "run.json").write_text(json.dumps(record))
    study = folder / "study.yaml"
    study.write_text(
        "name: small\ndescription: A study.\nsystem: {kind: toy, activation: sigmoid, loss: bce}\n"
        "data: {samples: 1000}\ntraining: &t {epochs: 2, batch_size: 250}\nseeds: [0, 1]\n"
        "sweep:\n  grid: {lr: [0.1, 0.2]}\n  where: ['lr > 0.05']\n"
    )
    held = ResultsStore(str(store), create=True)
    cells = expand(load_study(study))
    held.register(load_study(study), cells)
    held.write(Cell("toy", cells[0].config), result)
    cell = store / "cells" / cells[0].name
    monitor = folder / "monitor.safetensors"
    critlearn.save(monitored(), monitor)
    places = ["--out", str(runs)]
    listing = [
        ["runs", "list", *places],
        ["runs", "show", run.name, *places],
        ["runs", "compare", run.name, "other", *places],
    ]
    results = ["results", str(store)]

    def load_table(name: str) -> Callable[[], Any]:
        def load() -> Any:
            return load_data(str(folder / name))

        return load

    def load_run(of: Path) -> Callable[[], Any]:
        def load() -> Any:
            return critlearn.load(of)

        return load

    def load_record() -> None:
        record = critlearn.load(monitor)
        record.to_dict(), record.summary(), record.to_dataframe(), record.increments_table()

    numbers = {
        name: Kind(folder / name, (["fit", str(folder / name), *column], ["dynamics", str(folder / name)]))
        for name, column in (
            ("table.csv", ["--column", "a"]),
            ("numbers.txt", []),
            ("array.npy", []),
        )
    }
    return {
        **numbers,
        "table.csv of samples": Kind(folder / "table.csv", (load_table("table.csv"),)),
        "table.csv.gz": Kind(folder / "table.csv.gz", (["fit", str(folder / "table.csv.gz"), "--column", "a"],)),
        "table.parquet": Kind(
            folder / "table.parquet",
            (["fit", str(folder / "table.parquet"), "--column", "a"], load_table("table.parquet")),
        ),
        "arrays.npz": Kind(
            folder / "arrays.npz", (["fit", str(folder / "arrays.npz"), "--column", "t"], load_table("arrays.npz"))
        ),
        "checkpoint": Kind(
            folder / "step2.safetensors",
            (["dynamics", *(str(folder / f"step{step}.safetensors") for step in (1, 2, 3))],),
        ),
        "record of a monitor": Kind(monitor, (load_record, ["dynamics", str(monitor)])),
        "study": Kind(study, (["sweep", str(study), "--dry-run", "--store", str(folder / "none")],)),
        "record": Kind(run / "run.json", (*listing, ["explain", run.name, *places])),
        "sketches": Kind(run / "fluctuations.npz", (listing[0], load_run(run))),
        "weights": Kind(run / "model.safetensors", (listing[0], load_run(run))),
        "sketches without hash": Kind(earlier / "fluctuations.npz", (load_run(earlier),)),
        "weights without hash": Kind(earlier / "model.safetensors", (load_run(earlier),)),
        "cell": Kind(cell / "cell.json", (results,)),
        "record of a cell": Kind(cell / "run.json", (results,)),
        "list of cells": Kind(store / "studies" / "small.json", (results,)),
        "mark of a store": Kind(store / "critlearn-store.json", (results,)),
    }


def monitored() -> MonitorRecord:
    """Record of a short training."""
    torch.manual_seed(0)
    x = torch.randn(40, 2)
    model = torch.nn.Linear(2, 1)
    system = critlearn.NeuralSystem(model, critlearn.Composition("sigmoid", "bce"), TensorDataset(x, x[:, 0].sign()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with critlearn.Monitor(system, optimizer, every=100) as monitor:
        for _ in range(150):
            optimizer.zero_grad()
            torch.nn.functional.softplus(-model(x)[:, 0] * x[:, 0].sign()).mean().backward()
            optimizer.step()
            monitor.step()
    return monitor.record


def attacks(files: int, folder: Path) -> Iterator[tuple[str, str, int]]:
    """Kind, command and exit code of all attacks."""
    held = kinds(folder)
    for number in range(files):
        name = [*held][number % len(held)]
        try:
            for command, code in attack(held[name], number):
                yield name, command, code
        except BaseException as problem:
            problem.add_note(f"{name}, file {number}")
            raise


def main(files: int) -> None:
    """Attack, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Counter(attacks(files, Path(folder)))
    rows = sorted({(kind, command) for kind, command, _ in counts})
    table = [
        f"| {k} | `{c}` | {counts[k, c, 0] + counts[k, c, 2]:,} | {counts[k, c, 2]:,} | {counts[k, c, 0]:,} |"
        for k, c in rows
    ]
    total = sum(counts.values())
    write_whole(PAGE, "\n".join([
        "# Hostile files",
        "",
        "Everything that comes from a file is data, never code, and bounded before it is expanded. "
        f"`python validation/hostile_files.py {files}` mutates whole files of each kind (cut, repeated, turned bits, "
        "random bytes, words that break readers of YAML, JSON, tables and arrays) and gives them to the commands that "
        f"read them: {total:,} commands on {files:,} files. Each ended with exit 2 and one line, or with exit 0 and "
        f"whatever is left of the file; none took {SECONDS:.0f} s of processor time or 1 GiB, none printed a control "
        "character.",
        "",
        "| file | read by | commands | refused | read |",
        "| --- | --- | --- | --- | --- |",
        *table,
        "",
        "What is code: `package.module:name` and `file.py:name`, which are run as you are. What is data: everything "
        "else. The limits stand in `src/critlearn/reading/limits.py`; text beyond them is read as `.npy` or `.npz`, "
        "what is compressed when it is expanded or saved without compression, large studies when they are divided.",
        "",
    ]).encode())  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES)
