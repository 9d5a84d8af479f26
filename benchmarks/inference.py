"""Fits of critlearn beside those of ``powerlaw``, in one run; writes ``docs/inference_speed.md``.

python benchmarks/inference.py            # up to 1e7 values, powerlaw for four minutes of processor time in all
python benchmarks/inference.py --quick    # 1e4 values only, and no measurement of memory
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from docs_page import OneLineParser

from critlearn.inference import Criteria, fit_power_law
from critlearn.numerics.log_sketch import LogSketch
from critlearn.whole_files import write_whole

PAGE = Path(__file__).parents[1] / "docs" / "inference_speed.md"

DRAWS = {
    "continuous": "(1 - np.random.default_rng(0).random({n})) ** (-1 / 1.5)",
    "discrete": "np.random.default_rng(0).zipf(2.5, {n})",
}
"""Samples with k = 2.5 from 1 to infinity, as expressions: the peer draws the same ones in its own process."""

PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, powerlaw
x, discrete = {draws}, {discrete}
powerlaw.Fit(x[:200], discrete=discrete, verbose=False).distribution_compare("power_law", "lognormal")
start = time.process_time()
fit = powerlaw.Fit(x, discrete=discrete, verbose=False)
found = {{"exponent": float(fit.power_law.alpha), "fit": time.process_time() - start}}
print(json.dumps(found), flush=True)
fit.distribution_compare("power_law", "lognormal")
print(json.dumps(found | {{"whole": time.process_time() - start}}), flush=True)
"""

PEER_SECONDS = 240
"""Processor time that the peer may take in all: its time grows with the number of different values, squared."""

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


@dataclass
class PeerTime:
    """Processor time that the peer has left, and the kinds of data that it has not finished."""

    left: float = PEER_SECONDS
    unfinished: frozenset[str] = frozenset()

    def fit(self, kind: str, n: int) -> dict[str, float] | None:
        """Times and exponent of the peer, as far as it comes; None where it has stopped at fewer values."""
        if self.left < 1 or kind in self.unfinished:
            return None
        code = PEER.format(draws=DRAWS[kind].format(n=n), discrete=kind == "discrete")
        limit = round(self.left)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.left -= after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode > 0:
            raise RuntimeError(done.stderr)
        if done.returncode:
            self.unfinished |= {kind}
        found = json.loads((done.stdout.splitlines() or ["{}"])[-1])
        return found if "whole" in found else found | {"stopped": limit}


def sample(kind: str, n: int) -> np.ndarray:
    """Power law with k = 2.5 from 1 to infinity, of real numbers or integers."""
    draws = np.random.default_rng(0)
    return draws.zipf(2.5, n) if kind == "discrete" else (1 - draws.random(n)) ** (-1 / 1.5)


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Smallest processor time of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def beside_the_peer(sizes: Sequence[int]) -> str:
    """Tails with an automatic lower end, both packages, the quick ones first."""
    titles = ("values", "critlearn, k", "whole fit, s", "powerlaw, k", "fit, s", "whole, s", "ratio")
    rows: dict[str, list[str]] = {kind: [] for kind in DRAWS}
    peer = PeerTime()
    for n in sizes:
        for kind, lines in rows.items():
            values, discrete = sample(kind, n), kind == "discrete"
            # The first fit compiles kernels.
            fit = fit_power_law(values, side="large", discrete=discrete)
            mine = seconds(lambda v=values, d=discrete: fit_power_law(v, side="large", discrete=d))
            lines.append(_row(n, fit.exponent, mine, peer.fit(kind, n)))
            print(kind, lines[-1], file=sys.stderr)
    head = "| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|\n"
    return "\n".join(f"## {kind.capitalize()} data\n\n{head}" + "".join(lines) for kind, lines in rows.items())


def _row(n: int, exponent: float | None, mine: float, other: dict[str, float] | None) -> str:
    """One line of a table."""
    cells = [f"{n:,}", "none" if exponent is None else f"{exponent:.4f}", f"{mine:.3f}"]
    if other is None:
        cells += ["not run", "", "", ""]
    elif "stopped" in other:
        fitted = f"{other['fit']:.2f}" if "fit" in other else f"over {other['stopped']:.0f}"
        known = f"{other['exponent']:.4f}" if "exponent" in other else "stopped"
        cells += [known, fitted, f"over {other['stopped']:.0f}", f"over {other['stopped'] / mine:,.0f}"]
    else:
        cells += [f"{other['exponent']:.4f}", f"{other['fit']:.2f}", f"{other['whole']:.2f}"]
        cells += [f"{other['whole'] / mine:,.1f}"]
    return "| " + " | ".join(cells) + " |\n"


def sketch_of(total: int) -> LogSketch:
    """Sketch that has counted this many values of a power law with k = 1 over 13 decades."""
    counts = np.random.default_rng(0).multinomial(total // 64, np.full(2800, 1 / 2800), size=64)
    return LogSketch(-2800, counts, np.zeros_like(counts), np.zeros(64, dtype=np.int64))


def alone() -> str:
    """What the peer cannot do."""
    values = sample("continuous", 1_000_000)
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


def memory(*options: str) -> float:
    """Largest memory of a fit of 1e7 values, beyond data and labels, over that of the data."""
    command = [sys.executable, "-c", MEMORY, "10000000", *options]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


INTRODUCTION = """# Speed of inference

Made by `python benchmarks/inference.py{options}`: processor time of one process, critlearn and powerlaw {version} side
by side in one run, critlearn as the best of three. k = 2.5 from 1 to infinity, lower end found. critlearn's whole fit
contains the tests, all alternatives and the local exponent; powerlaw's fit is `Fit`, its whole that and
`distribution_compare` with a lognormal, and the ratio is that of the whole ones. powerlaw has four minutes in all: what
does not end within the rest of them is stopped, and larger samples of that kind are not run.

"""


def main(arguments: list[str] | None = None) -> int:
    """Time everything and write the tables."""
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1e4 values only, and no measurement of memory")
    parser.add_argument("--out", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    sizes = (10_000,) if chosen.quick else (10_000, 100_000, 1_000_000, 10_000_000)
    text = INTRODUCTION.format(options=" --quick" if chosen.quick else "", version=version("powerlaw"))
    text += beside_the_peer(sizes) + "\n## What powerlaw does not do\n\n" + alone()
    if not chosen.quick:
        text += f"\nMemory beyond the data while 1e7 values are fitted: {memory():.2f} times the data; "
        text += f"with a cluster label for each, beyond these too, {memory('clusters'):.2f} times the data.\n"
    write_whole(chosen.out, text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
