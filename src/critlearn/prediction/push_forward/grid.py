"""Grids of ln|delta| on which distributions are pushed forward."""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float64

from critlearn.numerics.log_sketch import BIN_WIDTH

Edges = Float64[np.ndarray, " edge"]
Grid: TypeAlias = Callable[[float, float, Float64[np.ndarray, " value"]], Edges]
"""Edges from the lowest and the highest value of ``ln|delta|``, and typical values."""

_MOST_BINS: Final = 30_000
"""Bins of an even grid at most: 140 decades at the width of a sketch's bins."""

_RATIO: Final = 0.005
"""Width of a bin of a graded grid beside its distance from the middle."""


def even_grid(lowest: float, highest: float, typical: Float64[np.ndarray, " value"]) -> Edges:
    """Edges on the sketches' grid, or on every second, fourth, ... of them where there would be too many."""
    step = BIN_WIDTH
    while (highest - lowest) / step > _MOST_BINS:
        step *= 2
    return np.arange(math.floor(lowest / step) - 1, math.ceil(highest / step) + 2) * step


def graded_grid(lowest: float, highest: float, typical: Float64[np.ndarray, " value"]) -> Edges:
    """Edges of the sketches' grid where there are not too many of them, else fine where the probability is.

    A heavy tail, of which ``ln|delta|`` is the margin itself, reaches over 1e17: an even grid would see nothing of the
    middle. Bins are as fine as the sketches' around the median, and grow in proportion to the distance from it; edges
    at typical values make them finer where probability is concentrated further out.
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
