"""Histogram of sums of two independent binned logarithms: one histogram shifted by every filled bin of the other.

Histograms are (bin, sign) in one row of 16-bit integers. Four shifted copies are added at a time, so that the sum is
read and written once for four of them, in whole lines of the cache.
"""

from typing import Final

import numpy as np

from critlearn.numerics.compiled import compiled

_REACH: Final = 32
"""Bins that four copies added together may lie apart."""

_LINE: Final = 32
"""Numbers of 16 bits in a line of the cache."""

_LEFT: Final = 2 * _REACH + _LINE
_RIGHT: Final = 2 * _REACH + 2 * _LINE
"""Zeros kept before and behind the shifted histogram, which copies that start or end later are read from."""

_TAIL_COST: Final = 25
"""Cost of counting one number by itself, in bins of the shifted histogram."""

_FULL: Final = (1 << 16) - 1
"""Counts that a bin of the 16-bit scratch histogram may take before it is flushed."""


@compiled
def source_size(bins):  # type: ignore[no-untyped-def]
    """Entries of the space that holds a histogram of so many bins twice, signs exchanged in the second, with room."""
    return 2 * (2 * bins + _LEFT + _RIGHT)


@compiled
def scratch_size(bins):  # type: ignore[no-untyped-def]
    """Entries of the space that takes the sums of two histograms of so many bins together."""
    return 2 * bins + 3 * _LINE


@compiled
def convolve(dense, dense_bins, sparse, sparse_bins, source, scratch, offset, counts):  # type: ignore[no-untyped-def]
    """Add the histogram of all sums to ``counts`` (bin, sign), from bin ``offset`` on; each count is exact.

    ``source`` (`source_size`) and ``scratch`` (`scratch_size`) hold zeros, before and after. No bin of the scratch can
    hold more than the fullest of ``dense`` times what has been added of ``sparse``.
    """
    filled = np.empty(2 * sparse_bins + 1, np.int64)
    number = _find_filled(sparse[: 2 * sparse_bins], filled)
    core = _end_of_tail(dense, dense_bins)
    _count_tail(dense[: 2 * core], sparse, filled[:number], counts[offset:])
    bins = dense_bins - core
    swapped = 2 * bins + _LEFT + _RIGHT
    fullest = _write_source(dense[2 * core : 2 * dense_bins], source[_LEFT:], source[_LEFT + swapped :])
    shifts, starts, factors = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4, np.uint16)
    held, waiting = np.int64(0), 0
    for place in filled[:number]:
        at, sign, left = place >> 1, place & 1, np.int64(sparse[place])
        while left > 0:
            full = held + fullest > _FULL
            if waiting == 4 or full or (waiting > 0 and at - shifts[0] > _REACH):
                _add_copies(source, bins, shifts, starts, factors, waiting, scratch)
                waiting = 0
            if full:
                _flush(scratch, bins + sparse_bins, counts[offset + core :])
                held = np.int64(0)
            # A division for all of them would cost as much as the rest of this loop.
            taken = left if held + fullest * left <= _FULL else (_FULL - held) // fullest
            held += fullest * taken
            left -= taken
            shifts[waiting], starts[waiting], factors[waiting] = at, _LEFT + sign * swapped, np.uint16(taken)
            waiting += 1
    _add_copies(source, bins, shifts, starts, factors, waiting, scratch)
    _flush(scratch, bins + sparse_bins, counts[offset + core :])
    source[_LEFT : _LEFT + 2 * bins] = 0
    source[_LEFT + swapped : _LEFT + swapped + 2 * bins] = 0


@compiled
def _find_filled(histogram, filled):  # type: ignore[no-untyped-def]
    """Places of what is not zero, to the front; how many."""
    number = 0
    for k in range(histogram.size):
        # Written always and kept only if it is not zero: a branch would cost more.
        filled[number] = k
        number += 1 if histogram[k] != 0 else 0
    return number


@compiled
def _end_of_tail(histogram, bins):  # type: ignore[no-untyped-def]
    """Bins at the lower end that hold so few numbers that these are better counted one by one."""
    best, end, score = np.int64(0), 0, np.int64(0)
    for k in range(bins):
        score += 1 - _TAIL_COST * np.int64(histogram[2 * k] + histogram[2 * k + 1])
        if score > best:
            best, end = score, k + 1
    return end


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
def _write_source(histogram, straight, swapped):  # type: ignore[no-untyped-def]
    """Copy a histogram, and the same with signs exchanged; the fullest bin of one sign."""
    fullest = np.uint16(1)
    for k in range(histogram.size // 2):
        positive, negative = histogram[2 * k], histogram[2 * k + 1]
        straight[2 * k], straight[2 * k + 1] = positive, negative
        swapped[2 * k], swapped[2 * k + 1] = negative, positive
        fullest = max(fullest, positive, negative)
    return np.int64(fullest)


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
    flat = counts.reshape(counts.size)
    for k in range(2 * bins):
        flat[k] += scratch[k]
    scratch[: 2 * bins] = 0
