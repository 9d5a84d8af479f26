"""Pools of variables that have scales and no tails, and the most likely distribution of a histogram."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, special

from critlearn.inference import Histogram

NODES = 60
"""Nodes of the Gauss-Hermite rule for the mean over widths: more change no share by a thousandth."""


def gaussian_scales(x: np.ndarray, median: float, width: float) -> np.ndarray:
    """Share up to x of |Gaussian| whose standard deviation is lognormal: variables without tails, pooled."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    scales = median * np.exp(width * nodes)
    return special.erf(x[:, None] / (scales * np.sqrt(2))) @ weights / weights.sum()


def exponential_scales(x: np.ndarray, median: float, width: float) -> np.ndarray:
    """Share up to x of waiting times without memory whose mean is lognormal: variables of different rates, pooled."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return -np.expm1(-x[:, None] / (median * np.exp(width * nodes))) @ weights / weights.sum()


def fitted_shares(
    histogram: Histogram, distribution: Callable[..., np.ndarray], starts: Sequence[Sequence[float]], first: int = 0
) -> np.ndarray:
    """Share above each inner edge, of the distribution that is most likely for the bins from `first` on.

    Bins before are kept as they are, and the distribution is that below the last edge.
    """
    counts, edges = np.asarray(histogram.counts, dtype=float), np.asarray(histogram.edges, dtype=float)
    seen = counts[first:]

    def probabilities(logs: np.ndarray) -> np.ndarray:
        parts = np.maximum(np.diff(distribution(edges[first:], *np.exp(logs))), 1e-300)
        return parts / parts.sum()

    def unlikeliness(logs: np.ndarray) -> float:
        return -float(seen @ np.log(probabilities(logs))) / seen.sum()

    options = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000}
    found = [optimize.minimize(unlikeliness, np.log(s), method="Nelder-Mead", options=options) for s in starts]
    best = min(found, key=lambda result: result.fun)
    whole = np.concatenate([counts[:first], probabilities(best.x) * seen.sum()]) / counts.sum()
    return 1 - np.cumsum(whole)[:-1]
