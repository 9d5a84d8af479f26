"""Counting kernel for the CPU that bins plain floating-point numbers by their bits: no logarithm is taken."""

import numpy as np

from critlearn.fluctuations.counting.float_bits import LEADING
from critlearn.numerics.kernels.compiled import compiled
from critlearn.numerics.log_sketch import BINS_PER_OCTAVE


@compiled
def bits_range(bits, sign_mask):  # type: ignore[no-untyped-def]
    """Least and greatest bit pattern without sign of what is not exactly zero; 0 for the greatest if there is nothing.

    Without the sign, patterns are ordered as the numbers are.
    """
    low, high = sign_mask, sign_mask & 0
    for row in range(bits.shape[0]):
        for k in range(bits.shape[1]):
            size = bits[row, k] & sign_mask
            low = min(low, size if size > 0 else sign_mask)
            high = max(high, size)
    return low, high


@compiled
def count_bits(  # type: ignore[no-untyped-def]
    bits, mantissa_bits, base, edge, shift, group, counts, zeros, first, order, start, stop
):
    """Count the numbers with these bit patterns (row, entry): 64-bit patterns, or 32-bit ones as 32-bit integers.

    Subnormal numbers are binned by the position of their leading bit. All must be finite: the caller has looked.
    """
    mask = (np.int64(1) << mantissa_bits) - 1
    exponent_mask = np.int64(0x7FF) if mantissa_bits == 52 else np.int64(0xFF)
    bias = np.int64(1023) if mantissa_bits == 52 else np.int64(127)
    lookup = mantissa_bits - LEADING
    for at in range(start, stop):
        row = order[at]
        g, offset = group[row], shift[row] - first - bias * BINS_PER_OCTAVE
        nothing = 0
        for k in range(bits.shape[1]):
            pattern = np.int64(bits[row, k])
            mantissa = pattern & mask
            exponent = (pattern >> mantissa_bits) & exponent_mask
            if exponent == 0:
                if mantissa == 0:
                    nothing += 1
                    continue
                exponent = np.int64(1)
                while mantissa & (mask + 1) == 0:
                    mantissa <<= 1
                    exponent -= 1
                mantissa &= mask
            leading = mantissa >> lookup
            index = exponent * BINS_PER_OCTAVE + base[leading] + (1 if mantissa >= edge[leading] else 0)
            counts[g, index + offset, 1 if pattern < 0 else 0] += 1
        zeros[g] += nothing


@compiled
def count_singles(bits, table, low, high, shift, group, counts, zeros, first, order, start, stop):  # type: ignore[no-untyped-def]
    """Count normal single-precision numbers and zeros by their 32-bit patterns (row, entry), without a branch.

    A row is counted in 32-bit scratch, by biased exponent and bin, and then added to the counts. ``low`` and ``high``
    are the least and greatest biased exponents.
    """
    sign, lower = np.uint32(256 * BINS_PER_OCTAVE), np.uint32(0xFFFF)
    scratch = np.zeros(512 * BINS_PER_OCTAVE, np.uint32)
    begin, end = low * BINS_PER_OCTAVE, (high + 1) * BINS_PER_OCTAVE
    for at in range(start, stop):
        row = order[at]
        numbers = bits[row]
        for k in range(numbers.size):
            pattern = numbers[k]
            in_octave = (table[(pattern >> np.uint32(16)) & np.uint32(127)] + (pattern & lower)) >> np.uint32(16)
            # The sign is the highest bit of the exponent here.
            scratch[(pattern >> np.uint32(23)) * np.uint32(BINS_PER_OCTAVE) + in_octave] += np.uint32(1)
        g, offset = group[row], shift[row] - first - 127 * BINS_PER_OCTAVE
        # The first bin of biased exponent 0 holds exact zeros alone: normal numbers have exponents from 1 on.
        zeros[g] += np.int64(scratch[0]) + np.int64(scratch[sign])
        scratch[0] = scratch[sign] = 0
        for index in range(begin, end):
            if scratch[index] or scratch[index + sign]:
                counts[g, index + offset, 0] += scratch[index]
                counts[g, index + offset, 1] += scratch[index + sign]
                scratch[index] = scratch[index + sign] = 0
