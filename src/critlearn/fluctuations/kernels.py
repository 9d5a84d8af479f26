"""Counting kernels for the CPU: logarithms of outer products, binned without forming the products.

All logarithms are in units of a bin of `LogSketch`, ``64 log2|x|``, with ``-inf`` for an exact zero. A kernel counts
the rows ``order[start:stop]`` and releases Python's lock, so that plain threads share out the rows: Numba's own thread
pool and torch's would get in each other's way.
"""

import math
from typing import Any, Final

import numba
import numpy as np

CONVOLVED_FROM: Final = 8192
"""Products in a row from which on a convolution of histograms may replace counting one by one."""

_BIN_COST: Final = 0.12
"""Cost of adding one bin of a histogram (both signs), in units of counting one product."""

_LONGEST: Final = 1 << 17
"""Bins that a row's histogram may span; rows that span more are counted one by one."""

_FULL: Final = (1 << 16) - 1
"""Counts that a bin of the 16-bit scratch histogram may take before it is flushed."""

_compiled: Any = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@_compiled
def count_logs(  # type: ignore[no-untyped-def]
    logs, negative, shift, group, counts, zeros, first, order, start, stop
):
    """Count entries of rows: ``logs`` and ``negative`` (row, entry), ``shift`` and ``group`` (row,).

    ``counts`` (group, sign, bin) starts at grid index ``first``; the caller has made room.
    """
    for at in range(start, stop):
        row = order[at]
        g, offset = group[row], shift[row] - first
        for k in range(logs.shape[1]):
            value = logs[row, k]
            if value == -np.inf:
                zeros[g] += 1
            else:
                counts[g, 1 if negative[row, k] else 0, np.int64(math.floor(value)) + offset] += 1


@_compiled
def _compress(logs, negative, packed, signs):  # type: ignore[no-untyped-def]
    """Copy what is not exactly zero to the front of ``packed`` and ``signs``; how many, least and greatest."""
    found = 0
    low, high = np.inf, -np.inf
    for k in range(logs.size):
        value = logs[k]
        if value != -np.inf:
            packed[found] = value
            signs[found] = 1 if negative[k] else 0
            low, high = min(low, value), max(high, value)
            found += 1
    return found, low, high


@_compiled
def _count_one_by_one(error, error_sign, inputs, input_sign, offset, counts):  # type: ignore[no-untyped-def]
    """Exact counts of all products of one row."""
    for i in range(error.size):
        log_error, sign = error[i], error_sign[i]
        for j in range(inputs.size):
            index = np.int64(math.floor(log_error + inputs[j])) + offset
            counts[sign ^ input_sign[j], index] += 1


@_compiled
def _histogram(logs, signs, first, half, histogram):  # type: ignore[no-untyped-def]
    """Histogram of a row by sign, floored (half = 0) or rounded (half = 1/2); number of bins with anything in them."""
    filled = 0
    for k in range(logs.size):
        index = np.int64(math.floor(logs[k] + half)) - first
        if histogram[0, index] + histogram[1, index] == 0:
            filled += 1
        histogram[signs[k], index] += 1
    return filled


@_compiled
def _flush(scratch, length, offset, counts):  # type: ignore[no-untyped-def]
    """Add a scratch histogram to the counts and clear it."""
    for sign in range(2):
        for k in range(length):
            counts[sign, offset + k] += scratch[sign, k]
            scratch[sign, k] = 0


@_compiled
def _add_shifted(same, other, plain, flipped, factor):  # type: ignore[no-untyped-def]
    """``plain += factor * same``, ``flipped += factor * other``: the innermost loop, in 16-bit vectors."""
    if factor == 1:
        for k in range(same.size):
            plain[k] += same[k]
            flipped[k] += other[k]
    else:
        for k in range(same.size):
            plain[k] += factor * same[k]
            flipped[k] += factor * other[k]


@_compiled
def _convolve(dense, dense_bins, sparse, sparse_bins, scratch, offset, counts):  # type: ignore[no-untyped-def]
    """Histogram of sums of two logarithms: ``dense`` shifted by every filled bin of ``sparse``.

    No bin of the scratch can hold more than the fullest bin of ``dense`` times what has been added of ``sparse``.
    """
    length = dense_bins + sparse_bins
    fullest = np.int64(0)
    for k in range(dense_bins):
        fullest = np.int64(max(fullest, np.int64(dense[0, k]) + np.int64(dense[1, k])))
    held = np.int64(0)
    for at in range(sparse_bins):
        for sign in range(2):
            factor = sparse[sign, at]
            left = np.int64(factor)
            plain, flipped = scratch[sign, at : at + dense_bins], scratch[1 - sign, at : at + dense_bins]
            while left > 0:
                if held + fullest > _FULL:
                    _flush(scratch, length, offset, counts)
                    held = np.int64(0)
                taken = np.int64(min(left, (_FULL - held) // fullest))
                held += fullest * taken
                left -= taken
                _add_shifted(dense[0, :dense_bins], dense[1, :dense_bins], plain, flipped, np.uint16(taken))
    _flush(scratch, length, offset, counts)


@_compiled
def count_outer(  # type: ignore[no-untyped-def]
    log_error, error_negative, log_input, input_negative, shift, group, exact, counts, zeros, first, order, start, stop
):
    """Count all products of each row's errors (row, out) and inputs (row, in): ``ln|e_i a_j| = ln|e_i| + ln|a_j|``.

    Where it costs less, and unless ``exact``, a row's two histograms are convolved: one side is floored to bins, the
    other rounded to bins, so that the sum is at most one bin off, and on the average not at all. (Flooring both would
    shift everything down by half a bin.) ``shift`` (row,) is added to the bins; numbers of counts are always exact.
    """
    outputs, width = log_error.shape[1], log_input.shape[1]
    error, error_sign = np.empty(outputs), np.empty(outputs, np.uint8)
    inputs, input_sign = np.empty(width), np.empty(width, np.uint8)
    error_bins, input_bins = np.zeros((2, 1), np.uint16), np.zeros((2, 1), np.uint16)
    scratch = np.zeros((2, 1), np.uint16)
    for at in range(start, stop):
        row = order[at]
        g, offset = group[row], shift[row] - first
        n, e_low, e_high = _compress(log_error[row], error_negative[row], error, error_sign)
        m, a_low, a_high = _compress(log_input[row], input_negative[row], inputs, input_sign)
        zeros[g] += outputs * width - n * m
        if n * m == 0:
            continue
        e_first, a_first = np.int64(math.floor(e_low)), np.int64(math.floor(a_low))
        # One more for rounding up, one because both ends count.
        e_bins, a_bins = np.int64(math.floor(e_high)) - e_first + 2, np.int64(math.floor(a_high)) - a_first + 2
        cost = min(min(n, e_bins) * a_bins, min(m, a_bins) * e_bins) * _BIN_COST + n + m + e_bins + a_bins
        if exact or n * m < CONVOLVED_FROM or cost > n * m or e_bins + a_bins > _LONGEST or max(n, m) > _FULL:
            _count_one_by_one(error[:n], error_sign[:n], inputs[:m], input_sign[:m], offset, counts[g])
            continue
        if error_bins.shape[1] < e_bins:
            error_bins = np.zeros((2, 2 * e_bins), np.uint16)
        if input_bins.shape[1] < a_bins:
            input_bins = np.zeros((2, 2 * a_bins), np.uint16)
        if scratch.shape[1] < e_bins + a_bins:
            scratch = np.zeros((2, 2 * (e_bins + a_bins)), np.uint16)
        floor_inputs = min(n, e_bins) * a_bins <= min(m, a_bins) * e_bins
        _histogram(error[:n], error_sign[:n], e_first, 0.5 if floor_inputs else 0.0, error_bins)
        _histogram(inputs[:m], input_sign[:m], a_first, 0.0 if floor_inputs else 0.5, input_bins)
        offset += e_first + a_first
        if floor_inputs:
            _convolve(input_bins, a_bins, error_bins, e_bins, scratch, offset, counts[g])
        else:
            _convolve(error_bins, e_bins, input_bins, a_bins, scratch, offset, counts[g])
        error_bins[:, :e_bins] = 0
        input_bins[:, :a_bins] = 0


@_compiled
def finite_range(logs, shift):  # type: ignore[no-untyped-def]
    """Least and greatest bin of what is not exactly zero, shifted by row; +inf and -inf if there is nothing."""
    low, high = np.inf, -np.inf
    for row in range(logs.shape[0]):
        least, greatest = row_range(logs[row])
        low, high = min(low, least + shift[row]), max(high, greatest + shift[row])
    return low, high


@_compiled
def row_range(logs):  # type: ignore[no-untyped-def]
    """Least and greatest of what is not exactly zero."""
    low, high = np.inf, -np.inf
    for k in range(logs.size):
        value = logs[k]
        # In this form the compiler takes several entries at a time.
        low = min(low, value if value > -np.inf else np.inf)
        high = max(high, value)
    return low, high


@_compiled
def outer_range(log_error, log_input, shift):  # type: ignore[no-untyped-def]
    """Least and greatest bin of the rows' products."""
    low, high = np.inf, -np.inf
    for row in range(log_error.shape[0]):
        e_low, e_high = row_range(log_error[row])
        if e_high == -np.inf:
            continue
        a_low, a_high = row_range(log_input[row])
        if a_high > -np.inf:
            low, high = min(low, e_low + a_low + shift[row]), max(high, e_high + a_high + shift[row])
    return low, high
