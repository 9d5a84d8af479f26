"""Resolution of numbers: below it, values are rounding error and belong in no fit."""

import math
from typing import Final

import numpy as np

from critlearn.inference.counts.raw_values import CHUNK
from critlearn.inference.criteria import RESOLVED_QUANTA

_SMALLEST: Final = 64
"""Different small values that are looked at: enough to show a common divisor."""

_ODD: Final = 1e-2
"""How far from an integer, in quanta, a multiple may be: rounding of 64 quanta in single precision is far less."""


def resolution_floor(values: np.ndarray, smallest_normal: float) -> float | None:
    """Size below which positive values show the number format, not themselves; None if there is none.

    Two marks are looked for. Subnormal numbers have lost digits. And a difference of rounded numbers, such as
    ``1 - tanh(y)`` in float32, or a rounded measurement, is a multiple of one quantum: the smallest values are then few
    and repeated, in the ratios of small integers.

    Parameters
    ----------
    values
        Positive values.
    smallest_normal
        Smallest normal number of the format that the values came in.

    Returns
    -------
    float or None
        64 quanta, or the smallest normal number if that is larger; None if all values lie above it. Data that are
        integers altogether are left alone: being discrete is not being rounded.
    """
    floor = smallest_normal if bool((values < smallest_normal).any()) else 0.0
    quantum = _quantum(values)
    if quantum is not None:
        floor = max(floor, RESOLVED_QUANTA * quantum)
    return floor if floor > 0 else None


def _quantum(values: np.ndarray) -> float | None:
    """Common divisor of the smallest values, if they show one."""
    distinct, repeats = _smallest(values)
    # Ties are no sign by themselves (a batch may repeat); that all small values are multiples of one number is.
    if len(distinct) < 5 or repeats < 2 * len(distinct):
        return None
    # Small multiples of a quantum lie one quantum apart somewhere among the lower half of them.
    quantum = float(np.diff(distinct[: len(distinct) // 2 + 2]).min())
    if not math.isfinite(1 / quantum) or quantum <= 0:
        return None
    multiples = distinct / quantum
    if float(multiples[0]) > RESOLVED_QUANTA or float(np.abs(multiples - np.rint(multiples)).max()) > _ODD:
        return None
    # Integers altogether are discrete, not rounded; ten thousand of them show it.
    sample = values[:: max(1, values.size // 10_000)]
    if bool((sample == np.rint(sample)).all()):
        return None
    return quantum


def _smallest(values: np.ndarray) -> tuple[np.ndarray, int]:
    """The 64 smallest different values, ascending, and how many values they stand for."""
    distinct = values[:0]
    # In chunks: sorting everything would cost a copy of the data.
    for at in range(0, values.size, CHUNK):
        chunk = values[at : at + CHUNK]
        if distinct.size == _SMALLEST:
            chunk = chunk[chunk < distinct[-1]]
        distinct = np.unique(np.concatenate([distinct, chunk]))[:_SMALLEST]
    repeats = sum(int((values[at : at + CHUNK] <= distinct[-1]).sum()) for at in range(0, values.size, CHUNK))
    return distinct, repeats
