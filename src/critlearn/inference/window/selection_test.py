"""p-value that counts the choice of the window: every replicate chooses its own."""

import numpy as np

from critlearn.inference.laws.window_fits import WindowFit, cell_probabilities, fit_windows
from critlearn.inference.window.cluster_bootstrap import group_weights
from critlearn.inference.window.goodness import Progress, monte_carlo_p_value
from critlearn.inference.window.search import Selected, WindowScan


def selection_p_value(
    scan: WindowScan, fit: WindowFit, chosen: Selected, replicates: int, seed: int, progress: Progress | None = None
) -> tuple[float, float]:
    """Probability of a worse fit after the whole selection, were the law true on the window; and its error.

    Replicates follow the fitted law on the window and the data outside it, as those of Clauset, Shalizi and Newman
    (SIAM Review 51, 661, 2009). The statistic is the distance on the window that the replicate selects, over that
    window's critical distance. Dependent data are replicated by drawing groups whose counts on the window have been
    tilted, cell by cell, so that all groups together follow the law exactly.
    """
    # Seeds apart from the scan's own, whose critical distances the replicates are compared with.
    counts = scan.counts
    expected = counts.pooled.copy()
    expected[fit.start : fit.stop] = fit.n * cell_probabilities(counts, fit.theta, fit.start, fit.stop)
    if counts.groups > 1:
        filled = counts.pooled > 0
        tilted = counts.counts * np.where(filled, expected / np.where(filled, counts.pooled, 1.0), 0.0)
        drawn = group_weights(counts.groups, replicates, seed + 1) @ tilted
    else:
        generator = np.random.default_rng(seed + 1)
        drawn = generator.multinomial(round(expected.sum()), expected / expected.sum(), size=replicates)
        drawn = drawn.astype(np.float64)
    exceeding = 0
    for done, row in enumerate(drawn, start=1):
        replicate = counts.with_counts(row[None])
        selected = scan.select(replicate, fit_windows(replicate, *scan.ends))
        exceeding += selected is None or selected.ratio >= chosen.ratio
        if progress is not None:
            progress(done, replicates)
    return monte_carlo_p_value(exceeding, replicates)
