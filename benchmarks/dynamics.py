"""Time and memory of a series over time: a hundred million increments, and a file larger than the memory.

python benchmarks/dynamics.py            # writes a file of 4 GB under the folder of temporary files, and removes it
python benchmarks/dynamics.py --steps 100000
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from critlearn.dynamics import analyze_series, fit_tail, sketch_in_time

INCREMENTS = 100_000_000
VARIABLES = 1000
ROWS_AT_ONCE = 10_000


def stream_increments() -> tuple[float, float]:
    """Seconds to count a hundred million increments, and to fit their tail."""
    values = np.random.default_rng(0).standard_normal(INCREMENTS)
    # Compiled before the clock starts.
    sketch_in_time(values[:1000])
    start = time.perf_counter()
    sketch = sketch_in_time(values)
    counted = time.perf_counter() - start
    fit_tail(sketch)
    return counted, time.perf_counter() - start - counted


def write_walk(path: Path, steps: int) -> None:
    """Random walks of many variables in a file, block by block."""
    generator = np.random.default_rng(1)
    position = np.zeros(VARIABLES, dtype=np.float32)
    held = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(steps, VARIABLES))
    for start in range(0, steps, ROWS_AT_ONCE):
        rows = generator.standard_normal((min(ROWS_AT_ONCE, steps - start), VARIABLES), dtype=np.float32)
        rows[0] += position
        held[start : start + len(rows)] = np.cumsum(rows, axis=0)
        position = np.array(held[start + len(rows) - 1])
    held.flush()


def peak() -> float:
    """Largest memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Run both and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="Steps of the series in the file.")
    parser.add_argument("--part", choices=("write", "read", "stream"), help="One part alone, in a process of its own.")
    parser.add_argument("--file", type=Path, help="File of the series.")
    arguments = parser.parse_args()
    if arguments.part == "write":
        write_walk(arguments.file, arguments.steps)
    elif arguments.part == "read":
        start = time.perf_counter()
        sheet = analyze_series(np.load(arguments.file, mmap_mode="r"))
        seconds = time.perf_counter() - start
        print(f"{sheet.steps} x {sheet.variables}: {seconds:.1f} s, {peak():.2f} GB at most")
    elif arguments.part == "stream":
        counted, fitted = stream_increments()
        print(f"{INCREMENTS:.0e} increments: counted in {counted:.1f} s, fitted in {fitted:.2f} s")
    else:
        run_all(arguments.steps)


def run_all(steps: int) -> None:
    """Each part in a process of its own, so that the memory of one is not counted in another."""
    import subprocess
    import sys

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "walk.npy"
        for part in ("stream", "write", "read"):
            command = [sys.executable, __file__, "--steps", str(steps), "--part", part, "--file", str(file)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
