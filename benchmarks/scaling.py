"""How the time of counting grows with width and with samples: writes docs/engine_scaling.md."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from docs_page import OneLineParser
from torch import Tensor

from critlearn.fluctuations.counting.cpu import CpuCounter
from critlearn.whole_files import write_whole

WIDTHS = (128, 256, 512, 1024, 2048, 4096)
PAGE = Path(__file__).parent.parent / "docs" / "engine_scaling.md"


def seconds(width: int, samples: int, *, exact: bool) -> float:
    """Processor time of counting the weights of one layer of equal width on both sides, fastest of three runs."""
    generator = torch.Generator().manual_seed(width)
    errors: Tensor = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    inputs = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    scale, group = torch.zeros(samples, dtype=torch.float64), torch.arange(samples) % 64
    found = []
    for _ in range(3):
        counter = CpuCounter(64, exact=exact)
        started = time.process_time()
        counter.add_outer(errors.abs().log(), errors < 0, inputs, scale, group)
        found.append(time.process_time() - started)
    return min(found)


def page() -> str:
    """The tables."""
    seconds(128, 64, exact=False)
    seconds(128, 64, exact=True)
    out = [
        "# How the time of counting grows",
        "",
        "Processor time of one thread for the weights of one dense layer, Gaussian inputs and errors, fastest of three",
        "runs. Written by `python benchmarks/scaling.py`.",
        "",
        "| width N = M | convolved, us/sample | ns/value | to width 128 | N + M to 256 | one by one, us/sample |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    base = 0.0
    for width in WIDTHS:
        samples = 512
        fast = 1e6 * seconds(width, samples, exact=False) / samples
        slow = 1e6 * seconds(width, 32, exact=True) / 32
        base = base or fast
        growth = f"{fast / base:.1f} | {2 * width / 256:.0f}"
        out.append(f"| {width} | {fast:.1f} | {1e3 * fast / width**2:.4f} | {growth} | {slow:.0f} |")
    out += ["", "| samples (width 512) | ms | us/sample |", "| --- | --- | --- |"]
    for samples in (256, 1024, 4096):
        took = seconds(512, samples, exact=False)
        out.append(f"| {samples} | {1e3 * took:.1f} | {1e6 * took / samples:.1f} |")
    return "\n".join(out) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page when all is measured."""
    OneLineParser(description=(__doc__ or "").splitlines()[0]).parse_args(arguments)
    torch.set_num_threads(1)
    write_whole(PAGE, page().encode())


if __name__ == "__main__":
    main()
