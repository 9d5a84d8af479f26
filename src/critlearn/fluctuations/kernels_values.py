"""Counting kernel for the CPU that bins plain floating-point numbers by their bits: no logarithm is taken.

Exponent and leading ten bits of the mantissa leave at most one edge of a bin open; a comparison decides.
"""

from functools import cache
from typing import Any, Final

import numba
import numpy as np

from critlearn.numerics.log_sketch import BINS_PER_OCTAVE

_LEADING: Final = 10
"""Leading bits of the mantissa that are looked up: 1,024 intervals, narrower than a bin."""

_compiled: Any = numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")


@cache
def edge_table(mantissa_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """For each interval of the leading bits: bin at its start, and mantissa of the edge inside it, if there is one."""
    edges = np.exp2(np.arange(1, BINS_PER_OCTAVE) / BINS_PER_OCTAVE) - 1
    # Smallest mantissa whose number is not below the edge.
    edge_mantissa = np.ceil(edges * 2.0**mantissa_bits).astype(np.int64)
    starts = np.arange(1 << _LEADING, dtype=np.int64) << (mantissa_bits - _LEADING)
    base = np.searchsorted(edge_mantissa, starts, side="right").astype(np.int64)
    following = np.append(edge_mantissa, np.int64(1) << 62)
    return base, following[base]


@_compiled
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


@_compiled
def count_bits(  # type: ignore[no-untyped-def]
    bits, mantissa_bits, base, edge, shift, group, counts, zeros, first, order, start, stop
):
    """Count the numbers with these bit patterns (row, entry): 64-bit patterns, or 32-bit ones as 32-bit integers.

    Subnormal numbers are binned by the position of their leading bit. All must be finite: the caller has looked.
    """
    mask = (np.int64(1) << mantissa_bits) - 1
    exponent_mask = np.int64(0x7FF) if mantissa_bits == 52 else np.int64(0xFF)
    bias = np.int64(1023) if mantissa_bits == 52 else np.int64(127)
    lookup = mantissa_bits - _LEADING
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
            counts[g, 1 if pattern < 0 else 0, index + offset] += 1
        zeros[g] += nothing
