"""Sampling errors from leaving out one group of samples at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

_GROUPS: Final = 20
"""Groups of samples: the standard error itself is then known to a sixth."""

_RUN: Final = 16
"""Successive samples in one group, which keeps together what was recorded together."""


Groups = Int64[np.ndarray, " sample"]
"""Group of each sample."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; both NaN where there is none."""

    value: float
    error: float


def sample_groups(samples: int) -> Groups:
    """Group of each of so many samples: short runs in turn; fewer than 20 groups of fewer samples than that."""
    run = max(1, min(_RUN, samples // _GROUPS))
    return np.arange(samples) // run % _GROUPS


def jackknife(value: float, without: Sequence[float]) -> Estimate:
    """Estimate from the number of all samples and the numbers without each group.

    >>> jackknife(2.0, [1.5, 2.0, 2.5])
    Estimate(value=2.0, error=0.5773502691896257)
    """
    left = np.array(without)
    if not math.isfinite(value) or not np.isfinite(left).all() or len(left) < 2:
        return Estimate(value, math.nan)
    return Estimate(value, float(np.sqrt((len(left) - 1) * np.mean((left - left.mean()) ** 2))))


def jackknifed(statistic: Callable[[Bool[np.ndarray, " sample"]], float], group: Groups) -> Estimate:
    """Estimate of a statistic, a function of a mask of the samples to use."""
    every = np.ones(len(group), dtype=bool)
    return jackknife(statistic(every), [statistic(group != one) for one in np.unique(group)])
