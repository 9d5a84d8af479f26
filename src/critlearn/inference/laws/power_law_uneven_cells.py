"""Power laws on cells that no closed form covers: integers, and histograms whose bins are not equal in ``ln delta``.

Fisher's scoring on sums over the cells' nodes takes the place of the formulas of `power_law`.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from critlearn.inference.counts.cells import FAR, Cells

_STEPS: Final = 60
"""Steps of scoring at most: a bound against cycles, as the length of a step ends the search before."""

_LONGEST_STEP: Final = 2.0
"""Change of the exponent in one step at most: longer ones leave the region where the information is known."""


def fit(
    cells: Cells, counts: Float64[np.ndarray, "group cell"], *, below: bool, above: bool
) -> tuple[float, float, Float64[np.ndarray, " group"]] | None:
    """Maximum of the likelihood on cells, with or without a cut-off below and above.

    Returns
    -------
    theta, information, score
        ``1 - k``, Fisher's information of one observation, and the sum of each group's score; None where there is no
        maximum: everything lies in one end cell.
    """
    pooled = counts.sum(axis=0)
    filled = np.flatnonzero(pooled)
    alone = len(filled) < 2 and (filled.size == 0 or (filled[0] == 0 and not below) or filled[0] == len(pooled) - 1)
    if len(cells) < 2 or alone:
        return None
    far, offset = _reaching(cells, below, above)
    theta, means, mean, information = _maximise(far, offset, pooled)
    return theta, information, counts @ (means - mean)


def distribution(cells: Cells, theta: np.ndarray, *, below: bool, above: bool) -> np.ndarray:
    """Distribution functions at the edges of cells, shape (fit, edge), with mass beyond ends without a cut-off."""
    far, offset = _reaching(cells, below, above)
    result = np.empty((len(theta), len(cells) + 1))
    for row, value in enumerate(theta):
        masses = _probabilities(far, float(value))
        edges = np.concatenate([[0.0], np.cumsum(masses)])
        result[row] = np.minimum(edges[offset : offset + len(cells) + 1], 1.0)
    return result


def log_likelihood(cells: Cells, pooled: np.ndarray, theta: float, *, below: bool, above: bool) -> float:
    """``sum n_j ln P(cell j)`` on the cells of a window."""
    far, offset = _reaching(cells, below, above)
    masses = far.log_masses(lambda u: theta * (u - cells.edges[-1]))[offset : offset + len(cells)]
    filled = pooled > 0
    return float(pooled[filled] @ masses[filled])


def moments(cells: Cells, theta: float, *, below: bool, above: bool) -> tuple[np.ndarray, float, float]:
    """Mean of ``u`` in each cell and over the law, and information of one observation."""
    far, offset = _reaching(cells, below, above)
    means, mean, information = _moments(far, theta)
    return means[offset : offset + len(cells)], mean, information


def _reaching(cells: Cells, below: bool, above: bool) -> tuple[Cells, int]:
    """Cells extended beyond ends without a cut-off, and the index of the first original cell among them."""
    if not (below or above):
        return cells, 0
    far = cells.extended(FAR if below else 0.0, FAR if above else 0.0)
    return far, int(np.searchsorted(far.edges, cells.edges[0] - 1e-12))


def _maximise(cells: Cells, offset: int, pooled: np.ndarray) -> tuple[float, np.ndarray, float, float]:
    """Fisher scoring: parameter, mean of ``u`` in each cell with counts and over all, information of one value."""
    share = pooled / pooled.sum()
    at = slice(offset, offset + len(pooled))
    # Without a cut-off a theta of the wrong sign diverges: start from a tail that decays.
    spread = float(np.sqrt(share @ (cells.centres[at] - share @ cells.centres[at]) ** 2)) + 1e-3
    theta = 0.0 if len(cells) == len(pooled) else (1.0 if offset else -1.0) / spread
    for _ in range(_STEPS):
        means, mean, information = _moments(cells, theta)
        step = float(share @ means[at] - mean) / max(information, 1e-300)
        limit = _LONGEST_STEP * (1 + abs(theta))
        theta += min(max(step, -limit), limit)
        if abs(step) < 1e-11 * (1 + abs(theta)):
            break
    return theta, means[at], mean, information


def _probabilities(cells: Cells, theta: float) -> np.ndarray:
    return np.exp(cells.log_masses(lambda u: theta * (u - cells.edges[-1])))


def _moments(cells: Cells, theta: float) -> tuple[np.ndarray, float, float]:
    """Mean of ``u`` in each cell, over all, and the variance of the former."""
    nodes, log_weights = cells.nodes
    parts = log_weights + theta * (nodes - cells.edges[-1])
    # Each cell in units of its largest node, so that no steep law overflows.
    top = parts.max(axis=1, keepdims=True)
    shares = np.exp(parts - top)
    sums = shares.sum(axis=1)
    means = (shares * nodes).sum(axis=1) / sums
    masses = top[:, 0] + np.log(sums)
    probability = np.exp(masses - masses.max())
    probability = probability / probability.sum()
    mean = float(probability @ means)
    return means, mean, float(probability @ (means - mean) ** 2)
