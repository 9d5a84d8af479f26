"""Histogram of sums of two independent binned logarithms: one histogram shifted by every filled bin of the other.

Histograms are (bin, sign) in one row of 16-bit integers. Where bins hold few numbers, as most do, shifted copies are
added in bytes (`byte_convolution`); else with factors in 16 bits, four at a time, so that the sum is read and written
once for four of them, in whole lines of the cache.
"""

from typing import Final, NamedTuple

import numpy as np

from critlearn.fluctuations.counting.byte_convolution import (
    FULLEST,
    TOGETHER,
    add_in_bytes,
    buffer_size,
    byte_source_size,
    move,
    write_both_signs,
)
from critlearn.numerics.kernels.compiled import compiled

_REACH: Final = 32
"""Largest distance in bins between copies that are added together, which the zeros beside the histogram must cover."""

_LINE: Final = 32
"""Numbers of 16 bits in a line of the cache."""

_LEFT: Final = 2 * _REACH + _LINE
_RIGHT: Final = 2 * _REACH + 2 * _LINE
"""Zeros kept before and behind the shifted histogram, which copies that start or end later are read from."""

_TAIL_COST: Final = 25
"""Cost of counting one number by itself, in bins of the shifted histogram."""

_FULL: Final = (1 << 16) - 1
"""Counts that a bin of the 16-bit scratch histogram may take before it is flushed."""

_REPEATED: Final = 2
"""Numbers in a filled bin of the other histogram, on the average, up to which copies in bytes are faster."""


class Workspace(NamedTuple):
    """Arrays for the convolution of one row; source, scratch, byte source and buffer hold zeros between rows."""

    source: np.ndarray
    scratch: np.ndarray
    byte_source: np.ndarray
    buffer: np.ndarray
    filled: np.ndarray
    copies: np.ndarray
    starts: np.ndarray


@compiled
def workspace(bins):  # type: ignore[no-untyped-def]
    """Room for two histograms of so many bins together."""
    return Workspace(
        np.zeros(2 * (2 * bins + _LEFT + _RIGHT), np.uint16),
        np.zeros(2 * bins + 3 * _LINE, np.uint16),
        np.zeros(byte_source_size(bins), np.uint8),
        np.zeros(buffer_size(bins), np.uint8),
        np.empty(2 * bins + 1, np.int64),
        np.empty(_REPEATED * (2 * bins + 1), np.int64),
        np.empty(TOGETHER, np.int64),
    )


@compiled
def convolve(dense, dense_bins, sparse, sparse_bins, space, offset, counts):  # type: ignore[no-untyped-def]
    """Add the histogram of all sums to ``counts`` (bin, sign), from bin ``offset`` on; each count is exact."""
    filled, copies = space.filled, space.copies
    number = _find_filled(sparse[: 2 * sparse_bins], filled)
    filled = filled[:number]
    core = _end_of_tail(dense, dense_bins)
    _count_tail(dense[: 2 * core], sparse, filled, counts[offset:])
    left = dense[2 * core : 2 * dense_bins]
    fullest = _fullest(left)
    total = _total(sparse, filled)
    if fullest <= FULLEST and total <= _REPEATED * number and total * fullest <= _FULL:
        _write_copies(sparse, filled, copies)
        add_in_bytes(left, fullest, copies[:total], space.byte_source, space.starts, space.buffer, space.scratch)
        _flush(space.scratch, dense_bins - core + sparse_bins, counts[offset + core :])
    else:
        _add_in_words(left, fullest, sparse, sparse_bins, filled, space, counts[offset + core :])


@compiled
def _add_in_words(left, fullest, sparse, sparse_bins, filled, space, counts):  # type: ignore[no-untyped-def]
    """Add a copy for each filled place, times what is in it, in 16 bits.

    No bin of the scratch can hold more than ``fullest`` times what has been added of ``sparse``.
    """
    source, scratch, starts = space.source, space.scratch, space.starts
    bins = left.size // 2
    swapped = left.size + _LEFT + _RIGHT
    write_both_signs(left, source[_LEFT:], source[_LEFT + swapped :])
    shifts, factors = np.empty(4, np.int64), np.empty(4, np.uint16)
    held, waiting = np.int64(0), 0
    for place in filled:
        at, sign, missing = place >> 1, place & 1, np.int64(sparse[place])
        while missing > 0:
            full = held + fullest > _FULL
            if waiting == 4 or full or (waiting > 0 and at - shifts[0] > _REACH):
                _add_copies(source, bins, shifts, starts, factors, waiting, scratch)
                waiting = 0
            if full:
                _flush(scratch, bins + sparse_bins, counts)
                held = np.int64(0)
            # A division for all of them would cost as much as the rest of this loop.
            taken = missing if held + fullest * missing <= _FULL else (_FULL - held) // fullest
            held += fullest * taken
            missing -= taken
            shifts[waiting], starts[waiting], factors[waiting] = at, _LEFT + sign * swapped, np.uint16(taken)
            waiting += 1
    _add_copies(source, bins, shifts, starts, factors, waiting, scratch)
    _flush(scratch, bins + sparse_bins, counts)
    source[_LEFT : _LEFT + left.size] = 0
    source[_LEFT + swapped : _LEFT + swapped + left.size] = 0


@compiled
def _find_filled(histogram, filled):  # type: ignore[no-untyped-def]
    """Write the places of nonzero counts to the front of ``filled``; return how many there are."""
    number = 0
    for k in range(histogram.size):
        # Written always and kept only if it is not zero: a branch would cost more.
        filled[number] = k
        number += 1 if histogram[k] != 0 else 0
    return number


@compiled
def _end_of_tail(histogram, bins):  # type: ignore[no-untyped-def]
    """Number of bins at the lower end whose few numbers are cheaper to count one by one than bin by bin."""
    # Leaving a bin out saves 1, counting a number by itself costs _TAIL_COST: the end is where the sum is largest.
    best, end, score = np.int64(0), np.int64(0), np.int64(0)
    for k in range(bins):
        score += 1 - _TAIL_COST * np.int64(histogram[2 * k] + histogram[2 * k + 1])
        if score > best:
            best, end = score, np.int64(k + 1)
        # Not even empty bins up to the end could raise the sum above the best one.
        elif score + bins - k <= best:
            break
    return end


@compiled
def _fullest(histogram):  # type: ignore[no-untyped-def]
    """Count in the fullest bin of either sign, 1 at least."""
    fullest = np.uint16(1)
    for k in range(histogram.size):
        fullest = max(fullest, histogram[k])
    return np.int64(fullest)


@compiled
def _total(histogram, filled):  # type: ignore[no-untyped-def]
    """Sum of what is in the filled places."""
    total = np.int64(0)
    for place in filled:
        total += np.int64(histogram[place])
    return total


@compiled
def _write_copies(histogram, filled, copies):  # type: ignore[no-untyped-def]
    """Write every filled place to ``copies`` as often as there are numbers in it."""
    found = np.int64(0)
    for place in filled:
        # Written always, and kept as often as there are numbers: a loop would be mispredicted.
        copies[found] = copies[found + 1] = place
        for k in range(2, histogram[place]):
            copies[found + k] = place
        found += np.int64(histogram[place])


@compiled
def _count_tail(tail, sparse, filled, counts):  # type: ignore[no-untyped-def]
    """Add the sums of what is in the tail."""
    for k in range(tail.size):
        if tail[k] == 0:
            continue
        times = np.int64(tail[k])
        for place in filled:
            counts[(k >> 1) + (place >> 1), (k ^ place) & 1] += times * np.int64(sparse[place])


@compiled
def _add_copies(source, bins, shifts, starts, factors, waiting, scratch):  # type: ignore[no-untyped-def]
    """Add up to four copies of the histogram, each shifted and taken so many times; shifts ascend."""
    if waiting == 4:
        first = 2 * shifts[0] // _LINE * _LINE
        stop = -(-2 * (shifts[3] + bins) // _LINE) * _LINE
        for k in range(4):
            starts[k] -= 2 * shifts[k] - first
        _add_four(source, starts, factors, scratch[first:stop])
        return
    for k in range(waiting):
        _add_one(source[starts[k] :], factors[k], scratch[2 * shifts[k] : 2 * (shifts[k] + bins)])


@compiled
def _add_four(source, starts, factors, target):  # type: ignore[no-untyped-def]
    """The innermost loop, in vectors of 16-bit integers."""
    a, b, c, d = source[starts[0] :], source[starts[1] :], source[starts[2] :], source[starts[3] :]
    fa, fb, fc, fd = factors[0], factors[1], factors[2], factors[3]
    for k in range(target.size):
        target[k] += fa * a[k] + fb * b[k] + fc * c[k] + fd * d[k]


@compiled
def _add_one(source, factor, target):  # type: ignore[no-untyped-def]
    """``target += factor * source``."""
    for k in range(target.size):
        target[k] += factor * source[k]


@compiled
def _flush(scratch, bins, counts):  # type: ignore[no-untyped-def]
    """Add a scratch histogram (bin, sign) to the counts and clear it."""
    move(scratch[: 2 * bins], counts.reshape(counts.size)[: 2 * bins])
