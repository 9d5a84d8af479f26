"""Counts between edges as a user gives them: binned data, or relative frequencies."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from critlearn.errors import InvalidInputError
from critlearn.numerics.validation import as_number

_FREQUENCY_SLACK: Final = 1e-3
"""Amount by which relative frequencies, rounded as they are published, may add up to more than 1."""


@dataclass(frozen=True, eq=False, init=False)
class Histogram:
    """Counts between edges, of which nothing else is known: binned data.

    Parameters
    ----------
    counts
        Counts, shape (bin,), or by group of dependent observations, shape (group, bin); need not be integers. Relative
        frequencies, or densities times the width of bins, are numbers of which none is larger than 1.
    edges
        Ascending, positive edges of the bins, shape (bin + 1,); the first may be 0: its bin is then left out of fits.
    n
        Number of values behind relative frequencies. None where it is not known: then the smallest frequency counts as
        one value, the least number that there can have been, and no significance is claimed.

    Raises
    ------
    InvalidInputError
        If the edges are not ascending, the counts are negative, not finite, or of another number, or the number of
        values is not positive.
    """

    counts: Float64[np.ndarray, "*groups bin"]
    edges: Float64[np.ndarray, "*edge"]
    number_known: bool

    def __init__(self, counts: ArrayLike, edges: ArrayLike, n: float | None = None) -> None:
        try:
            counts, edges = np.asarray(counts, dtype=np.float64), np.asarray(edges, dtype=np.float64)
        except (TypeError, ValueError) as problem:
            raise InvalidInputError(f"counts and edges of a histogram must be numbers: {problem}") from None
        if edges.ndim != 1 or counts.shape[-1:] != (len(edges) - 1,) or counts.ndim > 2:
            bins = counts.shape[-1] if counts.ndim else 0
            raise InvalidInputError(
                f"a histogram of {bins} counts needs {bins + 1} edges; got counts of shape {counts.shape} and edges of "
                f"shape {edges.shape}"
            )
        if not (np.isfinite(counts).all() and (counts >= 0).all()):
            raise InvalidInputError("the counts of a histogram must be finite and not negative")
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all() and edges[0] >= 0):
            raise InvalidInputError("the edges of a histogram must be finite, ascending and not negative")
        if n is not None and not 0 < as_number(n) < math.inf:
            raise InvalidInputError(f"the number of values of a histogram must be positive; got {n!r}")
        # Counts are one or more each, unless they are weights; what never exceeds 1 in all are shares.
        # Rows of groups may add up to 1 each, or all of them together.
        shares = counts.sum() > 0 and counts.max() <= 1 and counts.sum(axis=-1).max() <= 1 + _FREQUENCY_SLACK
        frequencies = n is not None or shares
        if frequencies and counts.any():
            counts = counts * (n / counts.sum() if n is not None else 1 / counts[counts > 0].min())
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "number_known", n is not None or not frequencies)
