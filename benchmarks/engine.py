"""Time and memory of the fluctuation engine beside its peers, side by side in one run: writes docs/engine_speed.md.

Each method runs in a process of its own, some times over, and the fastest run counts. Times are CPU seconds of one
thread, which other programs disturb least. The page is written for workloads of which every method ran, or was
refused by its library; sections of other workloads stay as they are.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from docs_page import OneLineParser, with_section

from critlearn.whole_files import write_whole

HERE = Path(__file__).parent
WORKLOADS = ("W1", "W1-sparse", "W2", "W3")
PEERS = ("torch.func", "BackPACK", "Opacus")
BATCHES = (16, 64, 128, 256, 512, 1024)
PAGE = HERE.parent / "docs" / "engine_speed.md"
TITLES = {
    "W1": "784-128-10 tanh, cross-entropy, 8,192 samples, dense inputs",
    "W1-sparse": "the same with four fifths of the inputs exactly 0",
    "W2": "LeNet-like convolutional network, 28 x 28, 2,048 samples",
    "W3": "transformer encoder, 2 layers, width 128, 64 tokens, 512 samples",
}
GOALS = {"W1": (20, 8, 4), "W1-sparse": (20, 8, 4), "W2": (3, 2, 1.2), "W3": (4, 3, 2)}
STOPPED = "stopped by signal"
NOT_INSTALLED = "ModuleNotFoundError"
FLOOR_GOALS = {"W1": 5, "W1-sparse": 3}


Found = dict[str, dict[str, float] | str]
"""What each method gave: seconds and memory, or why it does not run."""


def child(workload_name: str, method: str) -> dict[str, float]:
    """Run one method: seconds of the fastest run, and greatest memory above what it started with."""
    import torch

    sys.path.insert(0, str(HERE))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import peers
    from workloads import workload

    model, data = workload(workload_name)
    run: Callable[[], int]
    kind, _, rest = method.partition(" + ")
    if kind.startswith("floor"):
        run = lambda: peers.floor(model, *data.tensors, int(kind.split()[1]))  # noqa: E731
    elif kind.startswith("critlearn"):
        from critlearn.fluctuations import measure
        from critlearn.network import NeuralSystem

        system = NeuralSystem(model, torch.nn.CrossEntropyLoss(), data)
        run = lambda: measure(system, batch_size=int(kind.split()[1]))["all"].count  # noqa: E731
    else:
        run = lambda: peers.COUNTS[rest](peers.PEERS[kind](model, *data.tensors))  # noqa: E731
    # What is loaded and compiled once is not counted: a first run is made on the first samples.
    whole = data.tensors
    data.tensors = tuple(part[:64] for part in whole)
    run()
    data.tensors = whole
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    seconds, repeats = [], 1 if rest == "np.histogram" else 2
    for _ in range(repeats):
        started = time.process_time()
        counted = run()
        seconds.append(time.process_time() - started)
    return {"seconds": min(seconds), "megabytes": (_status("VmHWM") - before) / 1024, "count": counted}


def _status(key: str) -> int:
    """Entry of the process's status in kilobytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)


def methods_on(workload_name: str) -> list[str]:
    """Names of all methods on a workload."""
    methods = [f"floor {size}" for size in BATCHES] + [f"critlearn {size}" for size in BATCHES]
    methods += [f"{peer} + {count}" for peer in PEERS for count in
                ("np.histogram", "bincount", "own kernel")]  # fmt: skip
    if workload_name == "W1-sparse":
        methods = [method for method in methods if "np.histogram" not in method]
    return methods


def compare(workload_name: str) -> Found:
    """All methods on one workload."""
    found: Found = {}
    for method in methods_on(workload_name):
        command = [sys.executable, __file__, "--child", workload_name, method]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = done.stdout.strip().splitlines()
        if done.returncode < 0:
            found[method] = f"{STOPPED} {-done.returncode}"
        elif done.returncode or not lines:
            found[method] = (done.stderr.strip().splitlines() or ["no result"])[-1][:160]
        else:
            found[method] = json.loads(lines[-1])
        print(workload_name, method, found[method], flush=True)
    return found


INTRODUCTION = """# Speed of the fluctuation engine

CPU seconds of one thread, fastest of two runs (one with `np.histogram`), each method in a process of
its own; memory is the greatest above what a run on 64 samples left.
Written by `python benchmarks/engine.py`.
"""


def missing(found: Found) -> list[str]:
    """Methods without a result that should have one: ours, and peers that are not installed or were stopped."""
    return [
        method
        for method, row in found.items()
        if isinstance(row, str) and (row.startswith((STOPPED, NOT_INSTALLED)) or not method.startswith(PEERS))
    ]


def section(name: str, found: Found) -> str:
    """The tables of one workload."""
    timed = {method: row for method, row in found.items() if isinstance(row, dict)}
    ours = min((row for method, row in timed.items() if method.startswith("critlearn")), key=lambda r: r["seconds"])
    out = [f"## {name}: {TITLES[name]}", "", f"{int(ours['count']):,} fluctuations.", ""]
    out += ["| method (batch) | seconds | times critlearn | memory, MB |", "| --- | --- | --- | --- |"]
    for method, row in found.items():
        if isinstance(row, str):
            out.append(f"| {method} | does not run: {row} | | |")
        else:
            ratio = row["seconds"] / ours["seconds"]
            out.append(f"| {method} | {row['seconds']:.3f} | {ratio:.2f} | {row['megabytes']:.0f} |")
    return "\n".join([*out, "", *goals(name, timed, ours)]) + "\n"


def goals(name: str, timed: dict[str, dict[str, float]], ours: dict[str, float]) -> list[str]:
    """Table of what was reached."""
    out = ["| against | measured | goal |", "| --- | --- | --- |"]
    base = min(row["seconds"] for method, row in timed.items() if method.startswith("floor"))
    for count, goal in zip(("np.histogram", "bincount", "own kernel"), GOALS[name], strict=True):
        rows = [row["seconds"] for method, row in timed.items() if method.endswith(count)]
        if not rows:
            continue
        best = min(rows)
        out.append(f"| best peer + {count} | {best / ours['seconds']:.1f} times faster | at least {goal} |")
    goal_text = f"at most {FLOOR_GOALS[name]}" if name in FLOOR_GOALS else "-"
    out.append(f"| floor: forward and backward pass | {ours['seconds'] / base:.1f} times the floor | {goal_text} |")
    best_peer = min(timed.items(), key=lambda item: item[1]["seconds"] if " + " in item[0] else float("inf"))[1]
    share = ours["megabytes"] / best_peer["megabytes"]
    out.append(f"| memory of the fastest peer | {share:.2f} of it | at most 0.2 |")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 if a workload has no full result."""
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help=f"any of {', '.join(WORKLOADS)}; all by default"
    )
    parser.add_argument(
        "--child",
        nargs=2,
        metavar=("WORKLOAD", "METHOD"),
        help='run one method, such as "critlearn 256", in this process and print its result; no page is written',
    )
    given = parser.parse_args(arguments)
    asked = [given.child[0]] if given.child else given.workloads
    unknown = [name for name in asked if name not in WORKLOADS]
    if unknown:
        parser.error(f'unknown workload "{unknown[0]}"; allowed: {", ".join(WORKLOADS)}')
    if given.child:
        if given.child[1] not in methods_on(given.child[0]):
            parser.error(f'unknown method "{given.child[1]}"; allowed: {", ".join(methods_on(given.child[0]))}')
        print(json.dumps(child(*given.child)))
        return 0
    names = [name for name in WORKLOADS if name in (given.workloads or WORKLOADS)]
    # One that is written for all workloads needs no account of the runs that it was put together from.
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else INTRODUCTION
    failed = False
    for name in names:
        found = compare(name)
        without = missing(found)
        if without:
            failed = True
            print(f"{name}: not on the page, as there is no result of {', '.join(without)}", file=sys.stderr)
            continue
        text = with_section(text, name, section(name, found), WORKLOADS)
        write_whole(PAGE, text.encode())
    if not failed and names == list(WORKLOADS):
        write_whole(PAGE, (INTRODUCTION + "\n" + text[text.index("## ") :]).encode())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
