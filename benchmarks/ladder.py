"""What the ladder of predictions costs beside the measurement that it is made with: writes docs/ladder_speed.md.

Each row runs in processes of its own, one for the measurement and one for the ladder. Times are processor seconds of
one thread, which other programs disturb least; fits are not counted, as both need them.
"""

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from docs_page import OneLineParser
from torch import nn
from torch.utils.data import TensorDataset

from critlearn import Composition, NeuralSystem, fit_power_law, measure
from critlearn.comparison.system_prediction import measure_with_ladder
from critlearn.network import feed_forward
from critlearn.studies import load_data
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "ladder_speed.md"
GOAL = 2.0
"""Times the measurement that measurement and ladder together may take: the ladder as long as the measurement."""

METHODS = ("measure", "ladder")


def flights() -> NeuralSystem:
    """60,000 flights in two classes."""
    found = load_data("flights")
    model = feed_forward(found.x.shape[1], (32, 32), "tanh", seed=0, outputs=1)
    return NeuralSystem(model, Composition("sigmoid", "bce"), TensorDataset(found.x.double(), found.signs.double()))


def convolutional() -> NeuralSystem:
    """1,797 digits in ten classes."""
    found = load_data("digits")
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 16, 3), nn.Tanh(), nn.Flatten(), nn.Linear(256, 10)
    ).double()  # fmt: skip
    data = TensorDataset(found.x.double().reshape(-1, 1, 8, 8), found.labels)
    return NeuralSystem(model, nn.CrossEntropyLoss(), data)


def decoder() -> NeuralSystem:
    """512 sequences of 64 tokens through a language model of 0.2 million variables."""
    import language_models

    language_models.VOCABULARY, language_models.WIDTH, language_models.LAYERS = 200, 64, 3
    tokens = torch.randint(200, (512, 65))
    data = TensorDataset(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    model = language_models.LanguageModel()
    # The head of a fresh network is zero, so that all errors are the same.
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return NeuralSystem(model, nn.CrossEntropyLoss(), data)


def large() -> NeuralSystem:
    """128 samples through 9.4 million variables: all gradients at once would take 4.8 GB."""
    model = nn.Sequential(
        nn.Linear(784, 2700), nn.ReLU(), nn.Linear(2700, 2700), nn.ReLU(), nn.Linear(2700, 10)
    )  # fmt: skip
    t = torch.arange(128) % 10
    return NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(torch.randn(128, 784) + torch.randn(10, 784)[t], t))


WORKLOADS: dict[str, tuple[str, Callable[[], NeuralSystem], int, int]] = {
    "flights": ("flights, 8-32-32-1", flights, 2048, 3),
    "convolutional": ("digits, convolutional", convolutional, 256, 3),
    "decoder": ("decoder, 3 layers of width 64", decoder, 32, 3),
    "large": ("784-2700-2700-10", large, 32, 1),
}
"""Name, system, samples of a batch, and repetitions, of which the fastest counts."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of a piece of work, and its result."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def figures(name: str, method: str) -> dict[str, float]:
    """Seconds and the peak of memory of one method, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    _, make, batch, repeats = WORKLOADS[name]
    system = make()
    found: dict[str, list[float]] = {"measure": [], "levels": []}
    # The first time compiles.
    for _ in range(repeats + 1):
        if method == "measure":
            found["measure"].append(timed(lambda: measure(system, batch_size=batch))[0])
            found["levels"].append(0.0)
            continue
        seconds, (measured, steps) = timed(lambda: measure_with_ladder(system, batch_size=batch))
        if isinstance(steps, str):
            raise SystemExit(steps)
        names = [each for each in measured if each in system.parameters]
        fits = {each: fit_power_law(measured[each], log_floor=measured.log_floor) for each in names}
        found["measure"].append(seconds)
        found["levels"].append(timed(lambda steps=steps, fits=fits: [steps.levels(*pair) for pair in fits.items()])[0])
    size = {"variables": sum(each.numel() for each in system.parameters.values()), "samples": len(system)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**{key: min(values) for key, values in found.items()}, "peak": peak, **size}


def row(name: str) -> str:
    """Row of the table, from two processes."""
    plain, ladder = (
        json.loads(
            subprocess.run([sys.executable, __file__, name, method], capture_output=True, text=True, check=True).stdout
        )
        for method in METHODS
    )
    ratio = (ladder["measure"] + ladder["levels"]) / plain["measure"]
    seconds = " | ".join(f"{each:.2f}" for each in (plain["measure"], ladder["measure"], ladder["levels"], ratio))
    size = f"{plain['samples']:,.0f} | {plain['variables']:,.0f}"
    return f"| {WORKLOADS[name][0]} | {size} | {seconds} | {plain['peak']:.2f} | {ladder['peak']:.2f} |"


def page(names: Sequence[str]) -> str:
    """The table."""
    out = [
        "# What the ladder costs",
        "",
        "A measurement by itself, one that counts path factors in the same pass, and all levels of all trainable",
        "variables. Processor seconds of one thread, fastest of three runs after a first one (the last row: of two).",
        f"The goal is at most {GOAL:.0f} times the measurement: as long for the ladder as for the measurement. Peaks",
        "of memory in GB are those of whole processes, torch included; that of the ladder includes the fits.",
        "",
        "Made by `python benchmarks/ladder.py`.",
        "",
        "| network | samples | variables | measurement | with path factors | levels | ratio | peak | with the ladder |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        out.append(row(name))
        print(out[-1], flush=True)
    return "\n".join(out) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page; or print the figures of one method."""
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", nargs="?", choices=WORKLOADS)
    parser.add_argument("method", nargs="?", choices=METHODS)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    if given.method is not None:
        print(json.dumps(figures(given.workload, given.method)))
        return
    write_whole(given.out, page([given.workload] if given.workload else [*WORKLOADS]).encode())


if __name__ == "__main__":
    main()
