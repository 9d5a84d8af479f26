"""Do fits find the exponent that the data were drawn with? Writes ``docs/inference_recovery.md``.

python validation/recovery.py            # 1,000 seeds, a few minutes
python validation/recovery.py --quick    # 100 seeds
"""

import argparse
import itertools
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from critlearn.inference import fit_power_law
from critlearn.inference.counts.cells import Cells
from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.laws.window_fits import theta_of_each_group
from critlearn.inference.window.cluster_bootstrap import likelihood_bounds
from critlearn.whole_files import write_whole

EXPONENTS = (-0.5, 0.0, 0.5, 1.0, 4 / 3, 1.5, 2.0, 2.5, 4.5)
DECADES = (1, 2, 4, 8)
SIZES = (1_000, 10_000, 100_000)
CELLS = 1024
DRAWS_AT_ONCE = 2_000_000


def draw_logs(k: float, decades: float, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """``ln delta`` of a power law on ``[10^-decades, 1]``, by inversion of the distribution function."""
    reach, theta = decades * math.log(10.0), 1 - k
    share = generator.random(shape)
    if theta == 0:
        return reach * (share - 1)
    # F(u) = (exp(theta u) - exp(-theta reach)) / (1 - exp(-theta reach)) for u in [-reach, 0].
    return np.clip(np.log1p((share - 1) * -math.expm1(-theta * reach)) / theta, -reach, 0.0)


def given_window(k: float, decades: int, n: int, seeds: int) -> tuple[float, float]:
    """Mean error of the exponent over its standard error, and coverage of the 95% likelihood interval."""
    generator = np.random.default_rng([round(100 * (k + 1)), decades, n])
    reach = decades * math.log(10.0)
    width = reach / CELLS
    exponents, covered = [], 0
    rows = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, seeds, rows):
        batch = min(rows, seeds - start)
        index = ((draw_logs(k, decades, (batch, n), generator) + reach) / width).astype(np.int64).clip(0, CELLS - 1)
        flat = (index + CELLS * np.arange(batch)[:, None]).ravel()
        counts = np.bincount(flat, minlength=batch * CELLS).reshape(batch, CELLS).astype(np.float64)
        theta = theta_of_each_group(GroupedCounts(Cells.equal(-reach, width, CELLS), counts))
        low, high = likelihood_bounds(theta * width, np.array([float(CELLS)]), np.array([float(n)]))
        exponents.append(1 - theta)
        covered += int(((low <= (1 - k) * width) & ((1 - k) * width <= high)).sum())
    found = np.concatenate(exponents)
    return float((found.mean() - k) / (found.std(ddof=1) / len(found) ** 0.5)), covered / seeds


def lognormal_body(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Half a power law on [1, 1e3], half a lognormal below 1."""
    tail = np.exp(draw_logs(k, 3, (n // 2,), generator) + 3 * math.log(10.0))
    body = np.exp(-np.abs(1.5 * generator.standard_normal(n - n // 2)))
    return np.concatenate([tail, body])


def exponential_cut_off(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Power law on [1e-4, 1] that goes on above 1 as ``delta^-k exp(1 - delta)``."""
    kept: list[np.ndarray] = []
    while sum(part.size for part in kept) < n:
        delta = np.exp(draw_logs(k, 6, (2 * n,), generator) + 2 * math.log(10.0))
        kept.append(delta[generator.random(delta.size) < np.exp(np.minimum(1 - delta, 0.0))])
    return np.concatenate(kept)[:n]


def body_of_a_tail(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Half a tail from 1 to infinity, half a lognormal below 1."""
    body = np.exp(-np.abs(1.5 * generator.standard_normal(n - n // 2)))
    return np.concatenate([1 + generator.pareto(k - 1, n // 2), body])


def smooth_cut_off(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Power law up to 1, cut off below some 2e-4 as ``1 / (1 + (2e-4 / delta)^2)``."""
    kept: list[np.ndarray] = []
    while sum(part.size for part in kept) < n:
        delta = np.exp(draw_logs(k, 6, (4 * n,), generator))
        kept.append(delta[generator.random(delta.size) < 1 / (1 + (2e-4 / delta) ** 2)])
    return np.concatenate(kept)[:n]


def nothing_outside(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Power law on [1e-4, 1]."""
    return np.exp(draw_logs(k, 4, (n,), generator))


DESIGNS: tuple[tuple[str, Callable[[float, int, np.random.Generator], np.ndarray], tuple[float, ...]], ...] = (
    ("lognormal body below 1", lognormal_body, (1.0, 1.5, 2.5)),
    ("exponential cut-off above 1", exponential_cut_off, (0.5, 1.0, 1.5)),
    ("smooth cut-off below 2e-4", smooth_cut_off, (1.0,)),
    ("lognormal body of a tail", body_of_a_tail, (1.8, 2.5)),
    ("nothing", nothing_outside, (0.5, 1.0, 1.5)),
)
TAIL = 3
FOUND_SIZES = (10_000, 100_000)


def found_window(design: int, k: float, seed: int, n: int = 100_000) -> tuple[float | None, bool, float, str]:
    """Exponent, whether its interval holds the true one, decades and verdict of a fit that looks for its window."""
    values = DESIGNS[design][1](k, n, np.random.default_rng([design, round(100 * k), seed]))
    fit = fit_power_law(values, side="large" if design == TAIL else "both")
    covered = fit.ci95 is not None and fit.ci95[0] <= k <= fit.ci95[1]
    return fit.exponent, covered, fit.window.decades if fit.window else 0.0, str(fit.verdict)


def given_table(seeds: int, workers: int) -> str:
    """Recovery on given windows."""
    cases = [(k, decades, n) for k in EXPONENTS for decades in DECADES for n in SIZES]
    with ProcessPoolExecutor(workers) as pool:
        results = dict(zip(cases, pool.map(_given, [(*case, seeds) for case in cases]), strict=True))
    text = "| k | decades | " + " | ".join(f"bias, n = {n:,}" for n in SIZES)
    text += " | " + " | ".join(f"coverage, n = {n:,}" for n in SIZES) + " |\n" + "| --- " * 8 + "|\n"
    for k in EXPONENTS:
        for decades in DECADES:
            row = [results[k, decades, n] for n in SIZES]
            cells = [f"{k:.3g}", str(decades), *(f"{bias:+.2f}" for bias, _ in row), *(f"{c:.1%}" for _, c in row)]
            text += "| " + " | ".join(cells) + " |\n"
    biases = np.array([bias for bias, _ in results.values()])
    coverage = np.array([c for _, c in results.values()])
    text += (
        f"\nOf {len(biases)} cells, {int((np.abs(biases) > 2).sum())} have a bias beyond 2 standard errors "
        f"({0.0455 * len(biases):.1f} expected by chance alone), {int((np.abs(biases) > 3).sum())} beyond 3; the mean "
        f"over cells is {biases.mean():+.2f}. Coverage lies between {coverage.min():.1%} and {coverage.max():.1%}, "
        f"its mean is {coverage.mean():.2%}; {int(((coverage < 0.93) | (coverage > 0.97)).sum())} cells lie outside "
        "93% to 97%.\n"
    )
    return text


def found_table(seeds: int, workers: int) -> str:
    """Recovery where the window is searched for."""
    columns = ("outside the window", "k", "n", "mean error", "root mean square", "coverage", "mean decades")
    text = "| " + " | ".join((*columns, "with an exponent", "verdicts")) + " |\n" + "| --- " * 9 + "|\n"
    with ProcessPoolExecutor(workers) as pool:
        for (design, (name, _, exponents)), n in itertools.product(enumerate(DESIGNS), FOUND_SIZES):
            for k in exponents:
                cases = [(design, k, seed, n) for seed in range(seeds)]
                results = list(pool.map(_found, cases, chunksize=10))
                known = [
                    (exponent - k, covered, reach) for exponent, covered, reach, _ in results if exponent is not None
                ]
                error, covered, decades = (np.array(column, dtype=float) for column in zip(*known, strict=True))
                verdicts = [verdict for *_, verdict in results]
                counted = ", ".join(f"{v} {verdicts.count(v)}" for v in sorted(set(verdicts)))
                cells = [name, f"{k:g}", f"{n:,}", f"{error.mean():+.4f}", f"{np.sqrt((error**2).mean()):.4f}"]
                cells += [f"{covered.mean():.1%}", f"{decades.mean():.2f}", f"{len(known)} of {seeds}", counted]
                text += "| " + " | ".join(cells) + " |\n"
    return text


def _given(case: tuple[float, int, int, int]) -> tuple[float, float]:
    return given_window(*case)


def _found(case: tuple[int, float, int, int]) -> tuple[float | None, bool, float, str]:
    return found_window(*case)


HEADER = """# Recovery of exponents

Made by `python validation/recovery.py{options}`.

## Window given

Power laws on `[10^-decades, 1]`, {seeds:,} seeds a cell. *Bias*: mean error of the exponent over the standard error of
that mean. *Coverage*: share of 95% likelihood intervals that hold the true exponent.

"""
MIDDLE = """
## Window found

{seeds} seeds a row. Half of the values are a lognormal body below a power law on [1, 1000], or below a tail from 1 to
infinity (fitted with `side="large"`); or a power law that starts at 1e-4 goes over into an exponential at 1; or one is
cut off smoothly, as `1 / (1 + (2e-4 / delta)^2)`; or nothing lies outside a power law on [1e-4, 1]. Errors and coverage
of the 95% interval are those of all fits with an exponent.

"""


def main() -> None:
    """Run both parts and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A tenth of the seeds.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/inference_recovery.md"))
    arguments = parser.parse_args()
    seeds, found_seeds = (100, 20) if arguments.quick else (1_000, 200)
    text = HEADER.format(options=" --quick" if arguments.quick else "", seeds=seeds)
    text += given_table(seeds, arguments.workers)
    text += MIDDLE.format(seeds=found_seeds) + found_table(found_seeds, arguments.workers)
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
