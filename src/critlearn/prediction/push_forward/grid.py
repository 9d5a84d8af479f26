"""Grids of ``ln|delta|`` for push-forward distributions."""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64

from critlearn.numerics.log_sketch import BIN_WIDTH

Edges = Float64[np.ndarray, " edge"]
Grid: TypeAlias = Callable[[float, float, Float64[np.ndarray, " value"]], Edges]
"""Function that makes the edges from the lowest and the highest value of ``ln|delta|``, and typical values."""

_MOST_BINS: Final = 30_000
"""Largest number of bins of an even grid: 140 decades at the width of a sketch's bins."""

_RATIO: Final = 0.005
"""Width of a bin of a graded grid, relative to its distance from the middle."""


def even_grid(lowest: float, highest: float, typical: Float64[np.ndarray, " value"]) -> Edges:
    """Edges on the sketches' grid; every second, fourth, ... of them if there would be too many."""
    step = BIN_WIDTH
    while (highest - lowest) / step > _MOST_BINS:
        step *= 2
    return np.arange(math.floor(lowest / step) - 1, math.ceil(highest / step) + 2) * step


def graded_grid(lowest: float, highest: float, typical: Float64[np.ndarray, " value"]) -> Edges:
    """Edges of the sketches' grid if there are not too many, else a grid that is fine where the probability is.

    If ``ln|delta|`` is proportional to a heavy-tailed margin, it extends over 1e17, and an even grid would not resolve
    the middle. Bins are as fine as the sketches' around the median, and grow in proportion to the distance from it;
    edges at typical values refine them where probability is concentrated elsewhere.
    """
    if (highest - lowest) / BIN_WIDTH <= _MOST_BINS or typical.size == 0:
        return even_grid(lowest, highest, typical)
    middle = float(np.median(typical))
    near = np.arange(0.0, BIN_WIDTH / _RATIO, BIN_WIDTH)
    reach = max(highest - middle, middle - lowest) * (1 + _RATIO)
    far = np.geomspace(BIN_WIDTH / _RATIO, reach, 2 + math.ceil(math.log(reach * _RATIO / BIN_WIDTH) / _RATIO))
    offsets = np.concatenate([near, far])
    edges = np.concatenate([middle - offsets, middle + offsets, typical])
    inside = edges[(edges > lowest) & (edges < highest)]
    ends = [lowest - BIN_WIDTH * (1 + abs(lowest) * _RATIO), highest + BIN_WIDTH * (1 + abs(highest) * _RATIO)]
    return np.unique(np.round(np.concatenate([inside, ends]) / BIN_WIDTH)) * BIN_WIDTH
