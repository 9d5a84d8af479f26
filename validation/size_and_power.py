"""Are p-values uniform where a power law is true, and are other laws told apart? Writes ``docs/inference_tests.md``.

python validation/size_and_power.py            # 300 seeds a row, about ten minutes
python validation/size_and_power.py --quick    # 40 seeds a row
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

from critlearn.inference import fit_power_law
from critlearn.inference.goodness import MOST_CELLS, goodness_of_fit
from critlearn.inference.observations import observe
from critlearn.inference.selection_test import selection_p_value
from critlearn.inference.window_search import WindowScan
from critlearn.numerics.window import Window


def power_law(k: float, low: float, high: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Draws by inversion of the distribution function; ``high`` may be infinite."""
    share = generator.random(n)
    if k == 1:
        return low * (high / low) ** share
    top = 0.0 if np.isinf(high) else high ** (1 - k)
    return (low ** (1 - k) + share * (top - low ** (1 - k))) ** (1 / (1 - k))


NULLS: tuple[dict[str, Any], ...] = (
    {"name": "k = 0.5 on [1e-4, 1], window given", "law": (0.5, 1e-4, 1.0), "given": True, "side": "both"},
    {"name": "k = 1 on [1e-8, 1], window given", "law": (1.0, 1e-8, 1.0), "given": True, "side": "both"},
    {"name": "k = 2.5 on [1, 1e4], window given", "law": (2.5, 1.0, 1e4), "given": True, "side": "both"},
    {"name": "k = 1 on [1e-4, 1], window found", "law": (1.0, 1e-4, 1.0), "given": False, "side": "both"},
    {"name": "k = 0.5 on [1e-4, 1], window found", "law": (0.5, 1e-4, 1.0), "given": False, "side": "both"},
    {"name": "k = 2.5 on [1, inf), lower end found", "law": (2.5, 1.0, np.inf), "given": False, "side": "large"},
)


def null_p_value(case: tuple[int, int, int]) -> float:
    """p-value on one sample of a true power law, the search repeated in 100 replicates where there was one."""
    row, n, seed = case
    null = NULLS[row]
    values = power_law(*null["law"], n, np.random.default_rng([row, n, seed]))
    window = Window(*null["law"][1:]) if null["given"] else None
    counts = observe(
        values, window, side=null["side"], sign=None, cluster=None, block=None, weights=None, nan="refuse",
        log_floor=-np.inf,
    ).counts  # fmt: skip
    if window is not None:
        inside = counts.cells.inside(window)
        part = counts.part(inside.start, inside.stop).coarsened(MOST_CELLS)
        fit = part.fit(0, len(part.cells))
        return np.nan if fit is None else goodness_of_fit(part, fit, 400, seed).p_value
    scan = WindowScan.of(counts, 200, seed)
    selected = scan.selected()
    return np.nan if selected is None else selection_p_value(scan, *selected, 100, seed)[0]


def lognormal_verdict(seed: int) -> tuple[str, float]:
    """Verdict and decades for a lognormal with sigma = 2."""
    fit = fit_power_law(np.exp(2 * np.random.default_rng([7, seed]).standard_normal(10_000)), seed=seed)
    return str(fit.verdict), fit.window.decades if fit.window else 0.0


def exponential_preference(seed: int) -> tuple[str, str, float]:
    """Verdict on [0.1, 10] for exponential values, what Vuong's test prefers, and its statistic."""
    fit = fit_power_law(np.random.default_rng([8, seed]).exponential(size=10_000), Window(0.1, 10.0), seed=seed)
    against = next(alternative for alternative in fit.alternatives if alternative.name == "exponential")
    return str(fit.verdict), against.preferred, against.statistic


def null_table(seeds: int, pool: ProcessPoolExecutor) -> str:
    """Uniformity of p-values."""
    text = (
        "| true law | n | below 0.1 | below 0.5 | without a window | KS test of uniformity |\n" + "| --- " * 6 + "|\n"
    )
    for row, null in enumerate(NULLS):
        for n in (1_000, 10_000):
            p = np.array(list(pool.map(null_p_value, [(row, n, seed) for seed in range(seeds)], chunksize=4)))
            known = p[np.isfinite(p)]
            uniform = scipy.stats.kstest(known, "uniform").pvalue
            cells = [null["name"], f"{n:,}", f"{(known < 0.1).mean():.1%}", f"{(known < 0.5).mean():.1%}"]
            cells += [str(len(p) - len(known)), f"p = {uniform:.2f}"]
            text += "| " + " | ".join(cells) + " |\n"
    return text


HEADER = """# Size and power of the tests

Made by `python validation/size_and_power.py{options}`.

## p-values on true power laws

{seeds} seeds a row. Where the window was found, the p-value repeats the whole search in each of 100 replicates.

"""


def main() -> None:
    """Run all parts and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A tenth of the seeds.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/inference_tests.md"))
    arguments = parser.parse_args()
    seeds = 40 if arguments.quick else 300
    text = HEADER.format(options=" --quick" if arguments.quick else "", seeds=seeds)
    with ProcessPoolExecutor(arguments.workers) as pool:
        text += null_table(seeds, pool)
        verdicts = list(pool.map(lognormal_verdict, range(seeds), chunksize=4))
        wrong = sum(verdict == "power law" and decades >= 3 for verdict, decades in verdicts)
        text += (
            f"\n## Other laws, n = 10,000, {seeds} seeds\n\nLognormal, sigma = 2, window searched for: called a power "
        )
        text += f"law over three decades or more in {wrong} runs ({wrong / seeds:.1%}); over any range in "
        text += f"{sum(verdict == 'power law' for verdict, _ in verdicts)}.\n\n"
        results = list(pool.map(exponential_preference, range(seeds), chunksize=4))
        preferred = [choice for _, choice, _ in results]
        text += "Exponential, window [0.1, 10] mean values: Vuong's test prefers the exponential in "
        text += f"{preferred.count('exponential')} runs, the power law in {preferred.count('power law')}; smallest "
        text += f"statistic {min(statistic for *_, statistic in results):.1f}; called a power law in "
        text += f"{sum(verdict == 'power law' for verdict, *_ in results)}.\n"
    arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
