"""Raw values counted on cells: which cells fit the data or the window, and the counts of each group on them."""

import math
from typing import Final

import numpy as np

from critlearn.inference.counts.cells import FAR_END, Cells
from critlearn.inference.counts.raw_values import CHUNK
from critlearn.numerics.log_sketch import BIN_WIDTH
from critlearn.numerics.window import Window

MOST_CELLS: Final = 4096
"""Cells on which raw values are counted at most: 1% each over 18 decades, wider beyond."""

_FEWEST_CELLS: Final = 256
"""Cells of a short window: finer than the 160 of its figures, coarse enough for sums by group."""


def cells_for(sizes: np.ndarray, window: Window | None, log_floor: float | None, spacing: float) -> Cells:
    """Equal cells with edges at the ends of the window, or of the data above the floor."""
    low, high = math.log(float(sizes.min())), math.log(float(sizes.max()))
    floor = -math.inf if log_floor is None else log_floor
    low = max(low, floor)
    if window is None:
        if spacing == 0:
            # The bins of a sketch, so that values and a sketch of them are one thing.
            # A value on an edge is in the bin above it, however the quotient is rounded.
            first = math.floor(low / BIN_WIDTH + 1e-9)
            return Cells.equal(first * BIN_WIDTH, BIN_WIDTH, math.floor(high / BIN_WIDTH + 1e-9) - first + 1)
        if not high > low:
            high = low + 1e-9
        reach = high - low
        cells = _number_of_cells(reach, spacing)
        return Cells.equal(low, reach / cells, cells)
    # A window to infinity has its cells where the values are.
    reach = min(window.log_hi, max(high, window.log_lo + BIN_WIDTH)) - window.log_lo
    if window.log_hi < FAR_END:
        reach = window.log_hi - window.log_lo
    cells = _number_of_cells(reach, spacing)
    width = reach / cells
    # Far beyond a short window values are only counted.
    before = min(max(math.ceil((window.log_lo - low) / width), 0), MOST_CELLS)
    after = min(max(math.ceil((high - window.log_lo - reach) / width - 1e-9), 0), MOST_CELLS)
    return Cells.equal(window.log_lo - before * width, width, before + cells + after)


def _number_of_cells(reach: float, spacing: float) -> int:
    """Number of cells: a power of two times 256, so that joining them leaves none over."""
    wanted = reach / max(BIN_WIDTH, spacing)
    cells = _FEWEST_CELLS
    while cells < wanted and cells < MOST_CELLS:
        cells *= 2
    # Coarse numbers come in steps, which would show in narrow cells.
    return max(cells // 4, 16) if spacing > 0 else cells


def count_values(
    sizes: np.ndarray, group: np.ndarray | None, weight: np.ndarray | None, where: tuple[Cells, float]
) -> tuple[tuple[Cells, np.ndarray, float], int]:
    """Cells, counts by group and number outside; and how many lie below the floor. In chunks, to spare memory."""
    cells, floor = where
    groups = 1 if group is None else int(group.max()) + 1
    counts = np.zeros(groups * len(cells))
    outside, below = 0.0, 0
    for at in range(0, sizes.size, CHUNK):
        logs = np.log(sizes[at : at + CHUNK].astype(np.float64))
        part = None if weight is None else weight[at : at + CHUNK]
        index, inside = _index(cells, logs)
        inside &= logs >= floor - 1e-12
        below += int((logs < floor - 1e-12).sum())
        beyond = ~inside & (logs >= floor - 1e-12)
        outside += float(beyond.sum() if part is None else part[beyond].sum())
        index = index[inside]
        if group is not None:
            index = index + group[at : at + CHUNK][inside].astype(np.int64) * len(cells)
        counts += np.bincount(index, None if part is None else part[inside], minlength=len(counts))
    by_group = counts.reshape(groups, -1)
    filled = by_group.any(axis=1)
    return (cells, by_group[filled] if filled.any() else by_group[:1], outside), below


def _index(cells: Cells, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each logarithm, and which of them lie in the cells at all."""
    last = len(cells) - 1
    if cells.width is None:
        return _uneven_index(cells, logs)
    position = (logs - float(cells.edges[0])) / cells.width
    # The largest value is the upper edge of the last cell, but for rounding.
    inside = (position >= -1e-9) & (position <= last + 1 + 1e-9)
    return np.clip(position, 0, last).astype(np.int64), inside


def _uneven_index(cells: Cells, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each logarithm, by search; a value on an edge goes in turn to the cell below and to the one above.

    On an edge lie only values with more digits than the rounding that made the cells: half of what would round to them
    lies to either side.
    """
    above = np.searchsorted(cells.edges, logs + 1e-12, side="right") - 1
    below = np.searchsorted(cells.edges, logs - 1e-12, side="right") - 1
    on_edge = np.flatnonzero(above != below)
    index = above
    index[on_edge[::2]] = below[on_edge[::2]]
    inside = (index >= 0) & (index < len(cells))
    return np.clip(index, 0, len(cells) - 1), inside
