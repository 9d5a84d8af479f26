"""The innermost part of a convolution of two histograms whose bins hold few numbers: shifted copies added in bytes.

Histograms are (bin, sign) in one row. Eight copies are added at a time into a buffer of bytes, a cache line at a time,
and the buffer is added to sums of 16 bits before a byte of it can be full. Twice as many numbers fit in a vector as
with sums of 16 bits alone: without this, W1 of `benchmarks/engine.py` takes 14% to 20% longer, while W1-sparse and W2
do not.
"""

from typing import Final

import numpy as np

from critlearn.numerics.kernels.compiled import compiled

FULLEST: Final = 31
"""Numbers in a bin up to which eight copies of it fit in a byte: 8 x 31 = 248, at most 255."""

_REACH: Final = 64
"""Largest distance in bins between copies that are added together, which the zeros beside the histogram must cover."""

TOGETHER: Final = 8
"""Copies that are added at a time."""

_LINE: Final = 64
"""Bytes in a line of the cache."""

_LEFT: Final = 2 * _REACH + _LINE
_RIGHT: Final = 2 * _REACH + 2 * _LINE
"""Zeros kept before and behind the shifted histogram, which copies that start or end later are read from."""


@compiled
def byte_source_size(bins):  # type: ignore[no-untyped-def]
    """Bytes that hold a histogram of so many bins twice, signs exchanged in the second, with room."""
    return 2 * (2 * bins + _LEFT + _RIGHT)


@compiled
def buffer_size(bins):  # type: ignore[no-untyped-def]
    """Size in bytes of the buffer for convolved counts; ``bins`` is the number of bins of both histograms together."""
    return 2 * bins + 3 * _LINE


@compiled
def add_in_bytes(histogram, fullest, copies, source, starts, buffer, scratch):  # type: ignore[no-untyped-def]
    """Add one copy of a histogram for each place in ``copies`` to sums of 16 bits, which must not overflow.

    ``copies`` are places ``2 bin + sign`` in ascending order, ``fullest`` is what the fullest bin of the histogram
    holds, at most `FULLEST`. ``source`` (`byte_source_size`) and ``buffer`` (`buffer_size`) hold zeros, before and
    after; ``starts`` is room for eight numbers.
    """
    bins = histogram.size // 2
    swapped = histogram.size + _LEFT + _RIGHT
    write_both_signs(histogram, source[_LEFT:], source[_LEFT + swapped :])
    held, low, high = np.int64(0), np.int64(0), np.int64(0)
    for start in range(0, copies.size, TOGETHER):
        group = copies[start : start + TOGETHER]
        first, last = group[0] >> 1, group[group.size - 1] >> 1
        # Eight more copies could overflow a byte: the buffer is added to the wider sums before.
        if held + TOGETHER * fullest > 255:
            move(buffer[low:high], scratch[low:high])
            held = np.int64(0)
        # Whole lines of the cache. Places ascend: `high` never falls, and the first group after a move decides `low`.
        begin, high = 2 * first // _LINE * _LINE, -(-2 * (last + bins) // _LINE) * _LINE
        low = low if held else begin
        held += TOGETHER * fullest
        if group.size == TOGETHER and last - first <= _REACH:
            for k in range(TOGETHER):
                starts[k] = _LEFT + (group[k] & 1) * swapped - 2 * (group[k] >> 1) + begin
            _add_eight(source, starts, buffer[begin:high])
        else:
            for place in group:
                at = place >> 1
                _add_one(source[_LEFT + (place & 1) * swapped :], buffer[2 * at : 2 * (at + bins)])
    move(buffer[low:high], scratch[low:high])
    source[_LEFT : _LEFT + histogram.size] = 0
    source[_LEFT + swapped : _LEFT + swapped + histogram.size] = 0


@compiled
def write_both_signs(histogram, straight, swapped):  # type: ignore[no-untyped-def]
    """Copy a histogram, and the same with signs exchanged."""
    for k in range(histogram.size // 2):
        positive, negative = histogram[2 * k], histogram[2 * k + 1]
        straight[2 * k], straight[2 * k + 1] = positive, negative
        swapped[2 * k], swapped[2 * k + 1] = negative, positive


@compiled
def _add_eight(source, starts, target):  # type: ignore[no-untyped-def]
    """The innermost loop, in vectors of bytes."""
    a, b, c, d = source[starts[0] :], source[starts[1] :], source[starts[2] :], source[starts[3] :]
    e, f, g, h = source[starts[4] :], source[starts[5] :], source[starts[6] :], source[starts[7] :]
    for k in range(target.size):
        target[k] += a[k] + b[k] + c[k] + d[k] + e[k] + f[k] + g[k] + h[k]


@compiled
def _add_one(source, target):  # type: ignore[no-untyped-def]
    """``target += source``."""
    for k in range(target.size):
        target[k] += source[k]


@compiled
def move(source, target):  # type: ignore[no-untyped-def]
    """Add one histogram to another of a wider type, and clear it."""
    for k in range(target.size):
        target[k] += source[k]
    source[:] = 0
