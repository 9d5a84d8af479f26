"""The bin of a floating-point number from its bits, without a logarithm.

Exponent and leading ten bits of the mantissa leave at most one edge of a bin open; a comparison decides.
"""

from functools import cache
from typing import Final

import numpy as np

from critlearn.numerics.kernels.compiled import compiled
from critlearn.numerics.log_sketch import BINS_PER_OCTAVE

LEADING: Final = 10
"""Leading bits of the mantissa that are looked up: 1,024 intervals, narrower than a bin."""

_LOWER: Final = 52 - LEADING
"""Bits of a double's mantissa below the leading ones. The other constants take a pattern apart: shifts and masks."""
_SMALLEST_NORMAL: Final = np.uint64(1 << 52)
_SIZE: Final = np.uint64(2**63 - 1)
_EXPONENT: Final = np.uint64(52)
_LOOKED_UP: Final = np.uint64(_LOWER)
_INTERVALS: Final = np.uint64((1 << LEADING) - 1)
_LEFT: Final = np.uint64((1 << _LOWER) - 1)


@cache
def edge_table(mantissa_bits: int = 52) -> tuple[np.ndarray, np.ndarray]:
    """Tables by leading bits of the mantissa: bin at the start of each interval, and mantissa of the edge inside it.

    For an interval without an edge the mantissa is one that no number in it reaches.
    """
    edges = np.exp2(np.arange(1, BINS_PER_OCTAVE) / BINS_PER_OCTAVE) - 1
    # Smallest mantissa whose number is not below the edge.
    edge_mantissa = np.ceil(edges * 2.0**mantissa_bits).astype(np.int64)
    starts = np.arange(1 << LEADING, dtype=np.int64) << (mantissa_bits - LEADING)
    base = np.searchsorted(edge_mantissa, starts, side="right").astype(np.int64)
    following = np.append(edge_mantissa, np.int64(1) << 62)
    return base, following[base]


@cache
def single_table() -> np.ndarray:
    """Table by the seven leading bits of a single's mantissa: bin at the start, and where the next one begins.

    An interval is half a bin wide at most, so that there is one edge in it or none. Added to the sixteen bits that are
    left, an entry carries over into its upper half from the edge on: the sum's upper half is the bin.
    """
    starts = np.arange(128, dtype=np.int64) << 16
    edges = np.ceil((np.exp2(np.arange(1, BINS_PER_OCTAVE) / BINS_PER_OCTAVE) - 1) * 2.0**23).astype(np.int64)
    base = np.searchsorted(edges, starts, side="right")
    following = np.append(edges, np.int64(1) << 23)[base] - starts
    return ((base << 16) + (1 << 16) - np.minimum(following, 1 << 16)).astype(np.uint32)


@cache
def double_table() -> np.ndarray:
    """Table by the ten leading bits of a double's mantissa, like `single_table`, for the 42 bits that are left."""
    base, edge = edge_table()
    starts = np.arange(1 << LEADING, dtype=np.int64) << _LOWER
    return ((base << _LOWER) + (1 << _LOWER) - np.minimum(edge - starts, 1 << _LOWER)).astype(np.uint64)


@compiled
def grid_index(pattern, table):  # type: ignore[no-untyped-def]
    """Grid index of a double-precision number from its unsigned pattern and `double_table`.

    Zeros and subnormal numbers are taken for the smallest normal one.
    """
    # Unsigned throughout: signed places would be looked at for whether they count from the end.
    size = max(pattern & _SIZE, _SMALLEST_NORMAL)
    in_octave = (table[(size >> _LOOKED_UP) & _INTERVALS] + (size & _LEFT)) >> _LOOKED_UP
    return (np.int64(size >> _EXPONENT) - 1023) * BINS_PER_OCTAVE + np.int64(in_octave)
