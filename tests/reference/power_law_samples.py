"""Draws from laws with closed-form distribution functions, by inversion: independent of the code under test."""

import numpy as np
import scipy.special


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
