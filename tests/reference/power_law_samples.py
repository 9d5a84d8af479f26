"""Draws from laws with closed-form distribution functions, by inversion: independent of the code under test."""

import math

import numpy as np
import scipy.signal
import scipy.special
import scipy.stats


def power_law(k: float, low: float, high: float, n: int, seed: int) -> np.ndarray:
    """``p(x) ~ x^-k`` on ``[low, high]``; ``high`` may be infinite where ``k > 1``."""
    return power_law_from(k, low, high, np.random.default_rng(seed).random(n))


def power_law_from(k: float, low: float, high: float, share: np.ndarray) -> np.ndarray:
    """Quantiles of a power law."""
    if k == 1:
        return low * (high / low) ** share
    top = 0.0 if np.isinf(high) else high ** (1 - k)
    return (low ** (1 - k) + share * (top - low ** (1 - k))) ** (1 / (1 - k))


def clustered_power_law(
    k: float, low: float, high: float, clusters: int, size: int, correlation: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values in clusters with equal correlation inside (Gaussian copula), and their labels."""
    generator = np.random.default_rng(seed)
    shared, own = generator.standard_normal((clusters, 1)), generator.standard_normal((clusters, size))
    share = scipy.special.ndtr(correlation**0.5 * shared + (1 - correlation) ** 0.5 * own)
    return power_law_from(k, low, high, share).ravel(), np.repeat(np.arange(clusters), size)


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Round to a number of significant digits."""
    step = 10.0 ** (np.floor(np.log10(values)) - digits + 1)
    return np.rint(values / step) * step


def autocorrelated(k: float, phi: float, n: int, seed: int) -> np.ndarray:
    """Values of ``k`` from 1 to infinity whose normal scores are an AR(1) process with coefficient ``phi``."""
    noise = np.random.default_rng(seed).standard_normal(n + 2000)
    scores = scipy.signal.lfilter([math.sqrt(1 - phi**2)], [1, -phi], noise)[2000:]
    return scipy.stats.norm.sf(scores) ** (-1 / (k - 1))


def with_cutoff(k: float, scale: float, n: int, seed: int) -> np.ndarray:
    """``x^-k exp(-x / scale)`` from 1 to infinity, by rejection of a power law up to sixty scales."""
    generator = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < n:
        values = power_law(k, 1.0, 60 * scale, 4 * n, int(generator.integers(2**31)))
        kept.append(values[generator.random(values.size) < np.exp((1 - values) / scale)])
    return np.concatenate(kept)[:n]


def integers(k: float, lowest: int, n: int, seed: int, scale: float = math.inf, most: int = 2_000_000) -> np.ndarray:
    """Integers of ``x^-k exp(-x / scale)`` from the lowest on; above `most`, of a power law, rounded."""
    generator = np.random.default_rng(seed)
    support = np.arange(lowest, (most if math.isinf(scale) else int(80 * scale)) + 1, dtype=np.float64)
    mass = support**-k * np.exp(-support / scale)
    beyond = float(scipy.special.zeta(k, support[-1] + 1)) if math.isinf(scale) else 0.0
    index = np.searchsorted(np.cumsum(mass) / (mass.sum() + beyond), generator.random(n))
    values = support[np.minimum(index, len(support) - 1)]
    far = index >= len(support)
    values[far] = np.floor((support[-1] + 0.5) * (1 - generator.random(int(far.sum()))) ** (-1 / (k - 1)) + 0.5)
    return values


def borel(mean: float, n: int, seed: int, most: int = 1_000_000) -> np.ndarray:
    """Sizes of branching processes with a Poisson number of children: ``exp(-m s) (m s)^(s - 1) / s!``."""
    generator = np.random.default_rng(seed)
    s = np.arange(1, most + 1, dtype=np.float64)
    share = np.cumsum(np.exp(-mean * s + (s - 1) * np.log(mean * s) - scipy.special.gammaln(s + 1)))
    index = np.searchsorted(share, generator.random(n))
    values = s[np.minimum(index, most - 1)]
    far = index >= most
    # At the critical point the tail is s^-3/2.
    values[far] = np.floor(most * (1 - generator.random(int(far.sum()))) ** -2.0)
    return values


PUBLISHED = {
    "words": (1.95, 7, True),
    "terrorism": (2.4, 12, True),
    "cities": (2.37, 52_460, True),
    "flares": (1.79, 323, True),
}
"""Exponent, lower end and whether it is integers, of data sets of ``powerlaw`` (Clauset, Shalizi and Newman 2009)."""


def published_tail(name: str, seed: int) -> tuple[np.ndarray, float]:
    """Body of a published data set below its law, and as many values of that law above it; with the exponent."""
    import powerlaw

    data = np.asarray(powerlaw.load_test_dataset(name), dtype=np.float64)
    k, lowest, discrete = PUBLISHED[name]
    generator = np.random.default_rng(seed)
    above = int(generator.binomial(data.size, (data >= lowest).mean()))
    if discrete and lowest < 1000:
        tail = integers(k, lowest, above, seed + 1)
    else:
        tail = np.floor(power_law(k, lowest, math.inf, above, seed + 1))
    body = generator.choice(data[data < lowest], data.size - above)
    return generator.permutation(np.concatenate([body, tail])), k
