"""Do intervals cover where values come in dependent clusters? Writes ``docs/inference_dependence.md``.

python validation/dependence.py            # 1,000 seeds a cell
python validation/dependence.py --quick    # 100 seeds a cell
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import scipy.special

from critlearn.inference.laws.window_fits import fit_window
from critlearn.inference.observations import Reading
from critlearn.inference.window.cluster_bootstrap import exponent_interval, likelihood_interval
from critlearn.inference.window.goodness import MOST_CELLS, goodness_of_fit
from critlearn.numerics.window import Window
from critlearn.whole_files import write_whole

VALUES = 10_000
WINDOW = Window(1e-4, 1.0)
EXPONENTS = (0.5, 1.0, 2.5)
CLUSTERS = (10, 50)
CORRELATIONS = (0.0, 0.3, 0.9)


def clustered(k: float, size: int, correlation: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values of a power law on `WINDOW` and their clusters: a Gaussian copula with equal correlation in a cluster."""
    clusters = VALUES // size
    shared = generator.standard_normal((clusters, 1))
    normal = correlation**0.5 * shared + (1 - correlation) ** 0.5 * generator.standard_normal((clusters, size))
    share = scipy.special.ndtr(normal).ravel()
    theta, reach = 1 - k, WINDOW.log_hi - WINDOW.log_lo
    logs = reach * (share - 1) if theta == 0 else np.log1p((share - 1) * -math.expm1(-theta * reach)) / theta
    return np.exp(np.clip(logs, -reach, 0.0)), np.repeat(np.arange(clusters), size)


def cell(case: tuple[float, int, float, int]) -> tuple[float, float, float]:
    """Coverage of the cluster interval and of the naive one; share of p-values below 0.1."""
    k, size, correlation, seeds = case
    covered = naive = rejected = 0
    for seed in range(seeds):
        generator = np.random.default_rng([round(100 * k), size, round(100 * correlation), seed])
        values, cluster = clustered(k, size, correlation, generator)
        observed = Reading(cluster=cluster, log_floor=-math.inf).observe(values, WINDOW)
        inside = observed.counts.cells.inside(WINDOW)
        fit = fit_window(observed.counts, inside.start, inside.stop)
        assert fit is not None
        low, high = exponent_interval(observed.counts, fit, 400, seed).ci95
        covered += low <= k <= high
        low, high = likelihood_interval(observed.counts, fit)
        naive += low <= k <= high
        part = observed.counts.part(inside.start, inside.stop).coarsened(MOST_CELLS)
        coarse = fit_window(part, 0, len(part.cells))
        assert coarse is not None
        rejected += goodness_of_fit(part, coarse, 200, seed).p_value < 0.1
    return covered / seeds, naive / seeds, rejected / seeds


HEADER = """# Dependent values

{values:,} values of a power law on [1e-4, 1] in clusters, with equal correlation inside a cluster (Gaussian copula),
{seeds:,} seeds a cell. *Cluster interval*: 95% interval by bootstrap over clusters; *naive*: profile likelihood, as if
all values were independent. *Rejected*: share of Kolmogorov-Smirnov p-values, by bootstrap over clusters, below 0.1.

Made by `python validation/dependence.py{options}`.

| k | cluster size | correlation | cluster interval covers | naive interval covers | rejected at 10% |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Run every cell and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A tenth of the seeds.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/inference_dependence.md"))
    arguments = parser.parse_args()
    seeds = 100 if arguments.quick else 1_000
    cases = [(k, size, rho, seeds) for k in EXPONENTS for size in CLUSTERS for rho in CORRELATIONS]
    text = HEADER.format(values=VALUES, seeds=seeds, options=" --quick" if arguments.quick else "")
    with ProcessPoolExecutor(arguments.workers) as pool:
        for (k, size, rho, _), (covered, naive, rejected) in zip(cases, pool.map(cell, cases), strict=True):
            text += f"| {k:g} | {size} | {rho:g} | {covered:.1%} | {naive:.1%} | {rejected:.1%} |\n"
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
