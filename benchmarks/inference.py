"""Fits of critlearn beside those of ``powerlaw`` 2.0, in one run; writes ``docs/inference_speed.md``.

python benchmarks/inference.py --peer-python PATH            # a Python that has powerlaw 2.0
python benchmarks/inference.py --peer-python PATH --quick    # the peer up to 1e4 values only
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from critlearn.inference import Criteria, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.whole_files import write_whole

PEER = """
import sys, time, json, warnings
warnings.filterwarnings("ignore")
import numpy as np, powerlaw
x = (1 - np.random.default_rng(0).random(int(sys.argv[1]))) ** (-1 / 1.5)
powerlaw.Fit(x[:200], verbose=False)
start = time.process_time()
fit = powerlaw.Fit(x, verbose=False)
alpha = fit.power_law.alpha
print(json.dumps({"seconds": time.process_time() - start, "exponent": float(alpha), "version": powerlaw.__version__}))
"""

MEMORY = """
import resource, sys
import numpy as np
from critlearn.inference import fit_power_law
fit_power_law(np.geomspace(1.0, 1e4, 1000), cluster=np.arange(1000) // 10)
x = np.random.default_rng(0).random(int(sys.argv[1]))
# In place: a temporary array would hide that much of what the fit takes.
np.power(np.subtract(1, x, out=x), -1 / 1.5, out=x)
labels = np.arange(x.size) // 50 if sys.argv[2:] else None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit_power_law(x, side="large", cluster=labels)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / x.nbytes)
"""


def memory(*options: str) -> float:
    """Largest memory of a fit of 1e7 values, beyond data and labels, over that of the data."""
    command = [sys.executable, "-c", MEMORY, "10000000", *options]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def tail(n: int) -> np.ndarray:
    """Power law with k = 2.5 from 1 to infinity."""
    return (1 - np.random.default_rng(0).random(n)) ** (-1 / 1.5)


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Smallest processor time of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def peer(python: str, n: int) -> dict[str, float]:
    """Time and exponent of powerlaw."""
    done = subprocess.run([python, "-c", PEER, str(n)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def sketch_of(total: int) -> LogSketch:
    """Sketch that has counted this many values of a power law with k = 1 over 13 decades."""
    counts = np.random.default_rng(0).multinomial(total // 64, np.full(2800, 1 / 2800), size=64)
    return LogSketch(-2800, counts, np.zeros_like(counts), np.zeros(64, dtype=np.int64))


def automatic(python: str, sizes: tuple[int, ...]) -> str:
    """Tail with an automatic lower cut-off, both packages."""
    text = "| values | critlearn, k | seconds | powerlaw, k | seconds | ratio |\n" + "| --- " * 6 + "|\n"
    fit_power_law(tail(1000), side="large")
    for n in (10_000, 100_000, 1_000_000):
        values = tail(n)
        mine = seconds(lambda values=values: fit_power_law(values, side="large"))
        exponent = fit_power_law(values, side="large").exponent
        cells = [f"{n:,}", f"{exponent:.4f}", f"{mine:.3f}"]
        if n in sizes:
            other = peer(python, n)
            cells += [f"{other['exponent']:.4f}", f"{other['seconds']:.2f}", f"{other['seconds'] / mine:,.0f}"]
        else:
            cells += ["not run", "", ""]
        text += "| " + " | ".join(cells) + " |\n"
        print(text.splitlines()[-1], file=sys.stderr)
    return text


def alone() -> str:
    """What the peer cannot do."""
    values = tail(1_000_000)
    two_sided = np.exp(np.log(1e-8) * np.random.default_rng(0).random(1_000_000))
    rows = [
        ("1e6 values, tail, p-value with 100 repeated searches, all alternatives",
         seconds(lambda: fit_power_law(values, side="large", criteria=Criteria(selection_replicates=100)), 1)),
        ("1e6 values, two cut-offs, p-value with 100 repeated searches, all alternatives",
         seconds(lambda: fit_power_law(two_sided, criteria=Criteria(selection_replicates=100)), 1)),
        ("sketch of 1e4 values in 64 groups", seconds(lambda: fit_power_law(sketch_of(10_000)))),
        ("sketch of 1e9 values in 64 groups", seconds(lambda: fit_power_law(sketch_of(10**9)))),
    ]  # fmt: skip
    return "| what | seconds |\n| --- | --- |\n" + "".join(f"| {name} | {value:.2f} |\n" for name, value in rows)


HEADER = """# Speed of inference

Made by `python benchmarks/inference.py --peer-python PATH{options}`: processor time of one process, best of three
(powerlaw: once), {peer} and critlearn side by side in one run. k = 2.5 from 1 to infinity, lower
cut-off found; all of critlearn's times include tests, alternatives and the local exponent.

"""


def main() -> None:
    """Time everything and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/inference_speed.md"))
    arguments = parser.parse_args()
    sizes = (10_000,) if arguments.quick else (10_000, 100_000)
    version = peer(arguments.peer_python, 200)["version"]
    options = " --quick" if arguments.quick else ""
    text = HEADER.format(options=options, peer=f"powerlaw {version}") + automatic(arguments.peer_python, sizes)
    text += "\n" + alone()
    text += f"\nMemory beyond the data while 1e7 values are fitted: {memory():.2f} times the data; "
    text += f"with a cluster label for each, beyond these too, {memory('clusters'):.2f} times the data.\n"
    write_whole(arguments.out, text.encode())
    print(text, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB at most")


if __name__ == "__main__":
    main()
