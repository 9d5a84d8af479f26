"""Language models and small networks beside torch.func, side by side in one run: writes docs/language_model_speed.md.

Each method runs in a process of its own. Times are processor seconds of one thread, which other programs disturb least.
"""

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from docs_page import OneLineParser
from language_models import SMALL, Workload, workload
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from critlearn import NeuralSystem, Quantities, measure
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "language_model_speed.md"
MODELS = ("own", "GPT-2")
WORKLOADS = (*MODELS, "small")
METHODS = ("pass", "torch.func + bincount", "critlearn", "critlearn, 1,000 entries of each variable")
BATCH = 16
"""Sequences of a batch: with more, gradients of single samples that are written out do not fit beside each other."""
TIME_GOAL, MEMORY_GOAL, SMALL_GOAL = 0.9, 0.7, 1.5
REPEATS = 5

Found = dict[str, dict[str, float]]
"""Seconds and memory of each method."""


def runner(name: str, method: str, device: str) -> Callable[[], object]:
    """One method on one workload, as a function that runs it once."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    given = workload(name)
    given = given._replace(model=given.model.to(device), x=given.x.to(device), t=given.t.to(device))
    batch = BATCH if name in MODELS else len(given.x)
    if method == METHODS[0]:
        return lambda: one_pass(given, batch)
    if method == METHODS[1]:
        return lambda: by_samples(given, batch)
    drawn = Quantities(variables=1000) if method == METHODS[3] else None
    return lambda: measure(
        NeuralSystem(given.model, given.loss, given.data), batch_size=batch, groups=1, quantities=drawn
    )


def one_pass(given: Workload, batch: int) -> None:
    """Forward and backward pass of all samples."""
    for rows in torch.arange(len(given.x)).split(batch):
        given.plain_loss(given.model, given.x[rows], given.t[rows]).backward()


class Loss(nn.Module):
    """Loss of a network as a module, so that its variables can be replaced."""

    def __init__(self, given: Workload) -> None:
        super().__init__()
        self.model, self._loss = given.model, given.plain_loss

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Summed loss."""
        return self._loss(self.model, x, t)


def by_samples(given: Workload, batch: int) -> Tensor:
    """Counts of the gradients of single samples, by exponent and seven bits of the mantissa."""
    loss = Loss(given)
    values = {name: value.detach() for name, value in loss.named_parameters()}

    def of_sample(values: dict[str, Tensor], x: Tensor, t: Tensor) -> Tensor:
        return functional_call(loss, values, (x[None], t[None]))

    total = torch.zeros(1 << 15, dtype=torch.int64, device=given.x.device)
    for rows in torch.arange(len(given.x)).split(batch):
        x, t = given.x[rows], given.t[rows]
        try:
            found = list(vmap(grad(of_sample), (None, 0, 0))(values, x, t).values())
        except RuntimeError:
            # Recurrent layers are refused: one sample after the other.
            parts = [grad(of_sample)(values, *pair) for pair in zip(x, t, strict=True)]
            found = [torch.stack([part[name] for part in parts]) for name in values]
        for gradient in found:
            bins = (gradient.reshape(-1).view(torch.int32) >> 16) & 0x7FFF
            total += torch.bincount(bins, minlength=1 << 15)
        # Not beside those of the next batch.
        del found, gradient
    return total


def child(name: str, method: str, device: str) -> dict[str, float]:
    """Run one method: processor seconds, and the greatest memory above what the network and its data take.

    A language model runs once, with everything that is imported on the way; a small network some times over, of which
    the fastest counts, as its time would be that of the imports.
    """
    run = runner(name, method, device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = []
    for _ in range(1 if name in MODELS else REPEATS):
        started = clock()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    memory = kilobytes / 1024 if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": min(seconds), "megabytes": memory}


def compare(name: str, methods: Sequence[str], device: str) -> Found:
    """All methods on one workload, each in a process of its own."""
    found: Found = {}
    for method in methods:
        command = [sys.executable, __file__, "--child", name, method, device]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}, {method}: {(done.stderr.strip().splitlines() or ['no result'])[-1]}")
        found[method] = json.loads(done.stdout.strip().splitlines()[-1])
        print(name, device, method, found[method], flush=True)
    return found


def model_rows(name: str, found: Found, device: str) -> list[str]:
    """Rows of the table of a language model."""
    base = found[METHODS[1]]
    return [
        f"| {name}, {device} | {method} | {row['seconds']:.1f} | {row['seconds'] / base['seconds']:.2f} | "
        f"{row['megabytes']:.0f} | {row['megabytes'] / base['megabytes']:.2f} |"
        for method, row in found.items()
    ]


def small_row(name: str, found: Found) -> str:
    """Row of the table of small networks."""
    first, base, ours = (found[method]["seconds"] for method in METHODS[:3])
    return f"| {name} | {1e3 * first:.1f} | {1e3 * base:.1f} | {1e3 * ours:.1f} | {ours / base:.1f} |"


INTRODUCTION = f"""# Speed on language models and small networks

Processor seconds of one thread, each method in a process of its own. *Pass* is a forward and a backward pass;
*torch.func + bincount* forms the gradients of single samples with `vmap(grad)` and counts them by the bits of the
numbers, without a check, a resolution floor or exact tails. critlearn's time is that of `NeuralSystem` and `measure` in
all: checks, counts and the resolution floor. Written by `python benchmarks/language_model.py`.

## Language models

6 layers, width 256, vocabulary 5,000, 64 sequences of 128 tokens, batches of {BATCH}; *own* is a decoder of plain
torch, *GPT-2* that of Hugging Face with tied weights. Goals for critlearn, in units of torch.func: time at most
{TIME_GOAL}, memory at most {MEMORY_GOAL}. What is imported on the way counts.

| model | method | seconds | in units of torch.func | memory, MB | in units of torch.func |
| --- | --- | --- | --- | --- | --- |
"""
SMALL_INTRODUCTION = f"""
## Small networks

64 samples in one batch, fastest of {REPEATS} runs, milliseconds. Goal: at most {SMALL_GOAL} times torch.func, which
refuses recurrent layers: the GRU's samples are taken one after the other. What critlearn looks at before the first
batch is some fifteen passes of a few samples each, whose time is that of the calls; with more data it does not count.

| network | pass | torch.func + bincount | critlearn | critlearn in units of torch.func |
| --- | --- | --- | --- | --- |
"""


def devices() -> list[str]:
    """Devices to run on; that there is no GPU is said."""
    if torch.cuda.is_available():
        return ["cpu", "cuda"]
    print("NO GPU HERE: its rows are left out", file=sys.stderr)
    return ["cpu"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page when all is measured."""
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"any of {', '.join(WORKLOADS)}; only printed")
    parser.add_argument(
        "--child", nargs=3, metavar=("WORKLOAD", "METHOD", "DEVICE"), help="run one method in this process"
    )
    given = parser.parse_args(arguments)
    if given.child:
        print(json.dumps(child(*given.child)))
        return
    unknown = [name for name in given.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f'unknown workload "{unknown[0]}"; allowed: {", ".join(WORKLOADS)}')
    asked = given.workloads or WORKLOADS
    rows: list[str] = []
    for name in (name for name in MODELS if name in asked):
        for device in devices():
            rows += model_rows(name, compare(name, METHODS, device), device)
    small = [small_row(name, compare(name, METHODS[:3], "cpu")) for name in (SMALL if "small" in asked else ())]
    text = INTRODUCTION + "\n".join(rows) + "\n" + SMALL_INTRODUCTION + "\n".join(small) + "\n"
    if given.workloads:
        print(text)
    else:
        write_whole(PAGE, text.encode())


if __name__ == "__main__":
    main()
