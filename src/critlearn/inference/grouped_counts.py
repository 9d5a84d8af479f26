"""Counts by group of samples on equal bins, with the running sums from which any window is fitted at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from jaxtyping import Float64

from critlearn.inference.power_law import solve_phi, variance_index
from critlearn.numerics.log_sketch import LogSketch

Running = Float64[np.ndarray, "group edge"]


@dataclass(frozen=True)
class WindowFit:
    """Fit of a truncated power law to the bins ``start .. stop - 1``.

    ``standard_error`` is robust to dependence inside groups (sandwich), ``naive_standard_error`` that of Fisher for
    independent observations. ``phi`` is the parameter per bin.
    """

    start: int
    stop: int
    exponent: float
    standard_error: float
    naive_standard_error: float
    n: float
    phi: float

    @property
    def bins(self) -> int:
        """Number of bins."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class GroupedCounts:
    """Counts of ``ln|delta|`` of each group on equally spaced edges.

    Parameters
    ----------
    edges
        Edges in ``ln|delta|``.
    counts
        Counts, shape (group, bin).
    """

    edges: Float64[np.ndarray, " edge"]
    counts: Float64[np.ndarray, "group bin"]

    @classmethod
    def from_sketch(cls, sketch: LogSketch, log_floor: float | None = None) -> "GroupedCounts":
        """Non-zero fluctuations of a sketch above a floor, without empty bins at the ends or empty groups."""
        counts, edges = sketch.group_counts, sketch.edges
        if log_floor is not None:
            kept = edges[:-1] >= log_floor
            counts, edges = counts[:, kept], edges[np.append(kept, bool(kept.size and kept[-1]))]
        filled = np.flatnonzero(counts.any(axis=0))
        if not filled.size:
            return cls(np.zeros(1), np.zeros((1, 0)))
        at = slice(int(filled[0]), int(filled[-1]) + 1)
        counts = counts[counts.any(axis=1), at]
        return cls(edges[at.start : at.stop + 1], counts.astype(np.float64))

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(self.edges[1] - self.edges[0])

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.counts)

    @property
    def total(self) -> float:
        """Number of fluctuations."""
        return float(self.counts.sum())

    @cached_property
    def running_count(self) -> Running:
        """Counts below each edge."""
        return np.pad(np.cumsum(self.counts, axis=1), ((0, 0), (1, 0)))

    @cached_property
    def running_index(self) -> Running:
        """Sums of the bin's index below each edge."""
        return np.pad(np.cumsum(self.counts * np.arange(self.counts.shape[1]), axis=1), ((0, 0), (1, 0)))

    def coarsened(self, factor: int) -> "GroupedCounts":
        """Join every `factor` bins."""
        if factor == 1:
            return self
        bins = -(-self.counts.shape[1] // factor)
        padded = np.pad(self.counts, ((0, 0), (0, bins * factor - self.counts.shape[1])))
        edges = self.edges[0] + np.arange(bins + 1) * factor * self.width
        return GroupedCounts(edges, padded.reshape(self.groups, bins, factor).sum(axis=2))

    def group_sums(self, start: int, stop: int) -> tuple[Float64[np.ndarray, " group"], Float64[np.ndarray, " group"]]:
        """Count and sum of ``j - (B - 1)/2`` in a window, by group."""
        count = self.running_count[:, stop] - self.running_count[:, start]
        index = self.running_index[:, stop] - self.running_index[:, start]
        return count, index - count * (start + 0.5 * (stop - start - 1))

    def fit(self, start: int, stop: int) -> WindowFit | None:
        """Maximum-likelihood fit on a window; None if it is empty or everything lies in one end bin."""
        count, centred = self.group_sums(start, stop)
        n = float(count.sum())
        if n < 2:
            return None
        mean = centred.sum() / n
        phi = float(solve_phi(np.array(mean), stop - start))
        if not np.isfinite(phi):
            return None
        information = n * float(variance_index(np.array(phi), stop - start))
        naive = information**-0.5
        score = centred - mean * count
        correction = self.groups / (self.groups - 1) if self.groups > 1 else 1.0
        robust = float(np.sqrt(correction * (score**2).sum())) / information if self.groups > 1 else naive
        return WindowFit(start, stop, 1 - phi / self.width, robust / self.width, naive / self.width, n, phi)

    def t_quantile(self, probability: float) -> float:
        """Quantile of Student's t with as many degrees of freedom as groups allow; normal if there is one group."""
        # The functions themselves: scipy.stats takes a millisecond to set up a distribution.
        if self.groups > 1:
            return float(scipy.special.stdtrit(self.groups - 1, probability))
        return float(scipy.special.ndtri(probability))
