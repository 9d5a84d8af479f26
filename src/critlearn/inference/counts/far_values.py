"""Values far from all others: they would stretch the range over which a window is looked for, and blur it."""

from dataclasses import replace

import numpy as np

from critlearn.inference.counts.grouped_counts import GroupedCounts
from critlearn.inference.criteria import FAR_SPAN, LARGEST_FAR_SHARE, LEAST_FAR_DISTANCE, MOST_FAR_VALUES


def without_far_values(counts: GroupedCounts) -> GroupedCounts:
    """Counts without the few values that lie far out at an end with a cut-off; these count as outside.

    Where the data reach over more than 24 decades, at most 30 values at an end, and a tenth of all, are far if they are
    further from the others than twice the range of these, and than five decades: exponents between -1 and 1, whose
    outermost values spread most, keep theirs.
    """
    edges, pooled = counts.edges, counts.pooled
    if edges[-1] - edges[0] <= FAR_SPAN:
        return counts
    few = min(MOST_FAR_VALUES, LARGEST_FAR_SHARE * pooled.sum())
    below, above = np.cumsum(pooled), np.cumsum(pooled[::-1])[::-1]
    low, high = edges[np.argmax(below > few)], edges[len(pooled) - np.argmax(above[::-1] > few)]
    reach = max(2 * (high - low), LEAST_FAR_DISTANCE)
    start = 0 if counts.open_below else max(0, int(np.searchsorted(edges, low - reach, side="right")) - 1)
    stop = len(pooled) if counts.open_above else min(len(pooled), int(np.searchsorted(edges, high + reach)))
    if start == 0 and stop == len(pooled):
        return counts
    # Data begin and end with values, not with the empty space before those that are left out.
    filled = np.flatnonzero(pooled[start:stop])
    start, stop = (
        (start + int(filled[0]) if start else 0),
        (start + int(filled[-1]) + 1 if stop < len(pooled) else stop),
    )
    part = counts.part(start, stop)
    return replace(part, outside=counts.outside + float(pooled.sum() - part.pooled.sum()))
