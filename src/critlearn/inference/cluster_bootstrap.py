"""Bootstrap over groups of samples: fluctuations that one sample induces are not independent of each other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from critlearn.errors import InvalidInputError
from critlearn.inference.grouped_counts import GroupedCounts, WindowFit
from critlearn.inference.power_law import solve_phi


def group_weights(groups: int, replicates: int, seed: int) -> Float64[np.ndarray, "replicate group"]:
    """How often each group is drawn in each replicate: multinomial with equal probabilities.

    Raises
    ------
    InvalidInputError
        If there are fewer than 10 replicates.
    """
    if replicates < 10:
        raise InvalidInputError(f"a bootstrap needs at least 10 replicates; got {replicates}")
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=replicates).astype(np.float64)


@dataclass(frozen=True)
class Interval:
    """Standard error of an exponent and its 95% interval."""

    standard_error: float
    ci95: tuple[float, float]


def exponent_interval(counts: GroupedCounts, fit: WindowFit, replicates: int, seed: int) -> Interval:
    """Interval from re-fitting to groups drawn with replacement.

    The interval is the exponent plus and minus a quantile of Student's t, with one degree of freedom less than groups,
    times the standard deviation of the replicates. With one group only, Fisher's error is used.
    """
    error = fit.naive_standard_error
    if counts.groups > 1:
        weights = group_weights(counts.groups, replicates, seed)
        count, centred = (weights @ part for part in counts.group_sums(fit.start, fit.stop))
        drawn = count > 0
        phi = solve_phi(centred[drawn] / count[drawn], fit.bins)
        finite = phi[np.isfinite(phi)]
        # Drawing with replacement shrinks the variance of a mean over few groups.
        error = float(finite.std()) / counts.width * (counts.groups / (counts.groups - 1)) ** 0.5
    half = counts.t_quantile(0.975) * error
    return Interval(error, (fit.exponent - half, fit.exponent + half))
