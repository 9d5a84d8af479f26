"""What modes share: the output error of a sample, and, with that divided out, their path factors."""

import math

import numpy as np
from jaxtyping import Float64

from critlearn.comparison.learning_modes.jackknife import Estimate, Groups, jackknifed

_FEWEST: int = 3
"""Samples without which two numbers are always correlated perfectly."""


def r_squared(left: Float64[np.ndarray, " sample"], right: Float64[np.ndarray, " sample"], group: Groups) -> Estimate:
    """Squared correlation of two logarithms."""
    return jackknifed(lambda used: correlation(left[used], right[used]) ** 2, group)


def coupling(
    log_factor: Float64[np.ndarray, "sample mode"], group: Groups
) -> tuple[Float64[np.ndarray, "mode mode"], Estimate]:
    """Correlations between the modes' path factors, and their mean size."""
    number = log_factor.shape[1]

    def matrix(used: np.ndarray) -> np.ndarray:
        rows = log_factor[used]
        found = np.eye(number)
        for one, two in zip(*np.triu_indices(number, 1), strict=True):
            found[one, two] = found[two, one] = correlation(rows[:, one], rows[:, two])
        return found

    def mean_size(used: np.ndarray) -> float:
        sizes = np.abs(matrix(used)[np.triu_indices(number, 1)])
        known = sizes[np.isfinite(sizes)]
        return float(known.mean()) if len(known) else math.nan

    return matrix(np.ones(len(group), dtype=bool)), jackknifed(mean_size, group)


def correlation(left: Float64[np.ndarray, " sample"], right: Float64[np.ndarray, " sample"]) -> float:
    """Correlation over the samples in which neither is an exact zero; NaN where one of the two does not vary."""
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < _FEWEST:
        return math.nan
    one, two = left[both] - left[both].mean(), right[both] - right[both].mean()
    size = math.sqrt(float(one @ one) * float(two @ two))
    # Logarithms of equal numbers differ by their rounding.
    least = 1e-12 * both.sum()
    return float(one @ two) / size if size > least else math.nan
