"""Counting kernels for the CPU: logarithms of outer products, binned without forming the products.

Logarithms are in units of a bin of `LogSketch`, ``64 log2|x|``, with ``-inf`` for an exact zero. Counts have the shape
(group, bin, sign) and start at grid index ``first``; the caller has made room. A kernel counts the rows
``order[start:stop]`` and releases Python's lock, so that plain threads share out the rows: Numba's own thread pool and
torch's would get in each other's way.
"""

import math
from typing import Final

import numpy as np

from critlearn.fluctuations.counting.convolution import convolve, workspace
from critlearn.fluctuations.counting.float_bits import grid_index
from critlearn.numerics.kernels.compiled import compiled
from critlearn.numerics.log_sketch import BINS_PER_OCTAVE

CONVOLVED_FROM: Final = 8192
"""Products in a row from which on a convolution of histograms may replace counting one by one."""

_BIN_COST: Final = 0.05
"""Cost of adding one bin of a histogram (both signs), in units of counting one product."""

_LONGEST: Final = 1 << 17
"""Bins that a row's histograms may span; rows that span more are counted one by one."""

_SIGN: Final = np.uint64(63)
"""Place of the sign's bit in a double."""
_SUBNORMAL: Final = -1022 * BINS_PER_OCTAVE
"""Bin that subnormal numbers are taken for: rows with such inputs are counted one by one."""


@compiled
def count_logs(  # type: ignore[no-untyped-def]
    logs, negative, shift, group, counts, zeros, first, order, start, stop
):
    """Count entries of rows: ``logs`` and ``negative`` (row, entry), ``shift`` and ``group`` (row,)."""
    for at in range(start, stop):
        row = order[at]
        g, offset = group[row], shift[row] - first
        for k in range(logs.shape[1]):
            value = logs[row, k]
            if value == -np.inf:
                zeros[g] += 1
            else:
                counts[g, np.int64(math.floor(value)) + offset, 1 if negative[row, k] else 0] += 1


@compiled
def _pack(logs, negative, packed, signs):  # type: ignore[no-untyped-def]
    """Copy logarithms of nonzero numbers to the front; return how many there are."""
    found = 0
    for k in range(logs.size):
        # Written always and kept only if it is not zero: zeros come unpredictably, a branch would cost more.
        packed[found] = logs[k]
        signs[found] = 1 if negative[k] else 0
        found += 1 if logs[k] != -np.inf else 0
    return found


@compiled
def _pack_inputs(inputs, factor, table, scaled, bins, signs, place):  # type: ignore[no-untyped-def]
    """Bin of the input times a factor, sign and place of what is not exactly zero; how many, least and greatest bin."""
    found = 0
    for k in range(inputs.size):
        found += 1 if inputs[k] != 0 else 0
    if found == inputs.size:
        for k in range(found):
            place[k] = k
            scaled[k] = np.float64(inputs[k]) * factor
    else:
        at = 0
        for k in range(inputs.size):
            # Written always and kept only if it is not zero: zeros come unpredictably, a branch would cost more.
            place[at] = k
            at += 1 if inputs[k] != 0 else 0
        for k in range(found):
            scaled[k] = np.float64(inputs[place[k]]) * factor
    patterns = scaled.view(np.uint64)
    for k in range(found):
        bins[k] = grid_index(patterns[k], table)
        signs[k] = patterns[k] >> _SIGN
    low, high = np.int64(2**62), np.int64(-(2**62))
    for k in range(found):
        low, high = min(low, bins[k]), max(high, bins[k])
    return found, low, high


@compiled
def _count_one_by_one(error, error_sign, inputs, input_sign, offset, place, counts):  # type: ignore[no-untyped-def]
    """Exact counts of all products of one row.

    The place of each is found before any is counted: in one loop with the counts it would not be done in vectors.
    """
    flat = counts.reshape(counts.size)
    start = np.int32(offset)
    for i in range(error.size):
        log_error, sign = error[i], error_sign[i]
        for j in range(inputs.size):
            bin_of_sum = np.int32(math.floor(log_error + inputs[j])) + start
            place[j] = 2 * bin_of_sum + (sign ^ input_sign[j])
        for j in range(inputs.size):
            flat[place[j]] += 1


@compiled
def count_sums(  # type: ignore[no-untyped-def]
    short, short_negative, long, long_negative, shift, group, counts, zeros, first, order, start, stop
):
    """Count all products of each row's two sets of numbers, given by their logarithms, each in its own bin.

    The second set should be the longer: sums with it are formed in vectors.
    """
    packed_short, short_sign = np.empty(short.shape[1]), np.empty(short.shape[1], np.uint8)
    packed_long, long_sign = np.empty(long.shape[1]), np.empty(long.shape[1], np.uint8)
    place = np.empty(long.shape[1], np.uint32)
    for at in range(start, stop):
        row = order[at]
        n = _pack(short[row], short_negative[row], packed_short, short_sign)
        m = _pack(long[row], long_negative[row], packed_long, long_sign)
        zeros[group[row]] += short.shape[1] * long.shape[1] - n * m
        _count_one_by_one(
            packed_short[:n],
            short_sign[:n],
            packed_long[:m],
            long_sign[:m],
            shift[row] - first,
            place,
            counts[group[row]],
        )


@compiled
def _fill_histograms(  # type: ignore[no-untyped-def]
    error, error_sign, dither, e_first, input_bin, input_sign, a_first, histograms
):
    """Histograms (bin, sign) of a row's errors and inputs into two rows of zeros."""
    for k in range(error.size):
        histograms[0, 2 * (np.int64(math.floor(error[k] + dither)) - e_first) + error_sign[k]] += 1
    for k in range(input_bin.size):
        histograms[1, 2 * (input_bin[k] - a_first) + input_sign[k]] += 1


@compiled
def count_outer(  # type: ignore[no-untyped-def]
    log_error, negative, inputs, table, shift, dither, group, counts, zeros, first, order, start, stop
):
    """Count all products of each row's errors (row, out) and inputs (row, in): ``ln|e_i a_j| = ln|e_i| + ln|a_j|``.

    Where it costs less, a row's two histograms are convolved: of bins ``floor(e + u)`` and
    ``floor(a + 1/2 - u)``, with the row's ``dither`` u in [0, 1). The sum is at most one bin off. Over rows, whose u
    are spread evenly, each of the two is on the average what it should be, also where all logarithms have the same
    place within a bin, as those of ones and powers of two have. ``table`` is `double_table`; ``shift`` (row,) is added
    to the bins. Numbers of counts are always exact.
    """
    outputs, width = log_error.shape[1], inputs.shape[1]
    error, error_sign = np.empty(outputs), np.empty(outputs, np.uint8)
    input_bin, input_sign = np.empty(width, np.int64), np.empty(width, np.uint8)
    log_input, scaled, place = np.empty(width), np.empty(width), np.empty(width + 1, np.uint32)
    histograms, space = np.zeros((2, 0), np.uint16), workspace(0)
    for at in range(start, stop):
        row = order[at]
        g, offset, u = group[row], shift[row] - first, dither[row]
        n = _pack(log_error[row], negative[row], error, error_sign)
        # A product with this factor adds 1/2 - u bins to every input's logarithm, without taking a logarithm.
        factor = 2.0 ** ((0.5 - u) / BINS_PER_OCTAVE)
        m, a_first, a_last = _pack_inputs(inputs[row], factor, table, scaled, input_bin, input_sign, place)
        zeros[g] += outputs * width - n * m
        if n * m == 0:
            continue
        e_low, e_high = row_range(error[:n])
        e_first = np.int64(math.floor(e_low + u))
        e_bins, a_bins = np.int64(math.floor(e_high + u)) - e_first + 1, a_last - a_first + 1
        # Bins to be added if the inputs' histogram is shifted by each filled bin of the errors', and the other way.
        by_errors, by_inputs = min(n, e_bins) * a_bins, min(m, a_bins) * e_bins
        cost = min(by_errors, by_inputs) * _BIN_COST + n + m + e_bins + a_bins
        if a_first <= _SUBNORMAL or cost > n * m or e_bins + a_bins > _LONGEST:
            for k in range(m):
                log_input[k] = BINS_PER_OCTAVE * math.log2(abs(np.float64(inputs[row, place[k]])))
            _count_one_by_one(error[:n], error_sign[:n], log_input[:m], input_sign[:m], offset, place, counts[g])
            continue
        if histograms.shape[1] < 2 * (e_bins + a_bins):
            histograms, space = np.zeros((2, 4 * (e_bins + a_bins)), np.uint16), workspace(2 * (e_bins + a_bins))
        _fill_histograms(error[:n], error_sign[:n], u, e_first, input_bin[:m], input_sign[:m], a_first, histograms)
        offset += e_first + a_first
        if by_errors <= by_inputs:
            convolve(histograms[1], a_bins, histograms[0], e_bins, space, offset, counts[g])
        else:
            convolve(histograms[0], e_bins, histograms[1], a_bins, space, offset, counts[g])
        histograms[0, : 2 * e_bins] = 0
        histograms[1, : 2 * a_bins] = 0


@compiled
def row_range(logs):  # type: ignore[no-untyped-def]
    """Least and greatest logarithm of nonzero entries; +inf and -inf if there are none."""
    low, high = np.inf, -np.inf
    for k in range(logs.size):
        value = logs[k]
        low = min(low, value if value > -np.inf else np.inf)
        high = max(high, value)
    return low, high


@compiled
def finite_range(logs, shift):  # type: ignore[no-untyped-def]
    """Least and greatest bin of nonzero entries, each row shifted."""
    low, high = np.inf, -np.inf
    for row in range(logs.shape[0]):
        least, greatest = row_range(logs[row])
        low, high = min(low, least + shift[row]), max(high, greatest + shift[row])
    return low, high


@compiled
def outer_range(log_error, bits, size_mask, mantissa_bits, shift):  # type: ignore[no-untyped-def]
    """Bounds of the bins of the rows' products, too wide by two octaves at most.

    Inputs are given by their bit patterns, with the mask that leaves out the sign and the bits of a mantissa.
    """
    low, high = np.inf, -np.inf
    bias = 1023 if mantissa_bits == 52 else 127
    for row in range(log_error.shape[0]):
        e_low, e_high = row_range(log_error[row])
        if e_high == -np.inf:
            continue
        least, greatest = size_mask, size_mask & 0
        for k in range(bits.shape[1]):
            size = bits[row, k] & size_mask
            least = min(least, size if size > 0 else size_mask)
            greatest = max(greatest, size)
        if greatest > 0:
            # The exponents alone: subnormal inputs are few, and octaves more of room cost little.
            a_low, a_high = np.int64(least) >> mantissa_bits, np.int64(greatest) >> mantissa_bits
            a_low -= bias + (mantissa_bits if a_low == 0 else 0)
            low = min(low, e_low + BINS_PER_OCTAVE * a_low + shift[row])
            high = max(high, e_high + BINS_PER_OCTAVE * (a_high - bias + 1) + shift[row])
    return low, high


@compiled
def sum_range(one, other, shift):  # type: ignore[no-untyped-def]
    """Bounds of the bins of the rows' products, both given by logarithms."""
    low, high = np.inf, -np.inf
    for row in range(one.shape[0]):
        one_low, one_high = row_range(one[row])
        other_low, other_high = row_range(other[row])
        if one_high > -np.inf and other_high > -np.inf:
            low = min(low, one_low + other_low + shift[row])
            high = max(high, one_high + other_high + shift[row])
    return low, high
