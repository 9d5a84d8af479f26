"""Values that were rounded before they were given: to a few digits, or to a few sizes. Rounding is a kind of binning.

People round what they count and measure, more coarsely the larger it is: half of all answers end in zeros. A law that
is taken to hold for such values is rejected at every heap. The cells of a fit are therefore as wide as the rounding.
"""

import math
from typing import Final

import numpy as np

from critlearn.inference.counts.cells import Cells
from critlearn.inference.criteria import HEAPED

_LOOKED_AT: Final = 100_000
"""Values that are looked at for heaps: a share of a tenth is then known to a thousandth."""

_MOST_DIGITS: Final = 3
"""Digits up to which rounding matters: a step of the fourth, 0.1% to 1%, is narrower than a cell."""

_FEWEST_ELIGIBLE: Final = 100
"""Values with more digits than those looked for, from which on a share of round ones says something."""

_SLACK: Final = 1e-9
"""Relative rounding of decimal numbers as floats, many times over."""

_MOST_SIZES: Final = 200
"""Number of different sizes up to which many ties are a grid of sizes, such as magnitudes in tenths."""

_TIES: Final = 10
"""Values to a size, on average, from which on these are a grid."""


def heaped_digits(sizes: np.ndarray) -> int | None:
    """Number of significant digits, 1 to 3, to which many of the sizes were rounded; None where they were not.

    Sizes in multiples of a step, as integers, have few digits where they are small: only those with more digits to
    spare are looked at. The coarsest rounding that shows is returned.
    """
    sample = sizes[:: max(1, sizes.size // _LOOKED_AT)].astype(np.float64)
    sample = sample[(sample > 1e-290) & (sample < 1e290)]
    if sample.size < _FEWEST_ELIGIBLE:
        return None
    # Decimal digits down to the step in which all values come; sixteen where there is no step.
    available = np.floor(np.log10(sample) + _SLACK) - _decimal_step(sample) + 1
    for digits in range(1, _MOST_DIGITS + 1):
        eligible = sample[available > digits]
        if eligible.size < _FEWEST_ELIGIBLE:
            continue
        # By chance, as many values are round as lie one step of the next digit above a round one.
        step = 10.0 ** (np.floor(np.log10(eligible) + _SLACK) - digits)
        round_ones = float(_has_digits(eligible, digits).mean())
        chance = float((_has_digits(eligible - step, digits) & (eligible - step > step)).mean())
        if round_ones > max(2 * chance, chance + HEAPED):
            return digits
    return None


def _decimal_step(sample: np.ndarray) -> float:
    """Exponent of the largest power of ten of which all values are multiples; that of rounding where there is none."""
    largest = math.floor(math.log10(float(sample.max())))
    for exponent in range(largest, largest - 13, -1):
        multiples = sample / 10.0**exponent
        if bool((np.abs(multiples - np.rint(multiples)) <= _SLACK * multiples).all()) and multiples.min() > 0.5:
            return float(exponent)
    return float(largest - 16)


def _has_digits(sample: np.ndarray, digits: int) -> np.ndarray:
    """Mask of the values with at most so many significant digits."""
    scaled = sample / 10.0 ** (np.floor(np.log10(sample) + _SLACK) - digits + 1)
    return np.abs(scaled - np.rint(scaled)) <= _SLACK * scaled


def digit_cells(sizes: np.ndarray, digits: int, *, discrete: bool) -> Cells:
    """Cells of the sizes that are rounded to one number of that many digits; of integers, none is narrower than one."""
    low, high = float(sizes.min()), float(sizes.max())
    mantissas = np.arange(10 ** (digits - 1), 10**digits, dtype=np.float64)
    first = math.floor(math.log10(low)) - digits
    last = math.floor(math.log10(high)) - digits + 2
    numbers = np.concatenate([mantissas * 10.0**exponent for exponent in range(first, last + 1)])
    middles = 0.5 * (numbers[1:] + numbers[:-1])
    if not discrete:
        inside = slice(max(0, int(np.searchsorted(middles, low)) - 1), int(np.searchsorted(middles, high)) + 1)
        return Cells(np.log(middles[inside]))
    bounds = np.unique(np.ceil(middles[middles > 0.5]))
    start = max(0, int(np.searchsorted(bounds, low, side="right")) - 1)
    bounds = bounds[start : int(np.searchsorted(bounds, high, side="right")) + 1]
    return Cells(np.log(bounds - 0.5), None, bounds)


def size_cells(sizes: np.ndarray) -> Cells | None:
    """Cells around each of a few sizes, with edges half-way in ``ln``; None where the values have many."""
    distinct = np.unique(sizes[: _MOST_SIZES * _TIES * 10])
    if not 1 < len(distinct) <= _MOST_SIZES or sizes.size < _TIES * len(distinct):
        return None
    distinct = np.unique(sizes)
    if len(distinct) > _MOST_SIZES or sizes.size < _TIES * len(distinct):
        return None
    logs = np.log(distinct.astype(np.float64))
    steps = np.diff(logs)
    edges = np.concatenate([[logs[0] - 0.5 * steps[0]], logs[:-1] + 0.5 * steps, [logs[-1] + 0.5 * steps[-1]]])
    return Cells(edges)
