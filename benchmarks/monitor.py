"""What a monitor costs at its default cadence, against the bare loop of the training: writes docs/monitor_speed.md.

python benchmarks/monitor.py
python benchmarks/monitor.py --child NETWORK MODE     one training in a process of its own
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import critlearn as cl
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "monitor_speed.md"
MODES = ("bare", "monitored", "logged")
REPEATS = 3
BATCH = 64
SAMPLES = 20_000


def dense() -> nn.Module:
    """784-128-10 with tanh."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))


def convolutional() -> nn.Module:
    """Two convolutions with pooling, and a dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Two layers of width 64 over the 28 rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(28, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classes from the mean over the rows."""
        return self.head(self.layers(self.rows(x[:, 0])).mean(dim=1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "transformer, 2 layers of width 64": (Transformer, 120),
    "dense 784-128-10": (dense, 40_000),
    "convolutional 8-16-10": (convolutional, 6_000),
}
"""Networks, and steps: those of the transformer take a few seconds, the others about half a minute."""


def data() -> tuple[Tensor, Tensor]:
    """Images 28 x 28 of ten classes: a pattern of each with noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(10, 1, 28, 28, generator=generator)
    t = torch.randint(0, 10, (SAMPLES,), generator=generator)
    return 0.2 * patterns[t] + torch.randn(SAMPLES, 1, 28, 28, generator=generator), t


def training(network: str, mode: str) -> dict[str, Any]:
    """Train once, in one of the modes; seconds of the loop, and what the monitor says of itself."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, steps = NETWORKS[network]
    model, (x, t) = make(), data()
    system = cl.NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    logged: list[float] = []
    log = (lambda name, value, step: logged.append(value)) if mode == "logged" else None
    # Loaded before the clock starts, as it is where critlearn is imported at the top.
    kind = cl.Monitor
    order = torch.randint(0, SAMPLES, (steps, BATCH), generator=torch.Generator().manual_seed(1))
    processor, wall = time.process_time(), time.perf_counter()
    with nullcontext() if mode == "bare" else kind(system, optimizer, log=log) as monitor:
        start = time.process_time() - processor
        for chosen in order:
            loss = nn.functional.cross_entropy(model(x[chosen]), t[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if monitor is not None:
                monitor.step()
    taken: dict[str, Any] = {
        "processor": time.process_time() - processor,
        "wall": time.perf_counter() - wall,
        "steps": steps,
    }
    weights = b"".join(value.detach().numpy().tobytes() for value in model.parameters())
    taken["weights"] = hashlib.sha256(weights).hexdigest()
    if monitor is not None:
        record = monitor.record
        started = time.process_time()
        fits = sum(part.fit is not None for state in record.states for part in state.distributions.values())
        taken |= {
            "states": len(record.states),
            "told": record.overhead,
            "start": start,
            "state": median(state.cost_seconds for state in record.states),
            "samples": record.states[-1].samples,
            "fit": (time.process_time() - started) / fits,
            "series": len(record.series.steps),
        }
    return taken


def child(network: str, mode: str) -> dict[str, Any]:
    """One training in a process of its own."""
    command = [sys.executable, __file__, "--child", network, mode]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def page() -> str:
    """The tables, one repeat of all modes after the other."""
    out = [
        "# What a monitor costs",
        "",
        f"Adam on batches of {BATCH}, one thread, each training in a process of its own; the modes by turns, each",
        f"{REPEATS} times. Medians of the processor time of the whole `with` block, with start, measurements and the",
        "last state in it. *Logged* sends exponents to a logger, so that fits are made during training. Written by",
        "`python benchmarks/monitor.py`.",
        "",
        "| network | mode | steps | seconds | overhead | goal | without the start | goal | told | states |",
        "| --- " * 10 + "|",
    ]
    details = [
        "| network | mode | start, s | a state, ms | a fit, ms | samples of the last state | steps in the series |"
    ]
    details.append("| --- " * 7 + "|")
    for network in NETWORKS:
        found: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
        for _ in range(REPEATS):
            for mode in MODES:
                found[mode].append(child(network, mode))
        same = len({run["weights"] for runs in found.values() for run in runs}) == 1
        base = median(run["processor"] for run in found["bare"])
        for mode, runs in found.items():
            seconds = median(run["processor"] for run in runs)
            start = f"| {network} | {mode} | {runs[0]['steps']:,} | {seconds:.1f} |"
            if mode == "bare":
                out.append(f"{start} | | | | | |")
                continue
            told, states = median(run["told"] for run in runs), median(run["states"] for run in runs)
            overhead = seconds / base - 1
            names = ("start", "state", "fit", "series", "samples")
            middle = {name: median(run[name] for run in runs) for name in names}
            later = overhead - middle["start"] / base
            out.append(f"{start} {overhead:.1%} | at most 10% | {later:.1%} | at most 5% | {told:.1%} | {states:.0f} |")
            fit = "in the states" if mode == "logged" else f"{1e3 * middle['fit']:.0f}"
            details.append(
                f"| {network} | {mode} | {middle['start']:.2f} | {1e3 * middle['state']:.0f} | {fit} | "
                f"{middle['samples']:.0f} | {middle['series']:,.0f} |"
            )
        spread = [run["processor"] / base - 1 for run in found["bare"]]
        out[-1] += (
            f"\n| {network} | weights of all modes {'identical to the last bit' if same else 'DIFFERENT'}; bare loops "
            f"{min(spread):+.1%} to {max(spread):+.1%} of their median | | | | | | | | |"
        )
    return "\n".join([*out, "", *details]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.stdout.write(json.dumps(training(*sys.argv[2:4])) + "\n")
    else:
        write_whole(PAGE, page().encode())
