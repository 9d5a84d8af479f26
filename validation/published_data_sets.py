"""Published power laws: what was published, what ``powerlaw`` finds, what critlearn finds.

Writes ``docs/published_data_sets.md``.

python validation/published_data_sets.py            # 10 draws of each data set, some minutes
python validation/published_data_sets.py --quick    # 2 draws of each
"""

import argparse
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import powerlaw
from scipy.special import zeta

from critlearn.inference import fit_power_law
from critlearn.whole_files import write_whole


@dataclass(frozen=True)
class PublishedLaw:
    """Row of the table of Clauset, Shalizi and Newman (2009), in the units of the file.

    Parameters
    ----------
    exponent, exponent_error
        Exponent of the density, and its error.
    low
        Lower end of the law. The paper counts people and acres in thousands, the files do not.
    p_value
        That of the paper's Kolmogorov-Smirnov test: below 0.1 it rules the power law out.
    discrete
        Whether the file holds integers.
    """

    exponent: float
    exponent_error: float
    low: float
    p_value: float
    discrete: bool


PUBLISHED = {
    "words": PublishedLaw(1.95, 0.02, 7, 0.49, True),
    "terrorism": PublishedLaw(2.4, 0.2, 12, 0.68, True),
    "blackouts": PublishedLaw(2.3, 0.3, 230_000, 0.62, True),
    "cities": PublishedLaw(2.37, 0.08, 52_460, 0.76, True),
    "fires": PublishedLaw(2.2, 0.3, 6_324, 0.05, False),
    "flares": PublishedLaw(1.79, 0.02, 323, 1.00, True),
    "quakes": PublishedLaw(1.64, 0.04, 794, 0.00, False),
    "surnames": PublishedLaw(2.5, 0.2, 111_900, 0.20, False),
}

HELD = ("power law", "compatible", "power law with cut-off")
"""Grades that are right where the tail is a power law."""

_LARGEST = 2**53
"""Largest integer that a float holds exactly: draws end there, of which there is one in 10^12."""


def integers_from(k: float, low: int, n: int, generator: np.random.Generator) -> np.ndarray:
    """Integers with ``P(x) ~ x^-k`` from `low` on: bisection of their tail, ``zeta(k, x) / zeta(k, low)``.

    Shapes: -> (n,). An independent route to what `critlearn.inference` normalises by sums.
    """
    tail = (1 - generator.random(n)) * zeta(k, low)
    # Invariant: the tail from `below` on is at least, that from `above` on less than what is looked for.
    below, above = np.full(n, float(low)), np.full(n, float(_LARGEST))
    while (above - below).max() > 1:
        middle = np.floor((below + above) / 2)
        reached = zeta(k, middle) >= tail
        below, above = np.where(reached, middle, below), np.where(reached, above, middle)
    return below


def draw(name: str, seed: int) -> np.ndarray:
    """Values of a data set with the published law in place of its tail, and its own values below, drawn again."""
    law, values = PUBLISHED[name], powerlaw.load_test_dataset(name)
    generator = np.random.default_rng([13, list(PUBLISHED).index(name), seed])
    body = values[values < law.low]
    above = int(generator.binomial(values.size, 1 - body.size / values.size))
    if law.discrete:
        tail = integers_from(law.exponent, int(law.low), above, generator)
    else:
        tail = law.low * (1 - generator.random(above)) ** (-1 / (law.exponent - 1))
    return np.concatenate([generator.choice(body, values.size - above), tail])


def graded(case: tuple[str, int]) -> tuple[str, str, bool]:
    """Name, grade, and whether the interval covers the exponent, of a draw with automatic settings."""
    name, seed = case
    found = fit_power_law(draw(name, seed), seed=seed).to_dict()
    interval = _interval(found)
    covers = interval is not None and interval[0] <= PUBLISHED[name].exponent <= interval[1]
    return name, found["verdict"], covers


def _interval(found: dict[str, Any]) -> list[float] | None:
    """95% interval with the systematic part, where there is one."""
    return found.get("ci95_total") or found["ci95"]


def _number(value: float) -> str:
    """Number with three digits, in thousands with separators."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def row(name: str) -> str:
    """One data set: published, by powerlaw, by critlearn, both with automatic settings and processor times."""
    law, values = PUBLISHED[name], powerlaw.load_test_dataset(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        # Where it is not told, powerlaw warns of integers and fits real numbers.
        other = powerlaw.Fit(values, discrete=law.discrete, verbose=False)
        alpha, low = float(other.power_law.alpha), float(other.power_law.xmin)
        other_seconds = time.process_time() - start
    start = time.process_time()
    found = fit_power_law(values).to_dict()
    seconds = time.process_time() - start
    cells = [name, f"{values.size:,}", f"{law.exponent} ± {law.exponent_error}", _number(law.low), f"{law.p_value:.2f}"]
    cells += [f"{alpha:.2f}", _number(low), f"{other_seconds:.2f}", *_our_cells(found), f"{seconds:.2f}"]
    return "| " + " | ".join(cells) + " |\n"


def _our_cells(found: dict[str, Any]) -> list[str]:
    """Exponent with interval, window, grade, cut-off and share of a fit."""
    window, interval, cut_off = found["window"], _interval(found), found.get("cutoff")
    exponent = "none" if found["exponent"] is None else f"{found['exponent']:.2f}"
    if interval is not None:
        exponent += f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    ends = "" if window is None else " to ".join(_number(end) for end in window)
    scale = "" if not cut_off else f"{_number(cut_off['scale'])}, k = {cut_off['exponent']:.2f}"
    share = "" if found["retained"] is None else f"{found['retained']:.1%}"
    return [exponent, ends, found["verdict"], scale, share]


def data_table() -> str:
    """All data sets as they are."""
    titles = ["data set", "values", "published k", "from", "p", "powerlaw: k", "from", "s"]
    titles += ["critlearn: k, 95% interval", "window", "grade", "cut-off scale", "share of the values", "s"]
    # The first fits compile kernels and import what is imported late.
    warm_up = np.arange(1.0, 200.0)
    fit_power_law(warm_up)
    powerlaw.Fit(warm_up, discrete=True, verbose=False)
    return _head(titles) + "".join(row(name) for name in PUBLISHED)


def draw_table(draws: int, pool: ProcessPoolExecutor) -> str:
    """Grades and coverage on draws whose tail is a power law."""
    found = list(pool.map(graded, [(name, seed) for name in PUBLISHED for seed in range(draws)]))
    text = _head(["data set", "k", "from", "values there", *HELD, "other grades", "interval covers k"])
    for name, law in PUBLISHED.items():
        grades = Counter(grade for other, grade, _ in found if other == name)
        covers = sum(covered for other, _, covered in found if other == name)
        others = ", ".join(f"{grade}: {number}" for grade, number in grades.items() if grade not in HELD)
        inside = int((powerlaw.load_test_dataset(name) >= law.low).sum())
        cells = [name, f"{law.exponent}", _number(law.low), f"{inside:,}", *(str(grades[grade]) for grade in HELD)]
        text += "| " + " | ".join([*cells, others, f"{covers} of {draws}"]) + " |\n"
    return text


def _head(titles: list[str]) -> str:
    return "| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|\n"


HEADER = """# Published data sets

The data sets that `powerlaw` ships, which are those of Clauset, Shalizi and Newman (SIAM Review 51, 661, 2009): what
they published, and what `powerlaw` {version} and critlearn find in one run with automatic settings; powerlaw is told
which data are integers. Times are processor times, critlearn's with all tests and alternatives, powerlaw's without.

Made by `python validation/published_data_sets.py{options}`.

"""

BETWEEN = """
## The same data with a tail that is a power law

{draws} draws of each: as many values as in the data set; those below the published lower end drawn again from its own,
those above from the published law, of integers where the file holds integers. A grade is right if it is power law,
compatible, or power law with cut-off.

"""


def main() -> None:
    """Fit all data sets and draws, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A fifth of the draws.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/published_data_sets.md"))
    arguments = parser.parse_args()
    draws = 2 if arguments.quick else 10
    text = HEADER.format(version=powerlaw.__version__, options=" --quick" if arguments.quick else "") + data_table()
    with ProcessPoolExecutor(arguments.workers) as pool:
        text += BETWEEN.format(draws=draws) + draw_table(draws, pool)
    write_whole(arguments.out, text.encode())
    print(text)


if __name__ == "__main__":
    main()
