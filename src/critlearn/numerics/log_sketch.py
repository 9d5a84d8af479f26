"""Mergeable histogram of logarithms, in which any number of fluctuations is counted exactly.

The bins lie on one grid that all sketches share, so they merge without error, whatever range each has seen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Num

from critlearn.errors import InvalidInputError
from critlearn.numerics.window import format_exp
from critlearn.results import Result

BINS_PER_OCTAVE: Final = 64
BIN_WIDTH: Final = math.log(2.0) / BINS_PER_OCTAVE
"""Width of a bin in ln|delta|: 1.1% relative."""


MOST_COUNTS: Final = 2**28
"""Largest number of counts in one sketch, and in all counters of a measurement together: 2 GiB."""

_FARTHEST_BIN: Final = 2**62
"""Largest index of a bin, and sum of counts, with which 64-bit integers can be reckoned on."""


def _counted(number: float) -> str:
    return f"{number:,.0f}" if number < 1e9 else f"{number:.1e}"


def check_span(bins: int, groups: int) -> None:
    """Raise if the counts of a range of fluctuations would not fit into memory.

    Raises
    ------
    InvalidInputError
        If there are more than `MOST_COUNTS` of them.
    """
    if 2 * bins * groups > MOST_COUNTS:
        decades = bins * BIN_WIDTH / math.log(10.0)
        allowed = MOST_COUNTS // (2 * groups) * BIN_WIDTH / math.log(10.0)
        raise InvalidInputError(
            f"fluctuations over {_counted(decades)} decades are more than a sketch of {groups} groups of samples "
            f"holds, {allowed:,.0f} decades: keep fewer groups (groups=...), or scale inputs and weights so that "
            "outputs are smaller"
        )


@dataclass(frozen=True, eq=False, repr=False)
class LogSketch(Result):
    """Counts of ``ln|delta|`` on the grid ``edges = BIN_WIDTH * integer``, by sign and by group of samples.

    Exact zeros have no logarithm: they are counted apart and never binned. The groups are what a bootstrap
    over samples resamples, as the fluctuations that one sample induces are not independent.

    Parameters
    ----------
    first_bin
        Grid index of the first bin; bin ``i`` holds ``BIN_WIDTH * i <= ln|delta| < BIN_WIDTH * (i + 1)``.
    group_positive, group_negative
        Counts of positive and of negative fluctuations, shape (group, bin).
    group_zeros
        Counts of exact zeros, shape (group,).
    """

    first_bin: int
    group_positive: Int64[np.ndarray, "group bin"]
    group_negative: Int64[np.ndarray, "group bin"]
    group_zeros: Int64[np.ndarray, " group"]

    def __post_init__(self) -> None:
        """Raise if the counts have the wrong type or shape, or are negative."""
        arrays = (self.group_positive, self.group_negative, self.group_zeros)
        if any(array.dtype != np.int64 for array in arrays):
            raise InvalidInputError("a sketch counts in 64-bit integers")
        if self.group_positive.ndim != 2 or self.group_positive.shape != self.group_negative.shape:
            raise InvalidInputError(
                "a sketch needs counts of shape (group, bin) for both signs; got "
                f"{self.group_positive.shape} and {self.group_negative.shape}"
            )
        if self.group_zeros.shape != self.group_positive.shape[:1]:
            raise InvalidInputError(
                f"a sketch of {len(self.group_positive)} groups needs as many counts of zeros; "
                f"got shape {self.group_zeros.shape}"
            )
        if any(array.size and array.min() < 0 for array in arrays):
            raise InvalidInputError("a sketch cannot hold negative counts")

    @classmethod
    def empty(cls, groups: int = 1) -> "LogSketch":
        """Sketch that has counted nothing yet."""
        none = np.zeros((groups, 0), dtype=np.int64)
        return cls(0, none, none, np.zeros(groups, dtype=np.int64))

    @classmethod
    def from_logs(
        cls,
        log_abs: Num[np.ndarray, " n"],
        negative: Bool[np.ndarray, " n"] | None = None,
        group: Integer[np.ndarray, " n"] | None = None,
        groups: int = 1,
    ) -> "LogSketch":
        """Sketch of fluctuations from ``ln|delta|`` (``-inf`` is an exact zero), sign and group of each.

        Raises
        ------
        InvalidInputError
            If a logarithm is NaN or ``+inf``, or a group is outside ``0 .. groups - 1``.
        """
        if np.isnan(log_abs).any() or np.isposinf(log_abs).any():
            raise InvalidInputError("a sketch holds finite fluctuations; got NaN or infinity")
        if group is None:
            group = np.zeros(log_abs.shape, dtype=np.int64)
        elif group.size and not 0 <= group.min() <= group.max() < groups:
            raise InvalidInputError(f"a sketch of {groups} groups got a group outside 0..{groups - 1}")
        group = group.astype(np.int64)
        is_zero = np.isneginf(log_abs)
        zeros = np.bincount(group[is_zero], minlength=groups).astype(np.int64)
        group = group[~is_zero]
        if not group.size:
            empty = cls.empty(groups)
            return cls(0, empty.group_positive, empty.group_negative, zeros)
        index = np.floor(log_abs[~is_zero].astype(np.float64) / BIN_WIDTH).astype(np.int64)
        first = int(index.min())
        bins = int(index.max()) - first + 1
        check_span(bins, groups)
        sign = np.zeros(index.shape, dtype=np.int64) if negative is None else negative[~is_zero].astype(np.int64)
        # One number for sign, group and bin, so that a single call counts everything.
        flat = (sign * groups + group) * bins + (index - first)
        counts = np.bincount(flat, minlength=2 * groups * bins).astype(np.int64).reshape(2, groups, bins)
        return cls(first, counts[0], counts[1], zeros)

    @classmethod
    def from_values(
        cls,
        values: Num[np.ndarray, " n"],
        group: Integer[np.ndarray, " n"] | None = None,
        groups: int = 1,
    ) -> "LogSketch":
        """Sketch of signed fluctuations from plain numbers.

        >>> LogSketch.from_values(np.array([0.6, -0.3, 0.0])).summary()
        '3 fluctuations (1 exact zero), |delta| from 0.297 to 0.601'
        """
        with np.errstate(divide="ignore"):
            log_abs = np.log(np.abs(values.astype(np.float64)))
        return cls.from_logs(log_abs, values < 0, group, groups)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "LogSketch":
        """Inverse of `to_arrays`.

        Raises
        ------
        InvalidInputError
            If the arrays are no counts: those of a damaged file may be any numbers.
        """
        first, counts = int(arrays["first_bin"]), [arrays[name] for name in ("positive", "negative", "zeros")]
        # In double precision, as a sum of 64-bit integers goes round.
        if abs(first) > _FARTHEST_BIN or sum(part.sum(dtype=np.float64) for part in counts) > _FARTHEST_BIN:
            raise InvalidInputError(f"a sketch has bins, and counts, up to {_FARTHEST_BIN:.0e}")
        return cls(first, *counts)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The sketch as named arrays, for a file."""
        return {
            "first_bin": np.array(self.first_bin, dtype=np.int64),
            "positive": self.group_positive,
            "negative": self.group_negative,
            "zeros": self.group_zeros,
        }

    @property
    def groups(self) -> int:
        """Number of groups of samples."""
        return len(self.group_zeros)

    @property
    def bins(self) -> int:
        """Number of bins."""
        return int(self.group_positive.shape[1])

    @property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """Edges of the bins in ``ln|delta|``, ascending."""
        # By a product, not a running sum: the same edge is the same float in all sketches.
        return (self.first_bin + np.arange(self.bins + 1)) * BIN_WIDTH

    @property
    def group_counts(self) -> Int64[np.ndarray, "group bin"]:
        """Counts of both signs together, by group."""
        return self.group_positive + self.group_negative

    @property
    def counts(self) -> Int64[np.ndarray, " bin"]:
        """Counts of both signs together."""
        return self.group_counts.sum(axis=0)

    @property
    def counts_positive(self) -> Int64[np.ndarray, " bin"]:
        """Counts of positive fluctuations."""
        return self.group_positive.sum(axis=0)

    @property
    def counts_negative(self) -> Int64[np.ndarray, " bin"]:
        """Counts of negative fluctuations."""
        return self.group_negative.sum(axis=0)

    @property
    def zeros(self) -> int:
        """Number of exact zeros."""
        return int(self.group_zeros.sum())

    @property
    def count(self) -> int:
        """Number of fluctuations counted, exact zeros included."""
        return int(self.group_positive.sum() + self.group_negative.sum()) + self.zeros

    @property
    def log_range(self) -> tuple[float, float] | None:
        """Edges in ``ln|delta|`` between which all non-zero fluctuations lie; None if there are none."""
        filled = np.flatnonzero(self.counts)
        if not filled.size:
            return None
        return float(self.edges[filled[0]]), float(self.edges[filled[-1] + 1])

    def in_groups(self, groups: int) -> "LogSketch":
        """Sketch with empty groups added at the end, so that there are at least so many."""
        more = max(groups - self.groups, 0)
        wider = ((0, more), (0, 0))
        return LogSketch(
            self.first_bin,
            np.pad(self.group_positive, wider),
            np.pad(self.group_negative, wider),
            np.pad(self.group_zeros, (0, more)),
        )

    def in_fewer_groups(self, groups: int) -> "LogSketch":
        """Sketch with so many groups, of which the number is a multiple: group ``i`` joins group ``i mod groups``.

        Raises
        ------
        InvalidInputError
            If the number of groups is no multiple of that.
        """
        if groups == self.groups:
            return self
        if groups < 1 or self.groups % groups:
            raise InvalidInputError(f"{self.groups} groups of samples cannot be joined to {groups}")
        joined = (
            part.reshape(-1, groups, *part.shape[1:]).sum(axis=0)
            for part in (self.group_positive, self.group_negative, self.group_zeros)
        )
        return LogSketch(self.first_bin, *joined)

    def merge(self, other: "LogSketch") -> "LogSketch":
        """Sketch of the fluctuations of both; group ``i`` of one joins group ``i`` of the other.

        Raises
        ------
        InvalidInputError
            If the numbers of groups differ.
        """
        return LogSketch.pooled([self, other])

    @classmethod
    def pooled(cls, sketches: Sequence["LogSketch"]) -> "LogSketch":
        """Sketch of the fluctuations of all sketches, of which there is at least one; groups join as in `merge`.

        Raises
        ------
        InvalidInputError
            If the numbers of groups differ, or the common range would not fit into memory.
        """
        groups = sketches[0].groups
        for sketch in sketches:
            if sketch.groups != groups:
                raise InvalidInputError(
                    f"sketches of {groups} and of {sketch.groups} groups of samples cannot be merged"
                )
        zeros = np.stack([sketch.group_zeros for sketch in sketches]).sum(axis=0, dtype=np.int64)
        filled = [sketch for sketch in sketches if sketch.bins]
        if not filled:
            return cls(0, sketches[0].group_positive, sketches[0].group_negative, zeros)
        first = min(sketch.first_bin for sketch in filled)
        stop = max(sketch.first_bin + sketch.bins for sketch in filled)
        check_span(stop - first, groups)
        merged = np.zeros((2, groups, stop - first), dtype=np.int64)
        for sketch in filled:
            at = slice(sketch.first_bin - first, sketch.first_bin - first + sketch.bins)
            merged[0, :, at] += sketch.group_positive
            merged[1, :, at] += sketch.group_negative
        return cls(first, merged[0], merged[1], zeros)

    def density(self) -> Float64[np.ndarray, " bin"]:
        """Probability density of ``ln|delta|`` in each bin; with the zeros' share it sums to 1."""
        return self.counts / (max(self.count, 1) * BIN_WIDTH)

    def quantile(self, probability: float) -> float:
        """Upper edge in ``ln|delta|`` of the bin that holds a quantile of the non-zero fluctuations.

        Raises
        ------
        InvalidInputError
            If the probability is outside [0, 1] or every fluctuation is zero.
        """
        if not 0 <= probability <= 1:
            raise InvalidInputError(f"a quantile needs a probability in [0, 1]; got {probability}")
        cumulative = np.cumsum(self.counts)
        if not self.bins or cumulative[-1] == 0:
            raise InvalidInputError("a sketch without non-zero fluctuations has no quantiles")
        # At least one fluctuation: probability 0 means the first filled bin, not an empty one before it.
        index = int(np.searchsorted(cumulative, max(probability * cumulative[-1], 1)))
        return float(self.edges[index + 1])

    def __eq__(self, other: object) -> bool:
        """Whether both have counted the same, whatever empty bins they carry."""
        if not isinstance(other, LogSketch) or self.groups != other.groups:
            return NotImplemented if not isinstance(other, LogSketch) else False
        if not np.array_equal(self.group_zeros, other.group_zeros):
            return False
        mine, theirs = self._trimmed(), other._trimmed()
        return mine[0] == theirs[0] and np.array_equal(mine[1], theirs[1])

    __hash__ = None  # type: ignore[assignment]

    def _trimmed(self) -> tuple[int, np.ndarray]:
        """First filled bin and the counts by sign, group and bin without the empty bins at the ends."""
        both = np.stack([self.group_positive, self.group_negative])
        filled = np.flatnonzero(both.any(axis=(0, 1)))
        if not filled.size:
            return 0, both[..., :0]
        return self.first_bin + int(filled[0]), both[..., filled[0] : filled[-1] + 1]

    def to_dict(self) -> dict[str, Any]:
        """Totals and range as plain numbers."""
        log_range = self.log_range
        return {
            "count": self.count,
            "zeros": self.zeros,
            "groups": self.groups,
            "log_min": log_range[0] if log_range else None,
            "log_max": log_range[1] if log_range else None,
        }

    def summary(self) -> str:
        """One line: how many fluctuations, how many zeros, over what range."""
        zeros = f"{self.zeros} exact zero{'' if self.zeros == 1 else 's'}"
        if self.log_range is None:
            return f"{self.count} fluctuations ({zeros})"
        low, high = (format_exp(end) for end in self.log_range)
        return f"{self.count} fluctuations ({zeros}), |delta| from {low} to {high}"
