"""What do fits say of known laws? Grades, coverage of exponents and cut-offs; writes ``docs/grades_measured.md``.

python validation/grades.py --workers 2            # 100 draws a row, about half an hour of processor time
python validation/grades.py --workers 2 --draws 10
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import scipy.special
import scipy.stats

from critlearn.inference import Grade, PowerLawFit, fit_power_law
from critlearn.whole_files import write_whole

Generator = np.random.Generator
Draw = Callable[[Generator], np.ndarray]


def power(k: float, low: float, high: float, n: int, generator: Generator) -> np.ndarray:
    """Draws of a power law by inversion; ``high`` may be infinite."""
    share = generator.random(n)
    if k == 1:
        return low * (high / low) ** share
    top = 0.0 if np.isinf(high) else high ** (1 - k)
    return (low ** (1 - k) + share * (top - low ** (1 - k))) ** (1 / (1 - k))


def smooth_end(k: float, scale: float, n: int, generator: Generator) -> np.ndarray:
    """Draws of ``x^-k exp(-x / scale)`` from 1 on, by rejection from a power law."""
    # Where the power law to infinity has no norm, one that ends far beyond the cut-off.
    high = np.inf if k > 1 else 60 * scale
    kept, found = [], 0
    while found < n:
        x = power(k, 1.0, high, 4 * n, generator)
        kept.append(x[generator.random(x.size) < np.exp(-(x - 1) / scale)])
        found += kept[-1].size
    return np.concatenate(kept)[:n]


def integers(
    log_probability: Callable[[np.ndarray], np.ndarray], largest: int, n: int, generator: Generator
) -> np.ndarray:
    """Draws of a law on ``1 .. largest`` from its unnormalised probabilities."""
    sizes = np.arange(1, largest + 1, dtype=np.float64)
    below = np.cumsum(np.exp(log_probability(sizes)))
    return sizes[np.searchsorted(below / below[-1], generator.random(n))]


def zipf(k: float, n: int, generator: Generator) -> np.ndarray:
    """Draws of a law on all integers."""
    return generator.zipf(k, n).astype(np.float64)


def borel(mean: float, n: int, generator: Generator) -> np.ndarray:
    """Sizes of avalanches of a branching process with Poisson offspring; the tail above 1e6 by its power."""
    sizes = np.arange(1, 10**6 + 1, dtype=np.float64)
    log_p = -mean * sizes + (sizes - 1) * np.log(mean * sizes) - scipy.special.gammaln(sizes + 1)
    index = np.searchsorted(np.cumsum(np.exp(log_p)), generator.random(n))
    beyond = index >= len(sizes)
    drawn = sizes[np.minimum(index, len(sizes) - 1)]
    drawn[beyond] = np.floor(1e6 * (1 - generator.random(int(beyond.sum()))) ** -2) if mean == 1 else 1e6
    return drawn


def rounded(x: np.ndarray, digits: int) -> np.ndarray:
    """Values with that many significant digits."""
    step = 10.0 ** (np.floor(np.log10(x)) - digits + 1)
    return np.round(x / step) * step


def dependent(coefficient: float, k: float, n: int, generator: Generator) -> np.ndarray:
    """Pareto values of an autoregressive series: normal numbers through both distribution functions."""
    noise = generator.standard_normal(n + 2000) * np.sqrt(1 - coefficient**2)
    series = scipy.signal.lfilter([1], [1, -coefficient], noise)[2000:]
    return scipy.stats.norm.sf(series) ** (-1 / (k - 1))


def small_tail(share: float, n: int, generator: Generator) -> np.ndarray:
    """Lognormal values below 1 and, above, a few of a power law with k = 2.3."""
    tail = round(share * n)
    body = np.exp(generator.normal(-1.5, 1.0, 2 * n))
    return np.concatenate([body[body < 1][: n - tail], power(2.3, 1.0, np.inf, tail, generator)])


def log_periodic(n: int, generator: Generator) -> np.ndarray:
    """Power law with k = 1.5 on [1, 1e6] whose density swings by a half once in a decade."""
    x = power(1.5, 1.0, 1e6, 4 * n, generator)
    return x[generator.random(x.size) < (1 + 0.5 * np.cos(2 * np.pi * np.log10(x))) / 1.5][:n]


def log_cauchy(n: int, generator: Generator) -> np.ndarray:
    """Exponentials of Cauchy numbers that are floats."""
    z = generator.standard_cauchy(2 * n)
    return np.exp(z[np.abs(z) < 600][:n])


N = 10_000
NO_LAW: dict[str, Draw] = {
    "Weibull, shape 0.15": lambda g: g.weibull(0.15, N),
    "Weibull, shape 0.3": lambda g: g.weibull(0.3, N),
    "lognormal, sigma 1": lambda g: np.exp(g.standard_normal(N)),
    "lognormal, sigma 2": lambda g: np.exp(2 * g.standard_normal(N)),
    "lognormal, sigma 3": lambda g: np.exp(3 * g.standard_normal(N)),
    "lognormal, sigma 4": lambda g: np.exp(4 * g.standard_normal(N)),
    "log-Cauchy": lambda g: log_cauchy(N, g),
    "log-periodic": lambda g: log_periodic(N, g),
    "negative binomial (0.5, 1/11) + 1": lambda g: g.negative_binomial(0.5, 1 / 11, N) + 1.0,
    "geometric, p = 0.02": lambda g: g.geometric(0.02, N).astype(np.float64),
    "Poisson, mean 30": lambda g: g.poisson(30, N).astype(np.float64),
    "log-series, p = 0.99": lambda g: g.logseries(0.99, N).astype(np.float64),
    "five sizes, p ~ i^-2": lambda g: g.choice(5, N, p=np.arange(1, 6.0) ** -2 / (np.arange(1, 6.0) ** -2).sum()) + 1.0,
    "product of two uniforms": lambda g: g.random(N) * g.random(N),
    "product of five Gaussians": lambda g: np.abs(g.standard_normal((5, N)).prod(axis=0)),
    "logit-normal, sigma 3": lambda g: 1 / (1 + np.exp(3 * g.standard_normal(N))),
    "logit-normal, mean -3, sigma 3": lambda g: 1 / (1 + np.exp(3 - 3 * g.standard_normal(N))),
}
"""Laws that are no power laws; a cut-off is right for the log-series and the negative binomial."""


@dataclass(frozen=True)
class Known:
    """A design whose exponent is known."""

    draw: Draw
    k: float


LAWS: dict[str, Known] = {
    "k = 0.5 on [1e-4, 1]": Known(lambda g: power(0.5, 1e-4, 1.0, N, g), 0.5),
    "k = 1 on [1e-8, 1]": Known(lambda g: power(1.0, 1e-8, 1.0, N, g), 1.0),
    "k = 1.5 on [1, 1e4]": Known(lambda g: power(1.5, 1.0, 1e4, N, g), 1.5),
    "k = 2.5 from 1 on": Known(lambda g: power(2.5, 1.0, np.inf, N, g), 2.5),
    "k = 2.2 on integers": Known(lambda g: zipf(2.2, N, g), 2.2),
    "k = 1.5 with cut-off 1000": Known(lambda g: smooth_end(1.5, 1000.0, N, g), 1.5),
    "k = 1.5 on [1, 1e3], half the values below": Known(
        lambda g: np.concatenate([power(1.5, 1.0, 1e3, N // 2, g), np.exp(-np.abs(1.5 * g.standard_normal(N // 2)))]),
        1.5,
    ),
    "k = 0.31 over seven decades, n = 100,000": Known(lambda g: power(0.31, 1e-7, 1.0, 100_000, g), 0.31),
    "tail of 4%, k = 2.3, n = 200,000": Known(lambda g: small_tail(0.04, 200_000, g), 2.3),
    "tail of 0.5%, k = 2.3, n = 200,000": Known(lambda g: small_tail(0.005, 200_000, g), 2.3),
    "critical branching, n = 100,000": Known(lambda g: borel(1.0, 100_000, g), 1.5),
    "branching with mean 0.95, n = 100,000": Known(lambda g: borel(0.95, 100_000, g), 1.5),
    "branching with mean 0.9, n = 100,000": Known(lambda g: borel(0.9, 100_000, g), 1.5),
    "k = 1.5 on [1, 1e4], two digits": Known(lambda g: rounded(power(1.5, 1.0, 1e4, 2 * N, g), 2), 1.5),
    "the same, half of them to one digit": Known(lambda g: _half_rounded(g), 1.5),
    "k = 2, autoregressive 0.95": Known(lambda g: dependent(0.95, 2.0, N, g), 2.0),
    "stable 1.2, n = 100,000": Known(
        lambda g: np.abs(scipy.stats.levy_stable.rvs(1.2, 0.0, size=100_000, random_state=g)), 2.2
    ),
    "Frechet 1.5, n = 100,000": Known(lambda g: g.weibull(1.5, 100_000) ** -1.0, 2.5),
    "Lomax 1.5, n = 100,000": Known(lambda g: g.pareto(1.5, 100_000), 2.5),
    "Student t 1.5, n = 100,000": Known(lambda g: np.abs(g.standard_t(1.5, 100_000)), 2.5),
    "Student t 2.5, n = 100,000": Known(lambda g: np.abs(g.standard_t(2.5, 100_000)), 3.5),
}
"""Laws with a power law in them; of tails that approach one, its limit."""


def _half_rounded(generator: Generator) -> np.ndarray:
    x = power(1.5, 1.0, 1e4, 2 * N, generator)
    return np.where(generator.random(x.size) < 0.5, rounded(x, 1), rounded(x, 2))


CUT_OFFS = [
    (k, scale, kind) for kind in ("integers", "real") for k in (1.0, 1.5, 2.0) for scale in (10.0, 100.0, 1000.0)
]


def _fit(values: np.ndarray) -> PowerLawFit:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fit_power_law(values)


def grade_of(case: tuple[str, int]) -> tuple[str, tuple[str, ...]]:
    """Grade and rivals of a sample that is no power law."""
    name, seed = case
    fit = _fit(NO_LAW[name](np.random.default_rng([11, list(NO_LAW).index(name), seed])))
    return str(fit.grade), fit.rivals


def known_exponent(case: tuple[str, int]) -> tuple[str, float, bool, bool]:
    """Grade and exponent of a sample with a known one, and whether both intervals hold it."""
    name, seed = case
    law = LAWS[name]
    fit = _fit(law.draw(np.random.default_rng([12, list(LAWS).index(name), seed])))
    if fit.exponent is None or fit.ci95 is None or fit.ci95_total is None:
        return str(fit.grade), np.nan, False, False
    inner, whole = fit.ci95, fit.ci95_total
    return str(fit.grade), fit.exponent, inner[0] <= law.k <= inner[1], whole[0] <= law.k <= whole[1]


def cut_off(case: tuple[int, int]) -> tuple[str, bool, bool] | None:
    """Grade, and whether 1.96 errors hold exponent and scale of a law with cut-off, n = 20,000."""
    row, seed = case
    k, scale, kind = CUT_OFFS[row]
    generator = np.random.default_rng([13, row, seed])
    if kind == "real":
        values = smooth_end(k, scale, 2 * N, generator)
    else:
        values = integers(lambda x: -k * np.log(x) - x / scale, round(80 * scale), 2 * N, generator)
    fit = _fit(values)
    found = fit.cutoff
    if found is None:
        return str(fit.grade), False, False
    inside = (
        abs(found.exponent - k) <= 1.96 * found.exponent_error,
        abs(found.scale - scale) <= 1.96 * found.scale_error,
    )
    return str(fit.grade), bool(inside[0]), bool(inside[1])


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def no_law_table(draws: int, pool: ProcessPoolExecutor) -> str:
    """Grades of laws that are no power laws, and the rivals that are named most."""
    rows = []
    for name in NO_LAW:
        found = list(pool.map(grade_of, [(name, seed) for seed in range(draws)], chunksize=2))
        grades = Counter(grade for grade, _ in found)
        named = Counter(rival for _, rivals in found for rival in rivals).most_common(2)
        rivals = ", ".join(f"{rival} {count}" for rival, count in named)
        rows.append([name, *(str(grades[str(grade)]) for grade in Grade), rivals])
    return _table(["law", *(str(grade) for grade in Grade), "rivals named"], rows)


def known_table(draws: int, pool: ProcessPoolExecutor) -> str:
    """Grades and coverage where the exponent is known."""
    rows = []
    for name, law in LAWS.items():
        found = list(pool.map(known_exponent, [(name, seed) for seed in range(draws)], chunksize=2))
        grades = Counter(grade for grade, *_ in found)
        exponents = np.array([exponent for _, exponent, *_ in found])
        mean = f"{np.nanmean(exponents):.3f} +- {np.nanstd(exponents):.3f}"
        inner, whole = (sum(bool(item[at]) for item in found) for at in (2, 3))
        rows.append([name, f"{law.k:g}", *(str(grades[str(grade)]) for grade in Grade), mean, str(inner), str(whole)])
    columns = ["law", "k", *(str(grade) for grade in Grade), "mean exponent", "`ci95` holds k", "`ci95_total` holds k"]
    return _table(columns, rows)


def cut_off_table(draws: int, pool: ProcessPoolExecutor) -> str:
    """Coverage of exponents and scales of laws with cut-off."""
    rows = []
    for row, (k, scale, kind) in enumerate(CUT_OFFS):
        found = [one for one in pool.map(cut_off, [(row, seed) for seed in range(draws)], chunksize=2) if one]
        named = [one for one in found if one[0] == str(Grade.CUT_OFF)]
        others = Counter(grade for grade, *_ in found if grade != str(Grade.CUT_OFF))
        rest = ", ".join(f"{grade} {count}" for grade, count in others.items())
        covered = [f"{sum(bool(one[at]) for one in named) / max(len(named), 1):.0%}" for at in (1, 2)]
        rows.append([kind, f"{k:g}", f"{scale:g}", str(len(named)), rest, *covered])
    return _table(["values", "k", "scale", "with cut-off", "other grades", "holds k", "holds the scale"], rows)


HEADER = """# What grades say of known laws

Made by `python validation/grades.py{options}`: {draws} draws a row, windows searched for, all settings as they are by
default. The grades are those of [their page](grades.md).

## Laws that are no power laws, n = 10,000

A cut-off is right for the log-series and the negative binomial; for no other of these laws.

"""


def main() -> None:
    """Draw, fit and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100, help="Draws a row.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/grades_measured.md"))
    arguments = parser.parse_args()
    draws = arguments.draws
    text = HEADER.format(options="" if draws == 100 else f" --draws {draws}", draws=draws)
    with ProcessPoolExecutor(arguments.workers) as pool:
        text += no_law_table(draws, pool)
        text += (
            "\n## Power laws, and tails that approach one\n\nn = 10,000 (20,000 of rounded values), where nothing else "
        )
        text += "is said.\n\n" + known_table(draws, pool)
        text += (
            "\n## Power laws with cut-off, n = 20,000\n\n*Holds*: share of those with that grade whose value and 1.96 "
        )
        text += "errors hold the true one.\n\n" + cut_off_table(draws, pool)
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
