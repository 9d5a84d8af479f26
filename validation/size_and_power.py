"""Are p-values uniform where a power law is true, and are other laws told apart? Writes ``docs/inference_tests.md``.

python validation/size_and_power.py            # 300 seeds a row, about ten minutes
python validation/size_and_power.py --quick    # 40 seeds a row
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

from critlearn.inference import Grade, fit_power_law
from critlearn.inference.laws.window_fits import fit_window
from critlearn.inference.observations import Reading
from critlearn.inference.window.goodness import MOST_CELLS, goodness_of_fit
from critlearn.inference.window.search import WindowScan
from critlearn.inference.window.selection_test import selection_p_value
from critlearn.numerics.window import Window
from critlearn.whole_files import write_whole


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
    counts = Reading(null["side"], log_floor=-np.inf).observe(values, window).counts
    if window is not None:
        inside = counts.cells.inside(window)
        part = counts.part(inside.start, inside.stop).coarsened(MOST_CELLS)
        fit = fit_window(part, 0, len(part.cells))
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


LAWS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "exponential": lambda n, g: g.exponential(size=n),
    "Gaussian, absolute": lambda n, g: np.abs(g.standard_normal(n)),
    "Student t with 3, absolute": lambda n, g: np.abs(g.standard_t(3, n)),
    "stretched exponential, shape 0.5": lambda n, g: g.weibull(0.5, n),
    "Rayleigh": lambda n, g: g.rayleigh(size=n),
    "lognormal, sigma 1": lambda n, g: np.exp(g.standard_normal(n)),
    "lognormal, sigma 2": lambda n, g: np.exp(2 * g.standard_normal(n)),
    "lognormal, sigma 3": lambda n, g: np.exp(3 * g.standard_normal(n)),
    "lognormal, sigma 4": lambda n, g: np.exp(4 * g.standard_normal(n)),
    "Gaussian of lognormal scale, sigma 2": lambda n, g: (
        np.abs(g.standard_normal(n)) * np.exp(2 * g.standard_normal(n))
    ),
    "product of two Gaussians": lambda n, g: np.abs(g.standard_normal((2, n)).prod(axis=0)),
    "product of five Gaussians": lambda n, g: np.abs(g.standard_normal((5, n)).prod(axis=0)),
    "two lognormals, sigma 1.5, apart by 6": lambda n, g: np.exp(6 * (g.random(n) < 0.5) + 1.5 * g.standard_normal(n)),
    "logit-normal, sigma 3": lambda n, g: 1 / (1 + np.exp(3 * g.standard_normal(n))),
    "lognormal, sigma 1, one value of 1e-200": lambda n, g: np.append(np.exp(g.standard_normal(n - 1)), 1e-200),
    "**power laws**": lambda n, g: np.zeros(n),
    "k = 0 on [1e-4, 1]": lambda n, g: power_law(0.0, 1e-4, 1.0, n, g),
    "k = 0.5 on [1e-4, 1]": lambda n, g: power_law(0.5, 1e-4, 1.0, n, g),
    "k = 1 on [1e-4, 1]": lambda n, g: power_law(1.0, 1e-4, 1.0, n, g),
    "k = 2.5 on [1, 1e4]": lambda n, g: power_law(2.5, 1.0, 1e4, n, g),
    "k = 1 on [1, 1e3], lognormal body": lambda n, g: with_body(1.0, n, g),
    "k = 1.5 on [1, 1e3], lognormal body": lambda n, g: with_body(1.5, n, g),
    "k = 2.5 on [1, 1e3], lognormal body": lambda n, g: with_body(2.5, n, g),
    "k = 1 on [1e-4, 1], noise of 1e-3": lambda n, g: with_noise(1.0, 1e-4, 1e-3, n, g),
    "k = 1.5 on [1e-2, 100], noise of 2e-2": lambda n, g: with_noise(1.5, 1e-2, 2e-2, n, g),
    "k = 0.5 from 1e-4, exponential cut-off": lambda n, g: with_cut_off(0.5, n, g),
    "k = 1.5 from 1e-4, exponential cut-off": lambda n, g: with_cut_off(1.5, n, g),
}
LAW_SIZES = (2_000, 20_000, 200_000)


def with_body(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Half a power law on [1, 1e3], half a lognormal below 1."""
    body = np.exp(-np.abs(1.5 * generator.standard_normal(n - n // 2)))
    return np.concatenate([power_law(k, 1.0, 1e3, n // 2, generator), body])


def with_noise(k: float, low: float, noise: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Power law over four decades with Gaussian noise, which makes a flat floor."""
    return np.abs(power_law(k, low, 1e4 * low, n, generator) + noise * generator.standard_normal(n))


def with_cut_off(k: float, n: int, generator: np.random.Generator) -> np.ndarray:
    """Power law that starts at 1e-4 and goes on above 1 as ``delta^-k exp(1 - delta)``."""
    delta = power_law(k, 1e-4, 100.0, 60 * n, generator)
    return delta[generator.random(delta.size) < np.exp(np.minimum(1 - delta, 0.0))][:n]


def verdict_of(case: tuple[str, int, int]) -> str:
    """Verdict on a sample of one of the laws, the window searched for."""
    name, n, seed = case
    row = list(LAWS).index(name)
    return str(fit_power_law(LAWS[name](n, np.random.default_rng([9, row, n, seed])), seed=seed).verdict)


def law_table(seeds: int, pool: ProcessPoolExecutor) -> str:
    """Verdicts where the window is searched for."""
    verdicts = [str(verdict) for verdict in Grade]
    text = "| law | n | " + " | ".join(verdicts) + " |\n" + "| --- " * (2 + len(verdicts)) + "|\n"
    for name in LAWS:
        if name.startswith("**"):
            text += f"| {name} |" + " |" * (1 + len(verdicts)) + "\n"
            continue
        for n in LAW_SIZES:
            found = list(pool.map(verdict_of, [(name, n, seed) for seed in range(seeds)], chunksize=4))
            text += f"| {name} | {n:,} | " + " | ".join(f"{found.count(v) / seeds:.0%}" for v in verdicts) + " |\n"
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
        text += f"\n## Verdicts where the window is searched for, {seeds // 5} seeds a row\n\n"
        text += law_table(seeds // 5, pool)
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
