"""Avalanches in random tanh networks at weight scale 1: sizes and durations by width (setting of arXiv 2509.22649).

python examples/random_networks.py    # half a minute
"""

import numpy as np
from tables import Rows, shown, table

from critlearn.dynamics import find_avalanches, mean_size
from critlearn.inference import fit_power_law

COLUMNS = ("width", "avalanches", "sizes", "durations", "gamma")


def tanh_avalanches(width: int, number: int, longest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and durations of excursions of a signal's norm above its start, in a random tanh network of scale 1.

    A layer of new weights, normal of variance 1 / width, makes of a vector of norm r a normal one of norm r on average:
    only the norm is needed. Beyond a thousand units the tanh of signals as small as these is the identity.
    """
    generator = np.random.default_rng(seed)
    start = 1e-3
    sizes, durations = np.zeros(number), np.zeros(number)
    alive, norm = np.arange(number), np.full(number, start)
    for _ in range(longest):
        if width <= 1000:
            states = np.tanh(norm[:, None] * generator.standard_normal((len(norm), width)))
            norm = np.sqrt((states**2).mean(axis=1))
        else:
            norm = norm * np.sqrt(generator.chisquare(width, len(norm)) / width)
        kept = norm > start
        alive, norm = alive[kept], norm[kept]
        sizes[alive] += norm / start - 1
        durations[alive] += 1
    # Those that have not ended are of unknown size.
    sizes[alive], durations[alive] = 0, 0
    return sizes[durations > 0], durations[durations > 0]


def rows() -> Rows:
    """Exponents by width."""
    for width, number, longest in ((100, 40_000, 2000), (1000, 8000, 4000), (10_000, 100_000, 20_000)):
        sizes, durations = tanh_avalanches(width, number, longest, 1)
        fits = fit_power_law(sizes), fit_power_law(durations)
        pairs = zip(sizes, durations, strict=True)
        series = np.concatenate([np.append(np.full(int(t), s / t), 0.0) for s, t in pairs])
        mean = mean_size(find_avalanches(np.concatenate([[0.0], series])), fits[1].window)
        gamma = "–" if mean.exponent is None else f"{mean.exponent:.2f} +- {mean.total_error:.2f}"
        yield f"{width:,}", f"{len(sizes):,}", *(f"{shown(fit)} ({fit.grade})" for fit in fits), gamma


if __name__ == "__main__":
    print(table(COLUMNS, rows()))
