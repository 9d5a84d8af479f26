"""How often the ladder rejects levels that are right, and finds those that are wrong: ``docs/ladder_calibration.md``.

python validation/ladder_calibration.py                        # ten minutes of one core
python validation/ladder_calibration.py --repeats 40 --power 10
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.optimize

from critlearn.comparison.agreement import Agreement
from critlearn.comparison.criteria import DISTANCE, LEVEL
from critlearn.comparison.ladder.distance import Distance
from critlearn.comparison.ladder.level import GAUSSIAN, MARGINS
from critlearn.compositions import Composition
from critlearn.inference import fit_power_law
from critlearn.numerics.window import Window
from critlearn.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.comparison.ladder.synthetic import LOGISTIC, gaussian, heavy, ladder, skew  # noqa: E402

SIZES: Final = (4000, 20_000)
RIGHT: Final = {
    "Gaussian margins": (gaussian, (GAUSSIAN, MARGINS)),
    "margins of a gamma density": (skew, (MARGINS,)),
    "margins of Student's t with 3 degrees of freedom": (heavy, (MARGINS,)),
}
"""Margins of samples whose path factors do not depend on them, and the levels that are then right."""

WRONG: Final[dict[str, tuple[dict[str, Any], tuple[int, ...]]]] = {
    **{
        f"told {name}": ({"told": Composition(*name.split("+"))}, (GAUSSIAN, MARGINS))
        for name in ("sigmoid+mse", "tanh+mse", "softsign+mse", "softsign+bce", "arctan+mse")
    },
    **{
        f"dependence {size:+.1f}": ({"dependence": size}, (GAUSSIAN, MARGINS)) for size in (0.1, 0.3, -0.3)
    },
    "Student's t, 3 degrees of freedom": ({"margins": heavy}, (GAUSSIAN,)),
    "gamma density": ({"margins": skew}, (GAUSSIAN,)),
}  # fmt: skip
"""Settings of made-up ladders, and the levels that are then wrong."""

ENDS: Final = (0.02, 0.5)
"""Quantiles between which anatomies are taken."""

HEADER = """# The ladder, calibrated

Made-up samples of two classes, their errors those of sigmoid with binary cross-entropy, and a quantity of 8 variables
whose path factors are lognormal times the power of a uniform number, with a part that the variables of a sample share.
The first table has data that come from a level: it should be rejected in {percent} of the cases. The second has data
that do not. *Rejected*: the p-value of the distance is at most {level}. *Agrees*, *disagrees*: what the distance alone
says against the {distance} that count as none in practice ([the ladder](ladder.md)); the rest it cannot tell.

Made by `python validation/ladder_calibration.py` (part of `make validate`).
"""
TABLE = """| {first} | samples | level | rejected | agrees | disagrees | distance | noise |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def table(cases: list[tuple[str, int, dict[str, Any], tuple[int, ...]]], repeats: int, first: str) -> str:
    """Table of how often levels are rejected, agree and disagree, over draws anew."""
    text = TABLE.format(first=first)
    for name, samples, settings, levels in cases:
        distances: dict[int, list[Distance]] = {level: [] for level in levels}
        for seed in range(repeats):
            steps = ladder(samples, seed, **settings)
            for level in levels:
                distances[level].append(steps.distance("q", level))
        for level, found in distances.items():
            outcomes = [each.bounds.agreement(DISTANCE) for each in found]
            rejected = float(np.mean([each.p_value <= LEVEL for each in found]))
            shares = " | ".join(
                f"{np.mean([outcome is wanted for outcome in outcomes]):.0%}"
                for wanted in (Agreement.AGREES, Agreement.DISAGREES)
            )
            text += (
                f"| {name} | {samples:,} | {level} | {rejected:.1%} | {shares} "
                f"| {np.mean([each.value for each in found]):.4f} | {np.mean([each.noise for each in found]):.4f} |\n"
            )
            print(text.splitlines()[-1], flush=True)
    return text


def exponent_of(logs: np.ndarray, window: Window) -> float:
    """Exponent on a window from the mean of ``ln|delta|`` there (theory, inference), without sketches."""
    inside = logs[(logs > window.log_lo) & (logs < window.log_hi)]
    length = window.log_hi - window.log_lo
    at = (float(inside.mean()) - window.log_lo) / length

    def gap(z: float) -> float:
        return 0.5 + z / 12 - at if abs(z) < 1e-4 else 1 / (1 - np.exp(-z)) - 1 / z - at

    return 1 - float(scipy.optimize.brentq(gap, -200, 200)) / length


def truths(window: Window, samples: int = 10_000_000) -> dict[str, float]:
    """Parts of the anatomy of the made-up data, from a large draw of margins and path factors by themselves."""
    generator = np.random.default_rng(5)
    classes = (generator.random(samples) < 0.4).astype(np.int64)
    errors = LOGISTIC.log_error_signal(gaussian(generator, classes))
    # The laws of `tests/comparison/ladder/synthetic.py`: normal numbers of deviations .72 and .8, less .32 times an
    # exponential one of mean 1, whose mean is .32.
    factors = 0.8 * (np.hypot(0.9, 1.0) * generator.normal(size=samples) - 0.4 * generator.exponential(size=samples))
    k1, k2 = exponent_of(errors - 0.32, window), exponent_of(errors + factors, window)
    # Uniform margins: p(u) ~ 1 / (1 - g), by quadrature over the window.
    sizes = np.linspace(window.log_lo, window.log_hi, 200_001) + 0.32
    weight = 1 / (1 - np.exp(sizes))
    k0 = exponent_of(np.interp(generator.random(2_000_000), np.cumsum(weight) / weight.sum(), sizes) - 0.32, window)
    return {"data": k1 - k0, "path": k2 - k1, "dependence": 0.0}


def coverage(repeats: int) -> str:
    """Table of the anatomy's standard errors, held against draws anew."""
    text = (
        "\n## Standard errors of the anatomy\n\nThe Gaussian margins again, on the window between the 2% and the 50% "
        f"quantile of a first data set; {repeats} data sets. Truth: ten million margins and path factors by "
        "themselves. Scatter: standard deviation over data sets. Standard error: what one data set says, root mean "
        "square.\n\n| samples | part | truth | mean | scatter | standard error | truth within 1.96 of them |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for samples in SIZES:
        first = ladder(samples, 0).measured["q"]
        window = Window.from_logs(*(first.quantile(end) for end in ENDS))
        fit = fit_power_law(first, window=window)
        found = [ladder(samples, seed).anatomy("q", fit) for seed in range(repeats)]
        for name, truth in truths(window).items():
            parts = [getattr(each, name) for each in found]
            values, errors = (
                np.array([getattr(part, kind) for part in parts]) for kind in ("value", "standard_error")
            )  # fmt: skip
            inside = float((np.abs(values - truth) < 1.96 * errors).mean())
            text += (
                f"| {samples:,} | {name} | {truth:.4f} | {values.mean():.4f} | {values.std(ddof=1):.4f} "
                f"| {np.sqrt((errors**2).mean()):.4f} | {inside:.0%} |\n"
            )
            print(text.splitlines()[-1], flush=True)
    return text


def main() -> None:
    """Make all tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--power", type=int, default=100, help="repetitions of what is wrong")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "ladder_calibration.md")
    arguments = parser.parse_args()
    text = HEADER.format(percent=f"{LEVEL:.0%}", level=LEVEL, distance=DISTANCE)
    right = [
        (name, samples, {"margins": margins}, levels)
        for name, (margins, levels) in RIGHT.items()
        for samples in SIZES
    ]  # fmt: skip
    text += f"\n## Levels that are right\n\n{arguments.repeats} data sets each.\n\n"
    text += table(right, arguments.repeats, "data")
    wrong = [(name, SIZES[-1], settings, levels) for name, (settings, levels) in WRONG.items()]
    text += (
        f"\n## Levels that are wrong\n\n{arguments.power} data sets each. *Told*: the prediction is made with another "
        "composition than the errors. *Dependence*: change of `ln c` for each standard deviation of the margin.\n\n"
    )
    text += table(wrong, arguments.power, "what is wrong") + coverage(arguments.repeats // 2)
    write_whole(arguments.out, text.encode())


if __name__ == "__main__":
    main()
