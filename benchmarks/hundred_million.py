"""A dense network of 100 million trainable variables and 1,000 samples: 1e11 fluctuations counted on two cores.

Prints what was measured; writes no page.
"""

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from docs_page import OneLineParser
from torch import nn
from torch.utils.data import TensorDataset

from critlearn.fluctuations import measure, progress_bar
from critlearn.network import NeuralSystem

WIDTHS = (4096, 8192, 6144, 2640, 10)
SAMPLES = 1000


def _status(key: str) -> float:
    """Entry of the process's status in GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    OneLineParser(description=(__doc__ or "").splitlines()[0]).parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(2)
    layers: list[nn.Module] = []
    for width, following in pairwise(WIDTHS):
        layers += [nn.Linear(width, following), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    data = TensorDataset(torch.randn(SAMPLES, WIDTHS[0]), torch.randint(WIDTHS[-1], (SAMPLES,)))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), data)
    variables = sum(value.numel() for value in model.parameters())
    Path("/proc/self/clear_refs").write_text("5")
    before, started, used = _status("VmRSS"), time.perf_counter(), time.process_time()
    with progress_bar() as progress:
        fluctuations = measure(system, batch_size=100, groups=20, progress=progress)
    counted = fluctuations["all"].count
    assert counted == variables * SAMPLES
    print(f"{variables:,} variables, {SAMPLES:,} samples: {counted:,} fluctuations")
    print(f"{time.perf_counter() - started:.0f} s elapsed, {time.process_time() - used:.0f} s of processor time")
    print(f"{_status('VmHWM') - before:.2f} GiB beyond the model ({variables * 4 / 2**30:.2f} GiB)")
    print(fluctuations["all"].summary())


if __name__ == "__main__":
    main()
