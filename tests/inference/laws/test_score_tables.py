"""Fits by tables of running sums, against the search for each window by itself."""

import numpy as np
import pytest

from critlearn.inference.counts.cells import Cells
from critlearn.inference.laws import power_law_uneven_cells
from critlearn.inference.laws.score_tables import fit_by_tables


@pytest.mark.parametrize("k", [-3.0, 0.2, 1.0, 1.7, 4.0])
def test_windows_are_fitted_as_each_by_itself(k: float) -> None:
    generator = np.random.default_rng(0)
    cells = Cells.integers(1, 30_000)
    masses = np.exp(cells.log_masses(lambda u: (1 - k) * u))
    counts = generator.multinomial(1_000_000, masses / masses.sum()).astype(np.float64)
    filled = np.flatnonzero(counts)
    start, stop = (grid.ravel() for grid in np.meshgrid(filled[:: len(filled) // 20], filled[:: len(filled) // 20]))
    kept = cells.edges[np.maximum(stop, start)] - cells.edges[start] > 1.0
    start, stop = start[kept], stop[kept]
    theta, information = fit_by_tables(cells, counts, start, stop)
    assert len(theta) > 40
    for window in range(0, len(start), 7):
        ends = start[window : window + 1], stop[window : window + 1]
        alone, known, _ = power_law_uneven_cells.fit_windows(cells, counts[None], *ends, below=False, above=False)
        n = counts[start[window] : stop[window]].sum()
        if n < 100 or np.isnan(alone[0]):
            continue
        assert theta[window] == pytest.approx(alone[0], abs=1e-3 * (n * known[0]) ** -0.5)
        assert information[window] == pytest.approx(known[0], rel=5e-3)


def test_laws_that_are_too_steep_are_left_to_others() -> None:
    cells = Cells.equal(0.0, 0.01, 3000)
    counts = np.zeros(3000)
    counts[[2500, 2501]] = 1e6, 1.0
    theta, information = fit_by_tables(cells, counts, np.array([2500]), np.array([2600]))
    assert np.isnan([*theta, *information]).all()
